//! Invalidate: `del`, `mdel` and `clear`.
//!
//! 1. purge L1 under the fence, at the call: loads in progress can't fill any more
//! 2. (in a task, in turn with other writers of the key) delete in L2
//! 3. purge L1 again: a reader may have taken the old value from L2 in between
//! 4. L2 did not confirm: read past L2 for the key, say so

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult};
use crate::level::engine::{Engine, Key, Value};
use crate::level::ticket::Registration;

impl<K: Key, V: Value> Engine<K, V> {
    /// Deletes many keys (one is many).
    pub(crate) fn delete(self: &Arc<Self>, op: &'static str, keys: Vec<K>) -> CacheFuture<'static, CacheResult<()>> {
        if self.is_closed() {
            return CacheFuture::ready(Err(CacheError::shutdown()));
        }
        // 1
        for key in &keys {
            self.purge(key);
        }
        let Some(remote) = &self.remote else { return CacheFuture::ready(Ok(())) };
        let mut deletes: Vec<_> = keys
            .into_iter()
            .map(|key| Delete {
                wire: remote.name(&key).wire().to_owned(),
                slot: Registration::new(self.clone(), key),
                confirmed: false,
            })
            .collect();
        // Sorted, as in `write`; and a key twice would wait for its own turn.
        deletes.sort_by(|a, b| a.wire.cmp(&b.wire));
        deletes.dedup_by(|b, a| {
            let same = a.wire == b.wire && a.slot.key == b.slot.key;
            b.confirmed |= same;
            same
        });
        let engine = self.clone();
        self.in_task(op, async move {
            let mut first = Ok(());
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
        let turns = match self.turns(keys.map(|delete| (&delete.slot.key, delete.slot.at.hash))).await {
            Ok(turns) => turns,
            Err(e) => {
                chunk.iter().for_each(|delete| self.table.overtake(&delete.slot.key, &delete.slot.at));
                return Err(CacheError::unconfirmed(op, e));
            }
        };
        // 2
        let wires: Vec<&str> = chunk.iter().map(|d| d.wire.as_str()).collect();
        let results = self.timed(self.policy.l2_write_timeout, remote.del_all(&wires)).await;
        let results = self.per_key(results, wires.len());
        let mut first = Ok(());
        for (delete, result) in chunk.iter_mut().zip(results) {
            // Also where L2 did not confirm: an older write that came now would outlive the bypass.
            self.table.overtake(&delete.slot.key, &delete.slot.at);
            match result {
                Ok(()) => {
                    remote.bypass.remove(&delete.slot.key, self.now());
                    delete.confirmed = true;
                }
                Err(e) => first = first.and(Err(CacheError::unconfirmed(op, e))),
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
        self.table.invalidate(key, || self.l1.remove(key));
    }

    /// This node reads past L2 for the key until a delete succeeds, or nothing written so far can live there.
    pub(crate) fn distrust(&self, key: &K) {
        if let Some(remote) = &self.remote {
            let now = self.now();
            #[cfg(not(accelerator_mutant = "no-bypass"))]
            remote.bypass.insert(key, now, now.saturating_add(self.policy.longest()), ());
        }
    }

    /// All that is cached becomes a miss for this node.
    pub(crate) fn clear_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        if let Some(remote) = &self.remote {
            // Fills that passed their check before the line above were sealed before this moment; who read L2 between
            // the two is cut off by the second step.
            remote.cleared_at.fetch_max(self.clock.unix(), Ordering::AcqRel);
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        // For the memory only: entries of an older generation are misses already.
        self.l1.clear();
    }
}

/// A delete on its way. Dropped, it purges L1 once more; unconfirmed, it makes this node read past L2 for the key.
struct Delete<K: Key, V: Value> {
    slot: Registration<K, V>,
    wire: String,
    confirmed: bool,
}

impl<K: Key, V: Value> Drop for Delete<K, V> {
    fn drop(&mut self) {
        let (engine, key) = (&self.slot.engine, &self.slot.key);
        if !self.confirmed {
            engine.distrust(key);
        }
        #[cfg(not(accelerator_mutant = "single-purge"))]
        engine.purge(key);
    }
}
