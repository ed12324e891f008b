//! Codecs that come with the library, one feature each.

#[cfg(any(feature = "msgpack", feature = "postcard"))]
mod depth;
#[cfg(feature = "json")]
pub(crate) mod json;
#[cfg(feature = "msgpack")]
pub(crate) mod msgpack;
#[cfg(feature = "postcard")]
pub(crate) mod postcard;
#[cfg(feature = "bytes")]
pub(crate) mod raw_bytes;
#[cfg(any(feature = "json", feature = "msgpack", feature = "postcard"))]
mod shape;
pub(crate) mod trial;
