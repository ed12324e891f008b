//! The way to the source of truth.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use crate::error::LoadError;

/// What a loader found: a value or "there is none", with a life of its own where it wants one.
///
/// `Option<V>` converts into it, so most loaders return `Ok(Some(v))` or `Ok(None)`.
///
/// ```
/// use accelerator_core::Loaded;
/// use std::time::Duration;
/// let short_lived = Loaded::value(7).ttl(Duration::from_secs(1));
/// let absent: Loaded<i32> = None.into();
/// # let _ = (short_lived, absent);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<V> {
    pub(crate) value: Option<V>,
    pub(crate) ttl: Option<Duration>,
}

impl<V> Loaded<V> {
    /// A value.
    pub fn value(value: V) -> Self {
        Self { value: Some(value), ttl: None }
    }

    /// The source says that there is none. Cached for `null_ttl` where `cache_null_value` is on.
    #[must_use]
    pub fn absent() -> Self {
        Self { value: None, ttl: None }
    }

    /// How long this answer is fresh, in both levels, instead of the builder's TTLs. Zero: hand it to the callers,
    /// don't cache it.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        Self { value, ttl: None }
    }
}

/// Loads one key. Closures do without it: see `LevelCacheBuilder::loader`.
///
/// ```
/// # use accelerator_core::testkit::MemoryL1;
/// use accelerator_core::{LevelCache, LoadError, Loaded, Loader};
/// use std::time::Duration;
///
/// struct Squares;
///
/// impl Loader<u64, u64> for Squares {
///     async fn load(&self, key: &u64) -> Result<Loaded<u64>, LoadError> {
///         // An answer that is soon another one may have a TTL of its own.
///         let ttl = Duration::from_secs(if *key < 10 { 5 } else { 60 });
///         Ok(Loaded::value(key * key).ttl(ttl))
///     }
/// }
///
/// # fn main() -> Result<(), accelerator_core::CacheError> {
/// let ttl = Duration::from_secs(60);
/// let cache = LevelCache::builder().area("square").l1(MemoryL1::new()).ttl(ttl).loader_from(Squares).build()?;
/// # drop(cache); Ok(()) }
/// ```
pub trait Loader<K, V>: Send + Sync + 'static {
    /// Asks the source. Runs under `loader_timeout`; may be dropped at any await; a panic becomes an error of this
    /// load alone. Task-locals of the caller are not visible.
    fn load(&self, key: &K) -> impl Future<Output = Result<Loaded<V>, LoadError>> + Send;
}

/// Loads many keys at once.
///
/// A key that the answer leaves out is an error for that key (`ErrorKind::NotLoaded`), never "absent": say
/// `Loaded::absent()` for what the source does not have.
///
/// ```
/// use accelerator_core::{BatchLoader, LoadError, Loaded};
/// use std::collections::HashMap;
/// /// Has the even numbers.
/// struct Halves;
/// impl BatchLoader<u64, u64> for Halves {
///     async fn mload(&self, keys: &[u64]) -> Result<HashMap<u64, Loaded<u64>>, LoadError> {
///         Ok(keys.iter().map(|&key| (key, (key % 2 == 0).then_some(key / 2).into())).collect())
///     }
/// }
/// ```
pub trait BatchLoader<K, V>: Send + Sync + 'static {
    /// Asks the source for up to `max_batch` different keys. Runs under `loader_timeout`.
    fn mload(&self, keys: &[K]) -> impl Future<Output = Result<HashMap<K, Loaded<V>>, LoadError>> + Send;
}
