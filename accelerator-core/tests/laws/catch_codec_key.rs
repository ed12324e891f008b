//! Codecs and keys with one defect each, and the laws that name it.

use std::sync::atomic::{AtomicU8, Ordering};

use accelerator_core::testkit::laws::key::Way;
use accelerator_core::testkit::laws::{codec, key};
use accelerator_core::{CacheKey, Codec, LoadError};

/// A length byte and so many bytes.
struct Short(&'static str, AtomicU8);

impl Codec<Vec<u8>> for Short {
    fn id(&self) -> u8 {
        if self.0 == "counts its id" { self.1.fetch_add(1, Ordering::SeqCst) } else { 200 }
    }

    fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), LoadError> {
        if self.0 == "clears what was there" {
            out.clear();
        }
        out.push(u8::try_from(value.len())?);
        out.extend(value.iter().map(|b| if self.0 == "loses a bit" { b & 127 } else { *b }));
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        let (length, rest) = bytes.split_first().ok_or("no length")?;
        let length = usize::from(*length);
        match self.0 {
            "trusts the length" => Ok(rest[..length].to_vec()),
            "ignores a missing tail" => Ok(rest[..length.min(rest.len())].to_vec()),
            "ignores the rest" => Ok(rest.get(..length).ok_or("cut")?.to_vec()),
            _ if rest.len() == length => Ok(rest.to_vec()),
            _ => Err("length".into()),
        }
    }
}

#[test]
fn each_defect_of_a_codec_is_named_by_the_laws_it_breaks() {
    for (defect, laws) in [
        ("none", &[][..]),
        ("counts its id", &["the_id_is_stable"]),
        ("clears what was there", &["encode_appends"]),
        ("loses a bit", &["samples_survive_the_round_trip", "encode_appends"]),
        ("ignores the rest", &["trailing_bytes_are_an_error"]),
        ("ignores a missing tail", &["truncated_input_is_an_error", "trailing_bytes_are_an_error"]),
    ] {
        let samples = [vec![], vec![1], vec![0, 255, 128]];
        assert_eq!(codec::failures(&Short(defect, AtomicU8::new(0)), &samples), laws, "{defect}");
    }
    let laws = codec::failures(&Short("trusts the length", AtomicU8::new(0)), &[vec![1, 2]]);
    assert!(laws.contains(&"damaged_input_never_panics"), "{laws:?}");
    assert!(laws.contains(&"random_input_never_panics"), "{laws:?}");
}

#[test]
fn laws_without_samples_fail() {
    let laws = codec::failures(&Short("none", AtomicU8::new(0)), &[]);
    assert_eq!(laws, ["samples_survive_the_round_trip"]);
    assert_eq!(key::failures::<u64>(Way::Both, &[]), ["the_text_gives_the_key_back"]);
}

/// A codec without lengths: a part of a text is a text.
struct Text;

impl Codec<String> for Text {
    fn id(&self) -> u8 {
        201
    }

    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, LoadError> {
        Ok(String::from_utf8(bytes.to_vec())?)
    }
}

accelerator_core::codec_laws!(a_codec_whose_prefixes_are_values, String, Text, ["", "text", "ünï"].map(str::to_owned));

static WRITTEN: AtomicU8 = AtomicU8::new(0);

/// A key whose text is its number in hexadecimal, with what may be wrong about it as a type parameter.
#[derive(Debug, PartialEq)]
struct Hex<const DEFECT: u8>(u32);

impl<const DEFECT: u8> CacheKey for Hex<DEFECT> {
    fn encode(&self, out: &mut String) {
        let text = match DEFECT {
            1 => format!("{:x}:", self.0),
            2 => format!("{:x}", self.0 / 2),
            3 => {
                out.clear();
                format!("{:x}", self.0)
            }
            7 => format!("{:x}.{}", self.0, WRITTEN.fetch_add(1, Ordering::SeqCst)),
            _ => format!("{:x}", self.0),
        };
        out.push_str(&text);
    }

    fn decode(text: &str) -> Option<Self> {
        let number = u32::from_str_radix(text.trim_end_matches(':'), 16).ok()?;
        match DEFECT {
            // The standard library takes capitals, zeros in front and a plus.
            4 => Some(Self(number)),
            5 => None,
            6 => u32::from_str_radix(&text[..1], 16).ok().map(Self),
            _ => Some(Self(number)).filter(|key| {
                let mut exact = String::new();
                key.encode(&mut exact);
                exact == text
            }),
        }
    }
}

/// The laws that the key type breaks.
fn caught<const DEFECT: u8>(way: Way) -> Vec<&'static str> {
    key::failures(way, &[0, 1, 9, 10, 255, u32::MAX].map(Hex::<DEFECT>))
}

#[test]
fn each_defect_of_a_key_is_named_by_the_laws_it_breaks() {
    assert_eq!(caught::<0>(Way::Both), [""; 0]);
    assert_eq!(caught::<1>(Way::Both), ["the_text_keeps_to_the_alphabet"]);
    assert_eq!(caught::<2>(Way::Both), ["the_text_gives_the_key_back", "different_keys_have_different_texts"]);
    assert_eq!(caught::<3>(Way::Both), ["encode_appends"]);
    assert_eq!(caught::<4>(Way::Both), ["mutated_text_decodes_exactly", "random_text_decodes_exactly"]);
    assert_eq!(caught::<5>(Way::Both), ["the_text_gives_the_key_back"]);
    assert_eq!(caught::<5>(Way::One), [""; 0]);
    assert_eq!(caught::<0>(Way::One), ["the_text_gives_the_key_back"], "it can be turned back");
    let laws = caught::<7>(Way::Both);
    assert!(laws.contains(&"the_text_is_stable"), "{laws:?}");
    let laws = caught::<6>(Way::Both);
    assert!(laws.contains(&"random_text_decodes_exactly"), "an empty text: {laws:?}");
}
