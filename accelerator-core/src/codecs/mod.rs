//! Codecs and layers that come with the library, one feature each.

#[cfg(any(feature = "msgpack", feature = "postcard"))]
mod depth;
#[cfg(feature = "json")]
pub(crate) mod json;
#[cfg(any(feature = "encrypt", feature = "lz4", feature = "zstd"))]
pub(crate) mod layers;
#[cfg(feature = "msgpack")]
pub(crate) mod msgpack;
#[cfg(feature = "postcard")]
pub(crate) mod postcard;
#[cfg(feature = "bytes")]
pub(crate) mod raw_bytes;
#[cfg(any(feature = "json", feature = "msgpack", feature = "postcard"))]
mod shape;
pub(crate) mod trial;
