//! The handle that users hold.

use std::fmt;
use std::sync::Arc;

use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::local::Local;
use crate::level::read::hit::{Probed, probe_or};
use crate::traits::l1::L1Store;

/// A cache of two levels in front of the source of truth. Cheap to clone; all clones are one cache.
///
/// The code of keys and values (`Clone`, `Drop`, `Hash`, `Eq`) runs inside of it: what it may do there is said at
/// [`Value`].
///
/// It is generic over its L1 store, because the hit is the one place where static dispatch pays; a service that does
/// not want to name the store holds it as `Arc<dyn Cache<K, V>>`.
///
/// ```
/// # use accelerator_core::{LevelCache, testkit::MemoryL1};
/// # use std::{sync::Arc, time::Duration};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), accelerator_core::CacheError> {
/// let users = LevelCache::<u64, Arc<String>>::builder()
///     .area("user")
///     .l1(MemoryL1::new())
///     .ttl(Duration::from_secs(60))
///     .loader(|id| async move { Ok::<_, std::io::Error>(Some(Arc::new(format!("user {id}")))) })
///     .build()?;
/// assert_eq!(users.get(&7).await?.as_deref().map(String::as_str), Some("user 7"));
/// users.del(&7).await?;
/// # Ok(()) }
/// ```
pub struct LevelCache<K, V, L1 = Arc<dyn L1Store<K, V>>> {
    pub(crate) l1: L1,
    /// That of the engine: a hit is one step away from what it reads.
    pub(crate) local: Arc<Local<K, V>>,
    pub(crate) engine: Arc<Engine<K, V>>,
}

impl<K, V, L1: Clone> Clone for LevelCache<K, V, L1> {
    fn clone(&self) -> Self {
        Self { l1: self.l1.clone(), local: self.local.clone(), engine: self.engine.clone() }
    }
}

impl<K, V, L1> fmt::Debug for LevelCache<K, V, L1> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelCache").field("policy", &self.local.policy).finish_non_exhaustive()
    }
}

impl<K: Key, V: Value, L1: L1Store<K, V>> LevelCache<K, V, L1> {
    /// What L1 has; see [`hit`](crate::level::read::hit).
    #[inline(always)]
    pub(super) fn probe(&self, key: &K, allow_stale: bool, refresh: bool) -> Probed<V> {
        self.probe_or(key, allow_stale, refresh, Probed::Hit, || Probed::Miss)
    }

    /// The same, with what to answer for a hit and for a miss.
    #[inline(always)]
    pub(super) fn probe_or<R>(
        &self,
        key: &K,
        allow_stale: bool,
        refresh: bool,
        hit: impl FnOnce(Option<V>) -> R,
        miss: impl FnOnce() -> R,
    ) -> R {
        probe_or(&self.l1, &self.local, &self.engine, key, allow_stale, refresh, hit, miss)
    }
}
