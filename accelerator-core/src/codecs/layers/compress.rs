//! Compression, from a size on and where it pays.

use crate::error::LoadError;
use crate::traits::layer::{Layer, LayerContext, LayerError};

/// Shorter values are left as they are, unless a cache says otherwise.
const FROM: usize = 1024;
/// What a layer adds to the envelope, at most.
const STATED: usize = 6;
/// zstd's own default.
#[cfg(feature = "zstd")]
const LEVEL: i32 = 3;

/// [Zstandard](https://docs.rs/zstd): leaves a quarter to a third of JSON. Its library is C, built with the crate.
///
/// ```
/// # use accelerator_core::{LevelCache, Zstd, testkit::MemoryL2};
/// # use std::time::Duration;
/// # fn main() -> Result<(), accelerator_core::CacheError> {
/// let pages = LevelCache::<u64, String>::builder()
///     .area("page")
///     .l2(MemoryL2::new())
///     .compress(Zstd) // values of 1 KiB and more; `Zstd.from_bytes(4096)` for another size
///     .ttl(Duration::from_secs(60))
///     .build()?;
/// # drop(pages); Ok(()) }
/// ```
#[cfg(feature = "zstd")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Zstd;

/// [LZ4](https://docs.rs/lz4_flex): leaves some half of JSON, for a third of the work of Zstandard to write and half of it to
/// read. All Rust.
#[cfg(feature = "lz4")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Lz4;

/// How values are compressed: [`compress`](crate::LevelCacheBuilder::compress) of the builder. Made from `Zstd` or `Lz4`.
#[derive(Clone, Copy, Debug)]
pub struct Compress {
    algorithm: Algorithm,
    from: usize,
}

#[derive(Clone, Copy, Debug)]
enum Algorithm {
    #[cfg(feature = "zstd")]
    Zstd,
    #[cfg(feature = "lz4")]
    Lz4,
}

macro_rules! made_from {
    ($($name:ident $feature:literal)*) => {$(
        #[cfg(feature = $feature)]
        impl $name {
            /// Compresses values whose codec has written so many bytes or more. Without it: 1 KiB.
            #[must_use]
            pub fn from_bytes(self, bytes: usize) -> Compress {
                Compress { algorithm: Algorithm::$name, from: bytes }
            }

            /// Compresses nothing, and reads what other nodes have compressed: for the first half of a change of the
            /// compression, when all nodes must be able to read before the first one writes.
            #[must_use]
            pub fn only_reads(self) -> Compress {
                self.from_bytes(usize::MAX)
            }
        }

        #[cfg(feature = $feature)]
        impl From<$name> for Compress {
            fn from(of: $name) -> Self {
                of.from_bytes(FROM)
            }
        }
    )*};
}

made_from! { Zstd "zstd" Lz4 "lz4" }

impl Layer for Compress {
    fn id(&self) -> u8 {
        match self.algorithm {
            #[cfg(feature = "zstd")]
            Algorithm::Zstd => 1,
            #[cfg(feature = "lz4")]
            Algorithm::Lz4 => 2,
        }
    }

    fn apply(&self, bytes: &[u8], _: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
        if bytes.len() < self.from {
            return Ok(None);
        }
        let shorter = match self.algorithm {
            #[cfg(feature = "zstd")]
            Algorithm::Zstd => zstd::bulk::compress(bytes, LEVEL)?,
            #[cfg(feature = "lz4")]
            Algorithm::Lz4 => lz4_flex::block::compress(bytes),
        };
        // Where it saves less than a twentieth, readers are spared the work.
        let pays = (shorter.len() + STATED).saturating_mul(20) <= bytes.len().saturating_mul(19);
        Ok(pays.then_some(shorter))
    }

    fn undo(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
        match self.algorithm {
            // It takes memory for so many bytes at most, whatever its own header claims.
            #[cfg(feature = "zstd")]
            Algorithm::Zstd => zstd::bulk::decompress(bytes, cx.length()).map_err(|_| LayerError::Damaged),
            #[cfg(feature = "lz4")]
            Algorithm::Lz4 => {
                let mut out = vec![0; cx.length()];
                let length = lz4_flex::block::decompress_into(bytes, &mut out).map_err(|_| LayerError::Damaged)?;
                out.truncate(length);
                Ok(out)
            }
        }
    }

    fn may_be_left_out(&self) -> bool {
        true
    }
}
