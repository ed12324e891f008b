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

impl<K: Key, V: Value> Engine<K, V> {
    /// Deletes many keys (one is many).
    pub(crate) fn delete(self: &Arc<Self>, op: &'static str, keys: Vec<K>) -> CacheFuture<'static, CacheResult<()>> {
        if self.is_called() {
            return self.outside(op, move |engine| engine.delete(op, keys));
        }
        if self.is_closed() {
            return CacheFuture::ready(Err(CacheError::shutdown()));
        }
        // 1
        let mut purged = Ok(());
        for key in &keys {
            purged = purged.and(Self::caught("the L1 store", || self.purge(key)));
        }
        let Some(remote) = &self.remote else { return CacheFuture::ready(purged) };
        let mut deletes: Vec<_> = keys
            .into_iter()
            .map(|key| Delete {
                wire: remote.name(&key).wire().to_owned(),
                slot: Registration::new(self.clone(), key),
                settled: false,
            })
            .collect();
        // Sorted, as in `write`; and a key twice would wait for its own turn.
        deletes.sort_by(|a, b| a.wire.cmp(&b.wire));
        deletes.dedup_by(|b, a| {
            let same = a.wire == b.wire && a.slot.key == b.slot.key;
            b.settled |= same;
            same
        });
        let engine = self.clone();
        self.in_task(op, async move {
            let mut first = purged;
            let mut deletes = deletes.into_iter().peekable();
            while deletes.peek().is_some() {
                let chunk: Vec<_> = deletes.by_ref().take(engine.policy.max_batch).collect();
                first = first.and(engine.delete_chunk(op, chunk).await);
            }
            first
        })
    }

    async fn delete_chunk(&self, op: &'static str, mut chunk: Vec<Delete<K, V>>) -> CacheResult<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let keys = chunk.iter().filter(|_| !cfg!(accelerator_mutant = "del-without-turn"));
        let until = self.write_deadline();
        let turns = match self.turns(until, keys.map(|delete| (&delete.slot.key, delete.slot.at.hash))).await {
            Ok(turns) => turns,
            Err(e) => {
                let mut queued = true;
                for delete in &mut chunk {
                    self.table.overtake(&delete.slot.key, &delete.slot.at);
                    queued &= delete.failed();
                }
                return Err(CacheError::unconfirmed(op, e, queued));
            }
        };
        // 2
        let wires: Vec<&str> = chunk.iter().map(|d| d.wire.as_str()).collect();
        // A key that is remembered from here on needs another delete than this one.
        let mark = remote.bypass.mark();
        let results = self.per_key(self.timed_until(until, remote.del_all(&wires)).await, wires.len());
        let mut first = Ok(());
        for (delete, result) in chunk.iter_mut().zip(results) {
            // Also where L2 did not confirm: an older write that came now would outlive the bypass.
            self.table.overtake(&delete.slot.key, &delete.slot.at);
            match result {
                Ok(()) => {
                    remote.bypass.remove_before(&delete.slot.key, mark, self.now());
                    delete.settled = true;
                }
                Err(e) => {
                    let queued = delete.failed();
                    first = first.and(Err(CacheError::unconfirmed(op, e, queued)));
                }
            }
        }
        // 3 and 4, before the next writer has its turn.
        drop(chunk);
        drop(turns);
        first
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
            remote.cleared_at.fetch_max(self.clock.unix_exact(), Ordering::AcqRel);
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
    /// Confirmed, or known not to be.
    settled: bool,
}

impl<K: Key, V: Value> Delete<K, V> {
    /// Step 4. `true`: the delete is queued.
    fn failed(&mut self) -> bool {
        self.settled = true;
        self.slot.engine.distrust(&self.slot.key)
    }
}

impl<K: Key, V: Value> Drop for Delete<K, V> {
    fn drop(&mut self) {
        if !self.settled {
            self.failed();
        }
        let (engine, key) = (&self.slot.engine, &self.slot.key);
        #[cfg(not(accelerator_mutant = "single-purge"))]
        let _ = Engine::<K, V>::caught("the L1 store", || engine.purge(key));
    }
}
