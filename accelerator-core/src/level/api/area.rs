//! What a cache has of its L2: an area that nobody else of the process takes for another's, and values up to a size.

use crate::level::api::builder::LevelCacheBuilder;
use crate::level::bounds::{Key, Value};

impl<K: Key, V: Value, L1> LevelCacheBuilder<K, V, L1> {
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
