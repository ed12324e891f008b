//! Values that are bytes already.

use bytes::Bytes;

use crate::error::LoadError;
use crate::traits::codec::Codec;

/// Values that are bytes already, as they are: `Bytes`, `Vec<u8>`, and `String` (what isn't UTF-8 is a miss).
///
/// ```
/// # use accelerator_core::testkit::{MemoryL1, MemoryL2};
/// use accelerator_core::{Bytes, LevelCache, RawBytes};
/// use std::time::Duration;
/// # fn main() -> Result<(), accelerator_core::CacheError> {
/// let cache = LevelCache::<u64, Bytes>::builder()
///     .area("user")
///     .l1(MemoryL1::new())
///     .l2_with_codec(MemoryL2::new(), RawBytes) // your L2 store
///     .ttl(Duration::from_secs(60))
///     .build()?;
/// # drop(cache); Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RawBytes;

const ID: u8 = 4;

impl Codec<Bytes> for RawBytes {
    fn id(&self) -> u8 {
        ID
    }

    fn encode(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Bytes, LoadError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

impl Codec<Vec<u8>> for RawBytes {
    fn id(&self) -> u8 {
        ID
    }

    fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        Ok(bytes.to_vec())
    }
}

impl Codec<String> for RawBytes {
    fn id(&self) -> u8 {
        ID
    }

    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, LoadError> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}
