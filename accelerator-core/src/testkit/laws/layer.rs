//! The laws of a [`Layer`], for some samples of bytes.

use crate::traits::layer::{Layer, LayerContext};

/// How many random inputs a layer gets.
const RANDOM: usize = 5_000;
/// How much of a long sample's start and end is cut or damaged byte by byte.
const ENDS: usize = 256;
/// What the envelope says, made up.
const ENVELOPE: &[u8] = b"kind, nonce, codec, schema and times";

/// Whether a layer notices by itself what was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// No: the checksum of the envelope is all that there is.
    Open,
    /// Yes: every changed byte, and every other context.
    Authentic,
}

#[doc(hidden)]
#[macro_export]
macro_rules! __layer_law_list {
    ($then:ident, $($arguments:tt)*) => {
        $crate::$then! { [
            what_was_applied_comes_back_on_another_node,
            a_layer_that_must_not_be_left_out_never_is,
            no_more_than_the_stated_length_comes_back,
            truncated_and_longer_input_is_an_error_or_harmless,
            damaged_input_never_panics,
            random_input_never_panics,
            what_is_authentic_is_bound_to_its_context,
            the_number_of_the_layer_is_stable,
        ] $($arguments)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __layer_tests {
    ([$($law:ident),* $(,)?] $name:ident, $seal:expr, $layer:expr, $samples:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $(#[test] fn $law() {
                let samples: ::std::vec::Vec<::std::vec::Vec<u8>> = ::std::vec::Vec::from($samples);
                $crate::testkit::laws::layer::$law(&|| $layer, $seal, &samples);
            })*
        }
    };
}

/// The names of the laws that layers made by `make` break.
pub fn failures<L: Layer>(make: &dyn Fn() -> L, seal: Seal, samples: &[Vec<u8>]) -> Vec<&'static str> {
    super::broken(crate::__layer_law_list! { __law_calls, (make, seal, samples) })
}

fn context(length: usize) -> LayerContext<'static> {
    LayerContext::new("area.key", ENVELOPE, length)
}

/// The samples, "absent" among them, with what the layer makes of them.
fn applied<L: Layer>(layer: &L, samples: &[Vec<u8>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let with_absent = samples.iter().cloned().chain([Vec::new()]);
    let applied = with_absent.filter_map(|sample| {
        let bytes = layer.apply(&sample, &context(sample.len())).expect("a sample goes through the layer");
        bytes.map(|bytes| (sample, bytes))
    });
    applied.collect()
}

/// Undone by a layer that was made anew, the bytes are what they were.
pub fn what_was_applied_comes_back_on_another_node<L: Layer>(make: &dyn Fn() -> L, _: Seal, samples: &[Vec<u8>]) {
    let applied = applied(&make(), samples);
    assert!(
        applied.iter().any(|(sample, _)| !sample.is_empty()),
        "the laws need samples that the layer does not leave out"
    );
    for (sample, bytes) in applied {
        let back = make().undo(&bytes, &context(sample.len())).expect("what was applied can be undone");
        assert_eq!(back, sample);
    }
}

/// Nor for "absent", which has no bytes.
pub fn a_layer_that_must_not_be_left_out_never_is<L: Layer>(make: &dyn Fn() -> L, _: Seal, samples: &[Vec<u8>]) {
    let layer = make();
    let through = applied(&layer, samples).len();
    assert!(layer.may_be_left_out() || through == samples.len() + 1, "it left itself out");
}

/// Where the envelope states less than what is there, that is an error, or so much and no more comes back.
pub fn no_more_than_the_stated_length_comes_back<L: Layer>(make: &dyn Fn() -> L, _: Seal, samples: &[Vec<u8>]) {
    let layer = make();
    for (sample, bytes) in applied(&layer, samples) {
        for stated in [0, 1, sample.len() / 2, sample.len().saturating_sub(1)] {
            if let Ok(back) = layer.undo(&bytes, &context(stated)) {
                assert!(back.len() <= stated, "{} bytes came back, {stated} were stated", back.len());
            }
        }
    }
}

/// Bytes that lost their end, or got a longer one.
pub fn truncated_and_longer_input_is_an_error_or_harmless<L: Layer>(
    make: &dyn Fn() -> L,
    seal: Seal,
    samples: &[Vec<u8>],
) {
    let layer = make();
    for (sample, bytes) in applied(&layer, samples) {
        let (head, tail) = (bytes.len().min(ENDS), bytes.len().saturating_sub(ENDS));
        let cut = (0..head).chain(tail.max(head)..bytes.len()).map(|length| bytes[..length].to_vec());
        let longer = [&[0][..], &[0xFF], &[0; 64], &bytes].map(|tail| [&bytes, tail].concat());
        for other in cut.chain(longer) {
            let back = layer.undo(&other, &context(sample.len()));
            assert!(seal == Seal::Open || back.is_err(), "{} of {} bytes were taken", other.len(), bytes.len());
        }
    }
}

/// Every single flipped bit, and lengths blown up, give bytes or an error; never more bytes than stated.
pub fn damaged_input_never_panics<L: Layer>(make: &dyn Fn() -> L, seal: Seal, samples: &[Vec<u8>]) {
    let layer = make();
    for (sample, bytes) in applied(&layer, samples) {
        let judge = |damaged: &[u8], at: usize| {
            let back = layer.undo(damaged, &context(sample.len()));
            assert!(seal == Seal::Open || back.is_err(), "byte {at} was changed and nobody noticed");
        };
        for at in 0..bytes.len().min(ENDS) {
            let mut damaged = bytes.clone();
            for bit in 0..8 {
                damaged[at] = bytes[at] ^ (1 << bit);
                judge(&damaged, at);
            }
            let end = (at + 9).min(damaged.len());
            damaged[at..end].fill(bytes[at] ^ 0xFF);
            judge(&damaged, at);
        }
    }
}

/// Bytes of anybody else give bytes or an error.
pub fn random_input_never_panics<L: Layer>(make: &dyn Fn() -> L, _: Seal, _: &[Vec<u8>]) {
    let layer = make();
    // The same bytes in every run: a law that fails sometimes is no law.
    let mut random = fastrand::Rng::with_seed(0xACCE1E);
    for round in 0..RANDOM {
        let mut bytes = vec![0; round % 256];
        random.fill(&mut bytes);
        drop(layer.undo(&bytes, &context(random.usize(..10_000))));
    }
}

/// Under another key, or with another envelope (of another life, say), there is nothing to be read.
pub fn what_is_authentic_is_bound_to_its_context<L: Layer>(make: &dyn Fn() -> L, seal: Seal, samples: &[Vec<u8>]) {
    let layer = make();
    for (sample, bytes) in applied(&layer, samples) {
        let mut longer_life = ENVELOPE.to_vec();
        longer_life[ENVELOPE.len() - 1] ^= 1;
        let others = [("area.kez", ENVELOPE), ("areb.key", ENVELOPE), ("area.key", &longer_life[..])];
        for (key, envelope) in others {
            let back = layer.undo(&bytes, &LayerContext::new(key, envelope, sample.len()));
            assert!(seal == Seal::Open || back.is_err(), "read in another place");
        }
    }
}

/// The number is a constant: it is written into every value.
pub fn the_number_of_the_layer_is_stable<L: Layer>(make: &dyn Fn() -> L, _: Seal, samples: &[Vec<u8>]) {
    let (layer, other) = (make(), make());
    let id = layer.id();
    drop(applied(&layer, samples));
    assert!(layer.id() == id && other.id() == id, "the number changed");
}
