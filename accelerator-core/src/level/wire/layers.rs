//! The layers of a cache, from the codec outwards: what a value goes through on its way into L2, and back.
//!
//! The envelope's extras name them: `count u8 | (id u8 | length u32) ...`, in the order in which they were applied, each
//! with the length that the bytes had before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{CacheError, CacheResult, LoadError};
use crate::level::stats::rejects::Origin;
use crate::level::wire::envelope::{SAID, STEP, Steps, Unreadable};
use crate::traits::layer::{Layer, LayerContext, LayerError};

/// A cache has no more than these.
const MOST_LAYERS: usize = 32;

pub(crate) struct Layers {
    list: Vec<Arc<dyn Layer>>,
    /// Whether there is one that no value is without.
    pub(crate) required: bool,
}

/// A value that went through layers: the extras of its envelope, and its payload.
pub(crate) struct Layered {
    pub(crate) extras: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Layers {
    pub(crate) fn new(layers: Vec<Arc<dyn Layer>>) -> CacheResult<Self> {
        if layers.len() > MOST_LAYERS {
            let accepted = format!("takes {MOST_LAYERS} layers at most");
            return Err(CacheError::config("layer", format!("{} layers", layers.len()), &accepted));
        }
        for (at, layer) in layers.iter().enumerate() {
            if layers[..at].iter().any(|other| other.id() == layer.id()) {
                return Err(CacheError::config("layer", layer.id(), "takes each layer once; two have this number"));
            }
        }
        let required = layers.iter().any(|layer| !layer.may_be_left_out());
        Ok(Self { list: layers, required })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Applies them to what the codec has written. `said`: what the envelope says before its extras; `most`: what a reader
    /// makes on its way back at most. `None`: all of them were left out.
    pub(crate) fn apply(
        &self,
        bytes: &[u8],
        key: &str,
        said: &[u8; SAID],
        most: usize,
    ) -> Result<Option<Layered>, LoadError> {
        let mut said_so_far = SaidSoFar::new(said);
        let mut payload: Option<Vec<u8>> = None;
        for layer in &self.list {
            let bytes = payload.as_deref().unwrap_or(bytes);
            if bytes.len() > most {
                return Err(
                    format!("a layer has made {} bytes of it; no reader takes more than {most}", bytes.len()).into()
                );
            }
            said_so_far.add(layer.id(), u32::try_from(bytes.len())?);
            let cx = LayerContext::new(key, said_so_far.envelope(), bytes.len());
            let applied = catch_unwind(AssertUnwindSafe(|| layer.apply(bytes, &cx)));
            match applied.unwrap_or_else(|_| Err("the layer panicked".into()))? {
                Some(applied) => payload = Some(applied),
                None if layer.may_be_left_out() => said_so_far.take_back(),
                None => return Err("a layer left itself out that must not be left out".into()),
            }
        }
        Ok(payload.map(|payload| Layered { extras: said_so_far.into_extras(), payload }))
    }

    /// What the codec has written, of a value that went through these layers. Nothing longer than `most` is made on the way.
    #[inline(never)]
    pub(crate) fn undo(&self, of: &Steps<'_>, payload: &[u8], key: &str, most: usize) -> Result<Vec<u8>, Unreadable> {
        let through = self.named_by(of.extras).ok_or(Unreadable::Foreign(Origin::Layer))?;
        if through.iter().any(|(_, length)| *length as usize > most) {
            return Err(Unreadable::Garbage);
        }
        let (mut said_so_far, mut bytes) = (SaidSoFar::new(of.said), None::<Vec<u8>>);
        for (layer, length) in &through {
            said_so_far.add(layer.id(), *length);
        }
        for (layer, length) in through.into_iter().rev() {
            let from = bytes.as_deref().unwrap_or(payload);
            let cx = LayerContext::new(key, said_so_far.envelope(), length as usize);
            let undone = catch_unwind(AssertUnwindSafe(|| layer.undo(from, &cx))).unwrap_or(Err(LayerError::Damaged));
            bytes = match undone {
                Ok(undone) if undone.len() == length as usize => Some(undone),
                Err(LayerError::UnknownKey) => return Err(Unreadable::Foreign(Origin::KeyId)),
                _ => return Err(Unreadable::Garbage),
            };
            said_so_far.take_back();
        }
        Ok(bytes.unwrap_or_default())
    }

    /// Where a value comes from that these layers don't undo, as far as that is to be seen before they try.
    pub(crate) fn origin(&self, of: &Steps<'_>, payload: &[u8]) -> Option<Origin> {
        let Some(through) = self.named_by(of.extras) else { return Some(Origin::Layer) };
        let has_key = through.last().is_none_or(|(outermost, _)| outermost.has_key_of(payload));
        (!has_key).then_some(Origin::KeyId)
    }

    /// Their numbers.
    pub(crate) fn ids(&self) -> Vec<u8> {
        self.list.iter().map(|layer| layer.id()).collect()
    }

    /// The layers that the extras name, with the lengths before them: each of ours once, in our order, so that nobody makes
    /// a reader work without an end. `None`: others, or one is missing that no value is without.
    fn named_by(&self, extras: &[u8]) -> Option<Vec<(&dyn Layer, u32)>> {
        let (mut through, mut rest) = (Vec::with_capacity(self.list.len()), self.list.iter());
        for step in extras.get(1..).unwrap_or_default().chunks_exact(STEP) {
            let (id, length) = (step[0], u32::from_le_bytes([step[1], step[2], step[3], step[4]]));
            let layer = loop {
                let layer = rest.next()?;
                if layer.id() == id {
                    break &**layer;
                }
                if !layer.may_be_left_out() {
                    return None;
                }
            };
            through.push((layer, length));
        }
        rest.all(|layer| layer.may_be_left_out()).then_some(through)
    }
}

/// What a layer is told of its value: what the envelope says before the extras, and the extras up to this layer.
struct SaidSoFar(Vec<u8>);

impl SaidSoFar {
    fn new(said: &[u8; SAID]) -> Self {
        let mut bytes = Vec::with_capacity(SAID + 1 + 3 * STEP);
        bytes.extend_from_slice(said);
        bytes.push(0);
        Self(bytes)
    }

    fn add(&mut self, id: u8, length: u32) {
        self.0[SAID] += 1;
        self.0.push(id);
        self.0.extend_from_slice(&length.to_le_bytes());
    }

    fn take_back(&mut self) {
        self.0[SAID] -= 1;
        self.0.truncate(self.0.len() - STEP);
    }

    fn envelope(&self) -> &[u8] {
        &self.0
    }

    fn into_extras(mut self) -> Vec<u8> {
        self.0.split_off(SAID)
    }
}
