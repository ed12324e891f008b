//! The default codec: compact, fast, not self-describing.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::LoadError;
use crate::traits::codec::Codec;

/// [postcard](https://docs.rs/postcard): small and fast. Not self-describing: raise the builder's `schema_version` when
/// the value's type changes, or old bytes may decode into nonsense. A type that contains itself (a tree) can be nested
/// deep enough in hostile bytes to overflow the stack: use another codec for such types where L2 isn't yours alone.
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
        let (value, rest) = postcard::take_from_bytes(bytes)?;
        if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes left over", rest.len()).into()) }
    }
}

/// `to_extend` wants to own its target.
struct Appender<'a>(&'a mut Vec<u8>);

impl Extend<u8> for Appender<'_> {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, iter: T) {
        self.0.extend(iter);
    }
}
