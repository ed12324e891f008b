//! How keys and values look in L2: the text of a key, the bytes of a value, and which of them are believed.
//!
//! The room `remote` calls it on the way to the store and back. It calls codec and layers, and asks the store for nothing but its
//! time.

pub(crate) mod cleared;
pub(crate) mod envelope;
pub(crate) mod layers;
pub(crate) mod moment;
pub(crate) mod schema;
pub(crate) mod seal;
pub(crate) mod trials;
pub(crate) mod wall_clock;
pub(crate) mod wire_key;

use std::sync::Arc;

use crate::level::stats::rejects::Rejects;
use crate::level::wire::cleared::Cleared;
use crate::level::wire::layers::Layers;
use crate::level::wire::trials::Trials;
use crate::traits::codec::Codec;
use crate::traits::l2::Limits;

/// The form of one cache's keys and values in L2.
pub(crate) struct Wire<K, V> {
    pub(crate) codec: Arc<dyn Codec<V>>,
    /// Codecs that others write with, and their schemas.
    pub(crate) also: Vec<(Arc<dyn Codec<V>>, u32)>,
    pub(crate) layers: Layers,
    /// The longest that a value is on its way through layers; L2 has it shorter.
    pub(crate) most_in_layers: usize,
    /// `CacheKey::encode`, as a pointer: a cache without L2 asks nothing of its keys.
    pub(crate) text: fn(&K, &mut String),
    /// The escaped area and a dot.
    pub(crate) prefix: String,
    /// `schema_version`, with the shape of `V` where the codec knows it.
    pub(crate) schema: u32,
    pub(crate) limits: Limits,
    pub(crate) cleared: Arc<Cleared>,
    pub(crate) trials: Trials,
    pub(crate) rejects: Rejects,
}
