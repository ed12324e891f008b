//! MessagePack with names: compact, and self-describing.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codecs::depth::{DEPTH, Depth};
use crate::codecs::shape::{self, Format};
use crate::error::LoadError;
use crate::traits::codec::Codec;
use crate::traits::shape::Shape;

/// [MessagePack](https://docs.rs/rmp-serde) with the names of fields and variants: for types that must describe
/// themselves, and for types that change. Fields may come and go, where `serde(default)` allows it. It can't tell
/// `Some(None)` from `None`. Values may be nested 128 deep.
///
/// ```
/// # use accelerator_core::testkit::{MemoryL1, MemoryL2};
/// use accelerator_core::{LevelCache, MessagePack};
/// use std::time::Duration;
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// #[serde(tag = "kind")] // it describes itself, which postcard can't read
/// enum Account {
///     Person { name: String },
///     Company { number: u64 },
/// }
/// # fn main() -> Result<(), accelerator_core::CacheError> {
/// let cache = LevelCache::<u64, Account>::builder()
///     .area("user")
///     .l1(MemoryL1::new())
///     .l2_with_codec(MemoryL2::new(), MessagePack) // your L2 store
///     .ttl(Duration::from_secs(60))
///     .build()?;
/// # drop(cache); Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MessagePack;

impl<V: Serialize + DeserializeOwned> Codec<V> for MessagePack {
    fn id(&self) -> u8 {
        2
    }

    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), LoadError> {
        value.serialize(&mut rmp_serde::Serializer::new(out).with_struct_map()).map_err(Into::into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, LoadError> {
        let mut rest = bytes;
        let mut reader = rmp_serde::Deserializer::new(&mut rest);
        // It counts options, too; the limit that counts is the other one.
        reader.set_max_depth(2 * DEPTH);
        let value = V::deserialize(Depth::new(&mut reader, bytes.len()))?;
        if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes left over", rest.len()).into()) }
    }

    fn shape(&self) -> Shape {
        shape::of::<V>(self, "msgpack", Format::Names { text: false })
    }
}
