//! The schema of a cache's values: what must be the same for bytes to mean the same.

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{CacheError, CacheResult};
use crate::traits::codec::Codec;
use crate::traits::shape::Shape;

/// `schema_version` as it is where nothing is known of `V`; else 32 bits of a hash of it, of the codec's number and of
/// the shape. `option` of the builder has given the codec.
pub(crate) fn schema<V: 'static>(
    option: &str,
    codec: &dyn Codec<V>,
    version: u32,
    fingerprint: bool,
) -> CacheResult<u32> {
    let shape = match if fingerprint { codec.shape() } else { Shape::Unknown } {
        Shape::Unknown => return Ok(version),
        Shape::Known(shape) => shape,
        Shape::Unreadable { codec, why } => return Err(CacheError::config(option, codec, &why)),
    };
    let mut bytes = [0; 13];
    bytes[..8].copy_from_slice(&shape.to_le_bytes());
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    bytes[12] = codec.id();
    Ok(xxh3_64(&bytes) as u32)
}
