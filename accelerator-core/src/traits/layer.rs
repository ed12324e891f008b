//! Bytes to other bytes and back, between codec and envelope.

use std::fmt;

use crate::error::LoadError;

/// A step between codec and envelope: it turns the bytes that a codec has written into others, and back.
/// `compress(..)` and `encrypt(..)` of the builder are layers; [`LevelCacheBuilder::layer`](crate::LevelCacheBuilder::layer)
/// takes any other one.
///
/// The envelope names each layer that a value went through, with the length that the bytes had before it. A node
/// without one of them takes the value for a miss. The bytes that [`undo`](Layer::undo) sees come from the network:
/// it must answer an error for anything that [`apply`](Layer::apply) did not write, and must not trust a length that it
/// reads. [`layer_laws!`](crate::layer_laws) of the testkit proves it.
///
/// ```
/// use accelerator_core::{Layer, LayerContext, LayerError, LoadError};
/// struct Inverted;
/// impl Layer for Inverted {
///     fn id(&self) -> u8 { 200 }
///     fn apply(&self, bytes: &[u8], _: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
///         Ok(Some(bytes.iter().map(|byte| !byte).collect()))
///     }
///     fn undo(&self, bytes: &[u8], _: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
///         Ok(bytes.iter().map(|byte| !byte).collect())
///     }
/// }
/// ```
pub trait Layer: Send + Sync + 'static {
    /// Number of the layer, written into each value that went through it: 0 to 127 are the library's, 128 to 255 are
    /// yours. The layers of one cache have different numbers.
    fn id(&self) -> u8;

    /// The bytes to be stored in place of `bytes`; `None` to leave the layer out for this value, where
    /// [`may_be_left_out`](Self::may_be_left_out) allows it. "Absent" is a value of no bytes.
    ///
    /// # Errors
    /// Where it can't be done; the value is then not stored in L2.
    fn apply(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError>;

    /// The bytes that `apply` was given: [`cx.length()`](LayerContext::length) of them. Memory for more must not be
    /// taken.
    ///
    /// # Errors
    /// Where the bytes are not what `apply` has written, or not with this context.
    fn undo(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Vec<u8>, LayerError>;

    /// Whether this node has the key (of encryption) that these bytes name, which `apply` has written: asked before
    /// anything is undone. Default: yes, or the bytes name none.
    fn has_key_of(&self, bytes: &[u8]) -> bool {
        let _ = bytes;
        true
    }

    /// Whether values without this layer are read, too. Default: no, they are misses. So nobody gets a value in that an
    /// encrypting layer has not seen.
    fn may_be_left_out(&self) -> bool {
        false
    }
}

/// What a [`Layer`] is told of the value whose bytes it has. The same in [`apply`](Layer::apply) and in
/// [`undo`](Layer::undo).
#[derive(Clone, Copy)]
pub struct LayerContext<'a> {
    key: &'a str,
    envelope: &'a [u8],
    length: usize,
}

impl<'a> LayerContext<'a> {
    /// A context, for tests of a layer: the key's text, what the envelope says, and how many bytes `apply` gets.
    #[must_use]
    pub fn new(key: &'a str, envelope: &'a [u8], length: usize) -> Self {
        Self { key, envelope, length }
    }

    /// The text of the key, with its area in front: `user.42`. In full, also where the store gets a shortened one.
    #[must_use]
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// What the envelope says of the value: kind, nonce, codec, schema, time of writing, its life, and the layers up to
    /// this one with the lengths before them. A layer that authenticates binds its bytes to these and to the
    /// [`key`](Self::key): the life of a value can't be prolonged then, nor can it be put under another key. No
    /// such bytes are the beginning of others.
    #[must_use]
    pub fn envelope(&self) -> &'a [u8] {
        self.envelope
    }

    /// How many bytes `apply` was given, as the envelope states; at most as many as a value may have.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

/// Without the key.
impl fmt::Debug for LayerContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerContext").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Why a [`Layer`] can't give bytes back. The value is a miss, and the cause is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerError {
    /// The bytes are not what the layer has written for this context.
    Damaged,
    /// They are of a key (of encryption) that this node does not have.
    UnknownKey,
}

impl fmt::Display for LayerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "the bytes are not what the layer has written",
            Self::UnknownKey => "the bytes are encrypted with a key that this node does not have",
        })
    }
}

impl std::error::Error for LayerError {}
