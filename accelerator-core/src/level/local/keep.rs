//! What goes into L1 and out of it, where user code may panic: a weigher, a `Clone` of the key, a store.
//!
//! Whatever panics there, L1 never keeps what was to be replaced or removed: the key is removed once more. The panic goes
//! on to the operation that it belongs to, which ends with an error where it has one ([`Local::caught`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::cache::CacheFuture;
use crate::entry::Entry;
use crate::error::{CacheError, CacheResult, ErrorKind};
use crate::inside::{self, forget_panic};
use crate::level::bounds::{Key, Value};
use crate::level::local::Local;

impl<K: Key, V: Value> Local<K, V> {
    /// Puts the entry into L1, under the table's lock.
    #[inline(always)]
    pub(crate) fn keep(&self, key: &K, entry: Entry<V>) {
        if self.policy.keeps_nothing() {
            return self.forgo(key);
        }
        let replacing = Replacing { local: self, key };
        self.l1.insert(key.clone(), entry);
        // Nothing panicked. There is nothing to drop in it.
        std::mem::forget(replacing);
    }

    /// Takes the key out of L1, under the table's lock.
    #[inline(always)]
    pub(crate) fn forgo(&self, key: &K) {
        let replacing = Replacing { local: self, key };
        self.l1.remove(key);
        std::mem::forget(replacing);
    }

    /// The same, whether there is something to put there or not.
    #[inline]
    pub(crate) fn keep_or_forgo(&self, key: &K, entry: Option<Entry<V>>) {
        match entry {
            Some(entry) => self.keep(key, entry),
            None => self.forgo(key),
        }
    }

    /// Removes the key from L1 under the fence.
    #[inline]
    pub(crate) fn purge(&self, key: &K) {
        self.table.invalidate(key, || self.forgo(key));
    }

    /// Everything that is cached becomes a miss; `clear_l2` makes it one of L2.
    pub(crate) fn clear(&self, clear_l2: Option<impl FnOnce()>) {
        self.forget_for_clear();
        if let Some(clear_l2) = clear_l2 {
            // Fills that passed their check before the line above were sealed before this moment; who read L2 between
            // the two is cut off by the second step.
            clear_l2();
            self.forget_for_clear();
        }
        // For the memory only: entries of an older generation are misses already. A store that is dropping a value must
        // not be asked for it.
        if inside::is_called() {
            return;
        }
        // A store drops its values here, maybe under locks of its own.
        let _inside = inside::enter();
        self.l1.clear();
    }

    /// Writes that were called before are not sent any more.
    fn forget_for_clear(&self) {
        let generation = self.forget_all();
        self.cleared.fetch_max(generation, Ordering::AcqRel);
    }

    /// Runs a part of an operation in which user code may panic; a panic is its error.
    #[inline]
    pub(crate) fn caught<T>(what: &str, part: impl FnOnce() -> T) -> CacheResult<T> {
        catch_unwind(AssertUnwindSafe(part)).map_err(|payload| {
            let error = CacheError::panic(what, &*payload);
            forget_panic(payload);
            error
        })
    }
}

impl<K: Key, V: Value> Local<K, V> {
    /// Whether what the caller wants can't be done now; see [`outside`](Self::outside).
    pub(crate) fn is_called(&self) -> bool {
        inside::is_called()
    }

    /// A call by the user code that a store calls. Under a lock of ours it is made when that is released, before the
    /// operation that holds it goes on. Where a store drops values on its own (on the way of a hit) it may hold locks of
    /// its own: then the call is made in a task, and refused where there is no runtime for one, as it may wait for those
    /// locks for ever. Nobody can wait for it until that code has returned.
    #[cold]
    pub(crate) fn outside(
        self: &Arc<Self>,
        op: &'static str,
        call: impl FnOnce() -> CacheFuture<'static, CacheResult<()>> + Send + 'static,
    ) -> CacheFuture<'static, CacheResult<()>> {
        let (called, calls) = oneshot::channel();
        let make = move || drop(called.send(call()));
        let queued = if inside::is_inside() { inside::later(make) } else { self.tasks.spawn(async move { make() }) };
        if !queued {
            tracing::warn!(target: "accelerator", op, "refused: {}", inside::RULE);
        }
        CacheFuture::boxed(async move {
            if !queued || inside::is_called() {
                return Err(refused(op));
            }
            match calls.await {
                Ok(call) => call.await,
                Err(_) => Err(refused(op)),
            }
        })
    }
}

fn refused(op: &str) -> CacheError {
    CacheError::new(ErrorKind::Unconfirmed, format!("{op} was not waited for: {}", inside::RULE))
}

/// What is in L1 for the key is about to go. Dropped, as a panic unwinds, it goes all the same.
struct Replacing<'a, K: Key, V: Value> {
    local: &'a Local<K, V>,
    key: &'a K,
}

impl<K: Key, V: Value> Drop for Replacing<'_, K, V> {
    #[cold]
    fn drop(&mut self) {
        let _ = Local::<K, V>::caught("the L1 store", || self.local.l1.remove(self.key));
    }
}
