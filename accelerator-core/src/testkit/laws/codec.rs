//! The laws of a [`Codec`], for one type and some samples of it.

use std::fmt::Debug;

use crate::traits::codec::Codec;

/// Bytes that a codec finds before its own: it appends.
const BEFORE: &[u8] = b"before";
/// How many random inputs a codec gets.
const RANDOM: usize = 5_000;
/// How much of a long sample's start and end is cut or damaged byte by byte: lengths and kinds stand at the start.
const ENDS: usize = 512;

#[doc(hidden)]
#[macro_export]
macro_rules! __codec_law_list {
    ($then:ident, $($arguments:tt)*) => {
        $crate::$then! { [
            samples_survive_the_round_trip,
            encode_appends,
            truncated_input_is_an_error,
            trailing_bytes_are_an_error,
            damaged_input_never_panics,
            random_input_never_panics,
            the_id_is_stable,
        ] $($arguments)* }
    };
}

/// The names of the laws that a codec breaks.
pub fn failures<V: PartialEq + Debug, C: Codec<V>>(codec: &C, samples: &[V]) -> Vec<&'static str> {
    super::broken(crate::__codec_law_list! { __law_calls, (codec, samples) })
}

fn encoded<V, C: Codec<V>>(codec: &C, value: &V) -> Vec<u8> {
    let mut out = Vec::new();
    codec.encode(value, &mut out).expect("a sample can be encoded");
    out
}

/// Either an error, or the bytes are indeed one whole encoded value: the prefix of a number may be a number.
fn is_rejected_or_exact<V, C: Codec<V>>(codec: &C, bytes: &[u8]) -> bool {
    codec.decode(bytes).map_or(true, |value| encoded(codec, &value) == bytes)
}

/// What is decoded equals what was encoded.
pub fn samples_survive_the_round_trip<V: PartialEq + Debug, C: Codec<V>>(codec: &C, samples: &[V]) {
    assert!(!samples.is_empty(), "the laws need samples");
    for sample in samples {
        let back = codec.decode(&encoded(codec, sample)).expect("what was encoded can be decoded");
        assert_eq!(&back, sample);
    }
}

/// `encode` leaves what `out` has already: the engine has put a header there.
pub fn encode_appends<V: PartialEq + Debug, C: Codec<V>>(codec: &C, samples: &[V]) {
    for sample in samples {
        let mut out = BEFORE.to_vec();
        codec.encode(sample, &mut out).expect("a sample can be encoded");
        assert!(out.starts_with(BEFORE), "encode touched what was there before");
        let back = codec.decode(&out[BEFORE.len()..]).expect("what was appended is the encoded value alone");
        assert_eq!(&back, sample);
    }
}

/// A value that lost its end is an error, unless what is left is itself one whole encoded value.
pub fn truncated_input_is_an_error<V: PartialEq + Debug, C: Codec<V>>(codec: &C, samples: &[V]) {
    for sample in samples {
        let bytes = encoded(codec, sample);
        let (head, tail) = (bytes.len().min(ENDS), bytes.len().saturating_sub(ENDS));
        for length in (0..head).chain(tail.max(head)..bytes.len()) {
            let accepted = !is_rejected_or_exact(codec, &bytes[..length]);
            assert!(!accepted, "{length} of {} bytes of {sample:?} were taken for a value", bytes.len());
        }
    }
}

/// All bytes must be used up, unless the longer bytes are themselves one whole encoded value.
pub fn trailing_bytes_are_an_error<V: PartialEq + Debug, C: Codec<V>>(codec: &C, samples: &[V]) {
    for sample in samples {
        let bytes = encoded(codec, sample);
        for tail in [&[0][..], &[0xFF], &[0; 16], &bytes] {
            let longer = [&bytes, tail].concat();
            assert!(is_rejected_or_exact(codec, &longer), "bytes after {sample:?} were ignored");
        }
    }
}

/// Every single flipped bit, and lengths blown up, give a value or an error.
pub fn damaged_input_never_panics<V: PartialEq + Debug, C: Codec<V>>(codec: &C, samples: &[V]) {
    for sample in samples {
        let bytes = encoded(codec, sample);
        for at in 0..bytes.len().min(ENDS) {
            let mut damaged = bytes.clone();
            for bit in 0..8 {
                damaged[at] = bytes[at] ^ (1 << bit);
                drop(codec.decode(&damaged));
            }
            let end = (at + 9).min(damaged.len());
            damaged[at..end].fill(0xFF);
            drop(codec.decode(&damaged));
        }
    }
}

/// Bytes of anybody else give a value or an error.
pub fn random_input_never_panics<V: PartialEq + Debug, C: Codec<V>>(codec: &C, _: &[V]) {
    // The same bytes in every run: a law that fails sometimes is no law.
    let mut random = fastrand::Rng::with_seed(0xACCE1E);
    for round in 0..RANDOM {
        let mut bytes = vec![0; round % 256];
        random.fill(&mut bytes);
        drop(codec.decode(&bytes));
    }
}

/// The number of the format is a constant: it is written into every value.
pub fn the_id_is_stable<V: PartialEq + Debug, C: Codec<V>>(codec: &C, samples: &[V]) {
    let id = codec.id();
    for sample in samples {
        drop(codec.decode(&encoded(codec, sample)));
        assert_eq!(codec.id(), id, "the id changed");
    }
}
