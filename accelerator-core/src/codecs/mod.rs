//! Codecs that come with the library, one feature each.

#[cfg(feature = "postcard")]
pub(crate) mod postcard;
