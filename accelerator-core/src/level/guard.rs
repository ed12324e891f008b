//! Invalidate: a write of the source without a window for readers.
//!
//! 1. hold the key in L2: whoever reads it there loads, and fills neither level
//! 2. purge L1 under the fence: loads that began before can't fill either
//! 3. (the caller changes the source)
//! 4. finish: as `del`, which ends the hold
//!
//! Whatever ends the guard otherwise leaves the hold, which ends by itself.

use std::fmt;
use std::sync::Arc;

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult};
use crate::level::engine::{Engine, Key, Value};
use crate::level::policy::HOLD;

/// A key whose source is being changed; from [`LevelCache::write_guard`](crate::LevelCache::write_guard).
///
/// Until [`finish`](Self::finish) every read of every node that finds nothing in its own L1 asks the source, and caches
/// nothing. Dropped without `finish` (an error, a panic, a lost task) it purges this node's L1, and L2 is filled again
/// when the hold is over, 10 seconds after it began: as nobody knows whether the source was changed, nothing older can
/// stay. A change that takes longer than that is as safe as one followed by `del`.
#[must_use = "dropped, it keeps the key from being cached for 10 s; call finish() after the change"]
pub struct WriteGuard<K: Key, V: Value> {
    engine: Arc<Engine<K, V>>,
    key: K,
}

impl<K: Key, V: Value> WriteGuard<K, V> {
    /// The source has changed (or has not: after a rollback, too). Deletes the key in both levels, and with it the hold.
    ///
    /// # Errors
    /// As [`LevelCache::del`](crate::LevelCache::del).
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the delete.
    pub fn finish(self) -> CacheFuture<'static, CacheResult<()>> {
        self.engine.delete("write_guard", vec![self.key.clone()])
    }
}

impl<K: Key, V: Value> Drop for WriteGuard<K, V> {
    fn drop(&mut self) {
        self.engine.purge(&self.key);
    }
}

impl<K: Key, V: Value> fmt::Debug for WriteGuard<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteGuard").finish_non_exhaustive()
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Steps 1 and 2.
    pub(crate) async fn hold(self: &Arc<Self>, key: &K) -> CacheResult<WriteGuard<K, V>> {
        if self.is_closed() {
            // The caller is about to change the source, and L1 is still read.
            self.purge(key);
            return Err(CacheError::shutdown());
        }
        let Some(remote) = self.remote.as_ref().filter(|remote| remote.limits.leases) else {
            return Err(CacheError::config(
                "l2",
                "without leases",
                "write_guard takes one with leases; or call del(..)",
            ));
        };
        let name = remote.name(key);
        let held = self.timed(self.policy.l2_write_timeout, remote.store.hold(name.wire(), HOLD)).await;
        let held = held.and_then(|held| held).inspect_err(|e| self.counters.l2_error(e.kind()));
        held.map_err(CacheError::not_held)?;
        self.purge(key);
        Ok(WriteGuard { engine: self.clone(), key: key.clone() })
    }
}
