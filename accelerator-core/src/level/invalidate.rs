//! Invalidate: `del`, `mdel` and `clear`.
//!
//! 1. purge L1 under the fence, at the call: loads in progress can't fill any more
//! 2. (in a task, in turn with other writers of the key) delete in L2
//! 3. purge L1 again: a reader may have taken the old value from L2 in between
//! 4. L2 did not confirm: read past L2 for the key, send the delete again (`recovery.rs`), say so

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult};
use crate::inside;
use crate::level::engine::{Engine, Key, Value};
use crate::level::ticket::Registration;
use crate::level::turns::{Deadline, InTurn, Tally};
use crate::level::wall;
use crate::traits::l2::HoldOwner;
use crate::traits::outcomes::Outcomes;

impl<K: Key, V: Value> Engine<K, V> {
    /// Deletes many keys (one is many).
    pub(crate) fn delete(self: &Arc<Self>, op: &'static str, keys: Vec<K>) -> CacheFuture<'static, CacheResult<()>> {
        self.delete_as(op, keys, None)
    }

    /// [`delete`](Self::delete), which also ends the hold of a guard of the one key.
    pub(crate) fn delete_as(
        self: &Arc<Self>,
        op: &'static str,
        keys: Vec<K>,
        owner: Option<HoldOwner>,
    ) -> CacheFuture<'static, CacheResult<()>> {
        if self.is_called() {
            return self.outside(op, move |engine| engine.delete_as(op, keys, owner));
        }
        // 1: after a shutdown, too. L1 is still read then.
        let mut purged = Ok(());
        for key in &keys {
            purged = purged.and(Self::caught("the L1 store", || self.purge(key)));
        }
        if self.is_closed() {
            return CacheFuture::ready(Err(CacheError::shutdown()));
        }
        let Some(remote) = &self.remote else { return CacheFuture::ready(purged) };
        let mut deletes: Vec<_> = keys
            .into_iter()
            .map(|key| Delete {
                wire: remote.name(&key).wire().to_owned(),
                slot: Registration::new(self.clone(), key),
                owner,
                settled: false,
            })
            .collect();
        // A key twice would wait for its own turn.
        deletes.sort_by(|a, b| a.wire.cmp(&b.wire));
        deletes.dedup_by(|b, a| {
            let same = a.wire == b.wire && a.slot.key == b.slot.key;
            b.settled |= same;
            same
        });
        let engine = self.clone();
        self.in_task(op, async move { purged.and(engine.in_turns(op, deletes).await) })
    }

    /// Removes the key from L1 under the fence.
    #[inline]
    pub(crate) fn purge(&self, key: &K) {
        self.table.invalidate(key, || self.forgo(key));
    }

    /// All that is cached becomes a miss for this node.
    pub(crate) fn clear_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        if let Some(remote) = &self.remote {
            // Fills that passed their check before the line above were sealed before this moment; who read L2 between
            // the two is cut off by the second step.
            remote.cleared.clear(wall::to_clear(&*remote.store, self.clock.unix_exact()));
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        // For the memory only: entries of an older generation are misses already. A store that is dropping a value must not
        // be asked for it.
        if inside::is_called() {
            return;
        }
        // A store drops its values here, maybe under locks of its own.
        let _inside = inside::enter();
        self.l1.clear();
    }
}

/// A delete on its way. Dropped, it purges L1 once more; unconfirmed, it makes this node read past L2 for the key.
struct Delete<K: Key, V: Value> {
    slot: Registration<K, V>,
    wire: String,
    /// Of the hold that ends with it, where a guard finishes.
    owner: Option<HoldOwner>,
    /// Confirmed, or known not to be.
    settled: bool,
}

impl<K: Key, V: Value> InTurn<K, V> for Delete<K, V> {
    const WAITS: bool = true;

    fn slot(&self) -> &Registration<K, V> {
        &self.slot
    }

    fn bytes(&self) -> usize {
        self.wire.len()
    }

    async fn send(engine: &Engine<K, V>, mut some: Vec<Self>, until: Deadline) -> Tally {
        let mut tally = Tally::new();
        let Some(remote) = &engine.remote else { return tally };
        // 2
        let wires: Vec<&str> = some.iter().map(|delete| delete.wire.as_str()).collect();
        let mut outcomes = Outcomes::new(wires.len());
        // A key that is remembered from here on needs another delete than this one.
        let mark = remote.bypass.mark();
        let ended = engine
            .timed_write(until, remote.delete_all(&wires, some.first().and_then(|one| one.owner), &mut outcomes))
            .await;
        for (delete, outcome) in some.iter_mut().zip(engine.all_outcomes(remote, until.limit, ended, outcomes)) {
            match outcome {
                Ok(()) => {
                    engine.table.overtake(&delete.slot.key, &delete.slot.at);
                    remote.bypass.remove_before(&delete.slot.key, mark, engine.now());
                    delete.settled = true;
                }
                Err(e) => tally.fail(e, delete.unconfirmed()),
            }
        }
        // 3: dropped before the turns.
        tally
    }

    fn failed(mut self) -> bool {
        self.unconfirmed()
    }
}

impl<K: Key, V: Value> Delete<K, V> {
    /// Step 4. Older writes are not sent any more: one that came now would outlive the bypass. `true`: the delete is
    /// queued.
    fn unconfirmed(&mut self) -> bool {
        self.settled = true;
        let slot = &self.slot;
        slot.engine.table.overtake(&slot.key, &slot.at);
        slot.engine.distrust(&slot.key)
    }
}

impl<K: Key, V: Value> Drop for Delete<K, V> {
    fn drop(&mut self) {
        if !self.settled {
            self.settled = true;
            self.slot.engine.distrust(&self.slot.key);
        }
        let (engine, key) = (&self.slot.engine, &self.slot.key);
        let _ = Engine::<K, V>::caught("the L1 store", || engine.purge(key));
    }
}
