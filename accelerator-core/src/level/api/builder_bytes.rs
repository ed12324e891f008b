//! The options of the builder for the bytes in L2: codecs, what counts as the same type, layers, size; and whose their area
//! is.

use std::sync::Arc;

#[cfg(any(feature = "lz4", feature = "zstd"))]
use crate::codecs::layers::compress::Compress;
#[cfg(feature = "encrypt")]
use crate::codecs::layers::encrypt::EncryptionKeys;
use crate::level::api::builder::LevelCacheBuilder;
use crate::level::bounds::{Key, Value};
use crate::traits::codec::Codec;
use crate::traits::layer::Layer;

impl<K: Key, V: Value, L1> LevelCacheBuilder<K, V, L1> {
    /// How values are encoded for L2. A value written by another codec is a miss, unless [`also_reads`](Self::also_reads)
    /// names it.
    pub fn codec(mut self, codec: impl Codec<V>) -> Self {
        self.set.codec = Some(Arc::new(codec));
        self
    }

    /// Raise it when values mean something else though their type has not changed (with `fingerprint(false)`: when the
    /// type changes, too). Values of another schema in L2 are misses, and replaced by the next load, of whichever node, once
    /// they are a quarter of a second old. Default: 0.
    #[doc = include_str!("../../../docs/builder/schema_version.md")]
    pub fn schema_version(mut self, version: u32) -> Self {
        self.set.schema = version;
        self
    }

    /// Whether `build()` looks at what `V` asks for when it is deserialized ([`Codec::shape`]): values of another shape
    /// are then misses, and a type that the codec can't read back is refused. Without it, bytes of the codec postcard
    /// that were written for another type may be read as nonsense. Default: yes.
    #[doc = include_str!("../../../docs/builder/fingerprint.md")]
    pub fn fingerprint(mut self, yes: bool) -> Self {
        self.set.fingerprint = yes;
        self
    }

    /// A codec whose values are read, too, with the same `schema_version`. So a codec can be changed without an empty L2:
    /// first all nodes read the new one, then they write it. Values are written by [`codec`](Self::codec) alone. May be
    /// called for several.
    ///
    /// ```
    /// # #[cfg(all(feature = "msgpack", feature = "postcard"))] {
    /// # use accelerator_core::{LevelCache, MessagePack, Postcard, testkit::MemoryL2};
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), accelerator_core::CacheError> {
    /// // Before: codec(Postcard). Once this runs on all nodes: codec(MessagePack).also_reads(Postcard).
    /// let users = LevelCache::<u64, String>::builder()
    ///     .area("user")
    ///     .l2(MemoryL2::new())
    ///     .codec(Postcard)
    ///     .also_reads(MessagePack)
    ///     .ttl(Duration::from_secs(60))
    ///     .build()?;
    /// # drop(users); Ok(()) }
    /// # main().unwrap(); }
    /// ```
    pub fn also_reads(mut self, codec: impl Codec<V>) -> Self {
        self.set.bytes.also.push(Arc::new(codec));
        self
    }

    /// Compresses values in L2 that have 1 KiB or more, where that saves a twentieth: `Zstd` or `Lz4`, by the features
    /// `zstd` and `lz4`. Values that are not compressed are read as before; a node that does not have this compression
    /// takes a compressed value for a miss. What is decompressed has the length that the envelope states, which
    /// is at most that of the longest value that the cache takes.
    ///
    /// To begin with it without misses, let all nodes read first (`Zstd.only_reads()`), then write. Called again, it adds
    /// one more that is read.
    #[cfg(any(feature = "lz4", feature = "zstd"))]
    pub fn compress(mut self, how: impl Into<Compress>) -> Self {
        self.set.bytes.compress.push(Arc::new(how.into()));
        self
    }

    /// Encrypts values in L2, by the feature `encrypt`; see [`EncryptionKeys`]. The text of keys is not encrypted. Values
    /// that are not encrypted are misses from then on, as are those of keys that are not given, and those that were
    /// changed.
    #[cfg(feature = "encrypt")]
    pub fn encrypt(mut self, keys: EncryptionKeys) -> Self {
        self.set.bytes.fault = self.set.bytes.fault.or(keys.fault());
        self.set.bytes.encrypt.push(Arc::new(keys));
        self
    }

    /// A [layer](Layer) of your own. Values go through compression first, then through these in the order of the calls,
    /// and through encryption last.
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.set.bytes.others.push(Arc::new(layer));
        self
    }

    /// The longest value, encoded and with its 40 bytes of envelope, that is stored in L2 or read from there. Up to what the
    /// store takes, which may have an option of its own (memcached's takes 1,048,064 bytes unless told more). A larger one
    /// reaches its caller and L1, and is counted (`stats().too_large`); a `set` of it is an error. All nodes of an area
    /// should have the same. 4 MiB take some 40 ms at 1 Gbit/s: raise
    /// [`l2_timeout`](Self::l2_timeout), too. Default: 1 MiB, or what the store takes where that is less.
    ///
    /// ```
    /// # use accelerator_core::{LevelCache, RawBytes, testkit::MemoryL2};
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), accelerator_core::CacheError> {
    /// let pages = LevelCache::<u64, Vec<u8>>::builder()
    ///     .area("page")
    ///     .l2_with_codec(MemoryL2::new(), RawBytes)
    ///     .max_value_bytes(8 << 20)
    ///     .l2_timeout(Duration::from_millis(500))
    ///     .ttl(Duration::from_secs(60))
    ///     .build()?;
    /// # drop(pages); Ok(()) }
    /// ```
    pub fn max_value_bytes(mut self, most: usize) -> Self {
        self.set.max_value_bytes = Some(most);
        self
    }

    /// Whether this cache may have its area in common with another one of this process that has other types or settings.
    /// They read each other's values, where their types allow it, and delete and replace them in any case. Default: no,
    /// `build()` refuses it; one of the same types and settings is a second node, and is not.
    pub fn share_area(mut self, yes: bool) -> Self {
        self.set.share_area = yes;
        self
    }
}
