//! JSON: for people to read.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codecs::shape::{self, Format};
use crate::error::LoadError;
use crate::traits::codec::Codec;
use crate::traits::shape::Shape;

/// [JSON](https://docs.rs/serde_json): readable with the tools of the store, and by other programs. Fields may come and
/// go, where `serde(default)` allows it. It can't tell `Some(None)` from `None`; NaN and the infinities are not stored,
/// nor are maps whose keys aren't text, numbers or the like. Values may be nested 127 deep.
///
/// ```
/// # use accelerator_core::testkit::{MemoryL1, MemoryL2};
/// use accelerator_core::{LevelCache, Json};
/// use std::time::Duration;
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct User {
///     name: String,
///     #[serde(default)] // came later: what was stored before is read without it
///     email: Option<String>,
/// }
/// # fn main() -> Result<(), accelerator_core::CacheError> {
/// let cache = LevelCache::<u64, User>::builder()
///     .area("user")
///     .l1(MemoryL1::new())
///     .l2_with_codec(MemoryL2::new(), Json) // your L2 store
///     .ttl(Duration::from_secs(60))
///     .build()?;
/// # drop(cache); Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn id(&self) -> u8 {
        3
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), LoadError> {
        serde_json::to_writer(out, value).map_err(Into::into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, LoadError> {
        serde_json::from_slice(bytes).map_err(Into::into)
    }

    fn shape(&self) -> Shape {
        shape::of::<V>(self, "json", Format::Names { text: true })
    }
}
