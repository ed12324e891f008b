//! Layers with one defect each, and the laws that name it.

use std::sync::atomic::{AtomicU8, Ordering};

use accelerator_core::testkit::laws::layer::{Seal, failures};
use accelerator_core::{Layer, LayerContext, LayerError, LoadError};
use xxhash_rust::xxh3::xxh3_64;

/// A hash of all that the bytes are bound to, and the bytes turned around. With something wrong about it.
struct Hashed(&'static str, u8);

static MADE: AtomicU8 = AtomicU8::new(128);

fn hashed(defect: &'static str) -> Hashed {
    Hashed(defect, MADE.fetch_add(1, Ordering::SeqCst))
}

impl Hashed {
    fn sum(&self, bytes: &[u8], cx: &LayerContext<'_>) -> [u8; 8] {
        let (mut key, mut envelope) = (cx.key().as_bytes(), cx.envelope());
        match self.0 {
            "knows no key" => key = &[],
            "knows no envelope" => envelope = &[],
            _ => {}
        }
        xxh3_64(&[bytes, key, envelope].concat()).to_le_bytes()
    }
}

impl Layer for Hashed {
    fn id(&self) -> u8 {
        if self.0 == "has a number for each node" { self.1 } else { 200 }
    }

    fn apply(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
        if self.0 == "leaves absent out" && bytes.is_empty() || self.0 == "leaves all out" {
            return Ok(None);
        }
        let mask = if self.0 == "has a key for each node" { self.1 } else { 255 };
        let text: Vec<u8> = bytes.iter().map(|byte| byte ^ mask).collect();
        Ok(Some([&self.sum(&text, cx)[..], &text].concat()))
    }

    fn undo(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
        let mask = if self.0 == "has a key for each node" { self.1 } else { 255 };
        let turned = |text: &[u8]| text.iter().map(|byte| byte ^ mask).collect::<Vec<u8>>();
        if self.0 == "trusts the length" {
            return Ok(turned(&bytes[8..8 + cx.length()]));
        }
        let (sum, text) = bytes.split_first_chunk().ok_or(LayerError::Damaged)?;
        let is_whole = *sum == self.sum(text, cx) || self.0 == "checks nothing";
        let has_length = text.len() == cx.length() || self.0 == "gives all that is there";
        if is_whole && has_length { Ok(turned(text)) } else { Err(LayerError::Damaged) }
    }
}

#[test]
fn each_defect_of_a_layer_is_named_by_the_laws_it_breaks() {
    let samples = [vec![1, 2, 3], vec![0; 2_000]];
    for (defect, laws) in [
        ("none", &[][..]),
        ("has a number for each node", &["the_number_of_the_layer_is_stable"]),
        ("has a key for each node", &["what_was_applied_comes_back_on_another_node"]),
        ("leaves absent out", &["a_layer_that_must_not_be_left_out_never_is"]),
        ("knows no key", &["what_is_authentic_is_bound_to_its_context"]),
        ("knows no envelope", &["what_is_authentic_is_bound_to_its_context"]),
        ("gives all that is there", &["no_more_than_the_stated_length_comes_back"]),
        ("checks nothing", &["damaged_input_never_panics", "what_is_authentic_is_bound_to_its_context"]),
    ] {
        assert_eq!(failures(&|| hashed(defect), Seal::Authentic, &samples), laws, "{defect}");
    }
    let laws = failures(&|| hashed("trusts the length"), Seal::Open, &samples);
    let caught = ["no_more_than_the_stated_length_comes_back", "truncated_and_longer_input_is_an_error_or_harmless"];
    assert_eq!(laws, [&caught[..], &["random_input_never_panics"]].concat());
    let laws = failures(&|| hashed("leaves all out"), Seal::Open, &samples);
    assert_eq!(laws, ["what_was_applied_comes_back_on_another_node", "a_layer_that_must_not_be_left_out_never_is"]);
    assert_eq!(failures(&|| hashed("none"), Seal::Open, &[]), ["what_was_applied_comes_back_on_another_node"]);
}
