//! Layers that come with the library: steps between codec and envelope.

#[cfg(any(feature = "lz4", feature = "zstd"))]
pub(crate) mod compress;
#[cfg(feature = "encrypt")]
pub(crate) mod encrypt;
