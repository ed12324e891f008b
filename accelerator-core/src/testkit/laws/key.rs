//! The laws of a [`CacheKey`], for some samples that are different keys.

use std::fmt::Debug;

use crate::key::CacheKey;

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-";
/// How many random texts a key type is asked to decode.
const RANDOM: usize = 5_000;

/// Whether a key's text can be turned back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `decode` gives the key back.
    Both,
    /// `decode` always answers `None`, by intention: remote invalidations of such a key clear its area.
    One,
}

#[doc(hidden)]
#[macro_export]
macro_rules! __key_law_list {
    ($then:ident, $($arguments:tt)*) => {
        $crate::$then! { [
            the_text_gives_the_key_back,
            the_text_keeps_to_the_alphabet,
            different_keys_have_different_texts,
            encode_appends,
            the_text_is_stable,
            mutated_text_decodes_exactly,
            random_text_decodes_exactly,
        ] $($arguments)* }
    };
}

/// The names of the laws that a key type breaks.
pub fn failures<K: CacheKey + PartialEq + Debug>(way: Way, samples: &[K]) -> Vec<&'static str> {
    super::broken(crate::__key_law_list! { __law_calls, (way, samples) })
}

fn text<K: CacheKey>(key: &K) -> String {
    let mut out = String::new();
    key.encode(&mut out);
    out
}

/// A text that decodes is the text of that very key: two texts of one key would be two entries in L2.
fn assert_exact<K: CacheKey + Debug>(written: &str) {
    if let Some(key) = K::decode(written) {
        assert_eq!(text(&key), written, "{written:?} decodes to {key:?}, which has another text");
    }
}

/// What is decoded equals what was encoded.
pub fn the_text_gives_the_key_back<K: CacheKey + PartialEq + Debug>(way: Way, samples: &[K]) {
    assert!(!samples.is_empty(), "the laws need samples");
    for sample in samples {
        let back = K::decode(&text(sample));
        match way {
            Way::Both => assert_eq!(back.as_ref(), Some(sample)),
            Way::One => assert!(back.is_none(), "{sample:?} said it couldn't be turned back, and was"),
        }
    }
}

/// The text is one of `[A-Za-z0-9._~-]`: stores take it unchanged.
pub fn the_text_keeps_to_the_alphabet<K: CacheKey + PartialEq + Debug>(_: Way, samples: &[K]) {
    for sample in samples {
        let text = text(sample);
        assert!(text.bytes().all(|b| ALPHABET.contains(&b)), "{sample:?} is written as {text:?}");
    }
}

/// Different keys never share a text: one would be served the other's value.
pub fn different_keys_have_different_texts<K: CacheKey + PartialEq + Debug>(_: Way, samples: &[K]) {
    for (at, one) in samples.iter().enumerate() {
        for other in &samples[..at] {
            assert!(one != other, "the samples are not different: {one:?}");
            assert_ne!(text(one), text(other), "{one:?} and {other:?} have the same text");
        }
    }
}

/// `encode` leaves what `out` has already, and doesn't look at it: the engine has put the area there.
pub fn encode_appends<K: CacheKey + PartialEq + Debug>(_: Way, samples: &[K]) {
    for sample in samples {
        let mut out = "area.".to_owned();
        sample.encode(&mut out);
        assert_eq!(out, format!("area.{}", text(sample)), "{sample:?}");
    }
}

/// A key has one text.
pub fn the_text_is_stable<K: CacheKey + PartialEq + Debug>(_: Way, samples: &[K]) {
    for sample in samples {
        assert_eq!(text(sample), text(sample), "{sample:?}");
    }
}

/// A text changed in one place is no key, or exactly the key that has this text.
pub fn mutated_text_decodes_exactly<K: CacheKey + PartialEq + Debug>(_: Way, samples: &[K]) {
    for sample in samples {
        let text = text(sample);
        for at in 0..=text.len() {
            let Some((before, after)) = text.split_at_checked(at) else {
                continue;
            };
            let after_one = after.get(1..).unwrap_or("");
            assert_exact::<K>(&format!("{before}{after_one}"));
            for &letter in ALPHABET {
                assert_exact::<K>(&format!("{before}{}{after}", char::from(letter)));
                assert_exact::<K>(&format!("{before}{}{after_one}", char::from(letter)));
            }
        }
        for foreign in [" ", "%41", "/", "é", "\u{0}", "+"] {
            assert_exact::<K>(&format!("{text}{foreign}"));
            assert_exact::<K>(&format!("{foreign}{text}"));
        }
    }
}

/// A text that nobody wrote is no key, or exactly the key that has this text; it never panics.
pub fn random_text_decodes_exactly<K: CacheKey + PartialEq + Debug>(_: Way, _: &[K]) {
    let mut random = fastrand::Rng::with_seed(0xACCE1E);
    for round in 0..RANDOM {
        let letters = (0..round % 40).map(|_| char::from(ALPHABET[random.usize(..ALPHABET.len())]));
        assert_exact::<K>(&letters.collect::<String>());
    }
}
