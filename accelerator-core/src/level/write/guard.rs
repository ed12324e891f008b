//! Invalidate: a write of the source without a window for readers.
//!
//! 1. hold the key in L2: whoever reads it there loads, and fills neither level
//! 2. enter the key among those that this node guards (`local/guarded.rs`), then purge L1 under the fence: loads that began
//!    before can't fill either; where there is a bus, other nodes are told to do the same
//! 3. (the caller changes the source)
//! 4. finish: as `del`, which ends this hold in L2 and no other
//!
//! Whatever ends the guard otherwise leaves the hold, which ends by itself. This node counts it until then.

use std::sync::Arc;

use crate::cache::{CacheFuture, GuardOps, WriteGuard};
use crate::error::{CacheError, CacheResult, StoreErrorKind};
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::local::Local;
use crate::level::remote::Remote;
use crate::level::time::policy::HOLD;
use crate::level::write::delete::{Levels, delete_as};
use crate::time::millis;
use crate::traits::l2::HoldOwner;

/// A key that is held, in the hands of its [`WriteGuard`].
struct GuardedKey<K: Key, V: Value> {
    remote: Arc<Remote<K, V>>,
    key: K,
    owner: HoldOwner,
    /// When the hold has ended in L2, in milliseconds of the cache's clock.
    hold_ends: u64,
    finished: bool,
}

impl<K: Key, V: Value> GuardOps for GuardedKey<K, V> {
    fn finish(mut self: Box<Self>) -> CacheFuture<'static, CacheResult<()>> {
        self.finished = true;
        self.remote.guarded.end(&self.key, None);
        delete_as(Levels::of_remote(&self.remote), "write_guard", vec![self.key.clone()], Some(self.owner))
    }
}

impl<K: Key, V: Value> Drop for GuardedKey<K, V> {
    fn drop(&mut self) {
        if !self.finished {
            let ends = Some(self.hold_ends);
            self.remote.guarded.end(&self.key, ends);
            // Where user code panics, L1 has lost the key all the same; a drop has no error to answer.
            let _ = Local::<K, V>::caught("the L1 store", || self.remote.local.purge(&self.key));
        }
    }
}

/// Steps 1 and 2.
pub(crate) async fn hold<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, key: &K) -> CacheResult<WriteGuard> {
    if engine.local.is_closed() {
        // The caller is about to change the source, and L1 is still read.
        engine.local.purge(key);
        return Err(CacheError::shutdown());
    }
    let Some(remote) = engine.remote.as_ref().filter(|remote| remote.wire.limits.leases) else {
        return Err(CacheError::config("l2", "without leases", "write_guard takes one with leases; or call del(..)"));
    };
    let name = remote.wire.name(key);
    let mut asked = AskedHold { remote, wire: name.wire(), owner: HoldOwner::random(), over: false };
    let held = remote.hold(asked.wire, asked.owner).await;
    asked.over = held.as_ref().map_or_else(|e| e.kind() == StoreErrorKind::Unsupported, |()| true);
    held.map_err(CacheError::not_held)?;
    let hold_ends = engine.local.now().saturating_add(millis(HOLD));
    let key = key.clone();
    remote.guarded.begin(&key);
    let held = GuardedKey { remote: remote.clone(), key, owner: asked.owner, hold_ends, finished: false };
    engine.local.purge(&held.key);
    if let Some(bus) = &engine.bus {
        let told = bus.announce(std::iter::once(&held.key)).tell().answer().await;
        if let Err(error) = told {
            // Nothing has been changed, and nobody need wait until the hold is over.
            drop(Box::new(held).finish());
            return Err(CacheError::hold_not_told(error));
        }
    }
    Ok(WriteGuard::new(Box::new(held)))
}

/// A hold that L2 was asked for. Dropped without its confirmation (an error, a time limit, a caller who goes away), it is
/// ended: it may stand all the same.
struct AskedHold<'a, K: Key, V: Value> {
    remote: &'a Arc<Remote<K, V>>,
    wire: &'a str,
    owner: HoldOwner,
    over: bool,
}

impl<K: Key, V: Value> Drop for AskedHold<'_, K, V> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (remote, wire, owner) = (self.remote.clone(), self.wire.to_owned(), self.owner);
        // Without a runtime the hold ends by itself.
        self.remote.local.tasks.spawn(async move { remote.unhold(&wire, owner).await });
    }
}
