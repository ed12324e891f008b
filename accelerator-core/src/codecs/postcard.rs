//! The default codec: compact, fast, not self-describing.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codecs::depth::{DEPTH, Depth};
use crate::codecs::shape::{self, Format};
use crate::error::LoadError;
use crate::traits::codec::Codec;
use crate::traits::shape::Shape;

/// [postcard](https://docs.rs/postcard): small and fast. Not self-describing: the bytes mean nothing without the type.
/// So the shape of the type is part of the schema, and values of another shape are misses. A type that must describe
/// itself (`serde_json::Value`, `untagged`, `tag`, `flatten`) is refused by `build()`. Values may be nested 128 deep.
///
/// ```
/// # use accelerator_core::testkit::{MemoryL1, MemoryL2};
/// use accelerator_core::LevelCache;
/// use std::time::Duration;
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct User {
///     name: String,
/// }
/// # fn main() -> Result<(), accelerator_core::CacheError> {
/// let cache = LevelCache::<u64, User>::builder()
///     .area("user")
///     .l1(MemoryL1::new())
///     .l2(MemoryL2::new()) // your L2 store; Postcard, as nothing else is said
///     .ttl(Duration::from_secs(60))
///     .build()?;
/// # drop(cache); Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Postcard;

impl<V: Serialize + DeserializeOwned> Codec<V> for Postcard {
    fn id(&self) -> u8 {
        1
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), LoadError> {
        postcard::to_extend(value, Appender(out)).map(drop).map_err(Into::into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, LoadError> {
        let mut reader = postcard::Deserializer::from_bytes(bytes);
        let value = if bytes.len() <= DEPTH {
            // Each level of a type that contains itself has a byte at least.
            V::deserialize(&mut reader)?
        } else {
            V::deserialize(Depth::new(&mut reader, bytes.len()))?
        };
        let rest = reader.finalize()?;
        if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes left over", rest.len()).into()) }
    }

    fn shape(&self) -> Shape {
        shape::of::<V>(self, "postcard", Format::Positions)
    }
}

/// `to_extend` wants to own its target.
struct Appender<'a>(&'a mut Vec<u8>);

impl Extend<u8> for Appender<'_> {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, iter: T) {
        self.0.extend(iter);
    }
}
