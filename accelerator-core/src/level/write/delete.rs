//! Invalidate: `del`, `mdel` and `clear`.
//!
//! 1. purge L1 under the fence, at the call: loads in progress can't fill any more
//! 2. (in a task, in turn with other writers of the key) delete in L2
//! 3. purge L1 again: a reader may have taken the old value from L2 in between
//! 4. L2 did not confirm: read past L2 for the key, send the delete again (`remote/bypass.rs`), say so
//! 5. whatever L2 said: tell other nodes, where there is a bus

use std::sync::Arc;

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult};
use crate::level::bounds::{Key, Value};
use crate::level::bus::Bus;
use crate::level::engine::Engine;
use crate::level::local::Local;
use crate::level::local::registration::Registration;
use crate::level::remote::Remote;
use crate::level::time::deadline::Deadline;
use crate::level::wire::wall_clock;
use crate::level::write::in_task::in_task;
use crate::level::write::in_turn::{InTurn, Tally, in_turns};
use crate::level::write::tell::{Telling, told};
use crate::traits::l2::HoldOwner;

/// Deletes many keys (one is many).
pub(crate) fn delete<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    op: &'static str,
    keys: Vec<K>,
) -> CacheFuture<'static, CacheResult<()>> {
    delete_as(Levels::of(engine), op, keys, None)
}

/// Where a delete goes.
pub(crate) struct Levels<K, V> {
    pub(crate) local: Arc<Local<K, V>>,
    pub(crate) remote: Option<Arc<Remote<K, V>>>,
    pub(crate) bus: Option<Arc<Bus<K, V>>>,
}

impl<K: Key, V: Value> Levels<K, V> {
    pub(crate) fn of(engine: &Engine<K, V>) -> Self {
        Self { local: engine.local.clone(), remote: engine.remote.clone(), bus: engine.bus.clone() }
    }

    /// Where there is an L2.
    pub(crate) fn of_remote(remote: &Arc<Remote<K, V>>) -> Self {
        Self { local: remote.local.clone(), remote: Some(remote.clone()), bus: remote.bus.clone() }
    }
}

/// [`delete`], which also ends the hold of a guard of the one key.
pub(crate) fn delete_as<K: Key, V: Value>(
    levels: Levels<K, V>,
    op: &'static str,
    keys: Vec<K>,
    owner: Option<HoldOwner>,
) -> CacheFuture<'static, CacheResult<()>> {
    let local = levels.local.clone();
    if local.is_called() {
        return local.outside(op, move || delete_as(levels, op, keys, owner));
    }
    // 1: after a shutdown, too. L1 is still read then.
    let mut purged = Ok(());
    for key in &keys {
        purged = purged.and(Local::<K, V>::caught("the L1 store", || local.purge(key)));
    }
    if local.is_closed() {
        return CacheFuture::ready(Err(CacheError::shutdown()));
    }
    let news = levels.bus.as_ref().map(|bus| bus.announce(keys.iter()));
    let Some(remote) = levels.remote else { return told(op, purged, news) };
    let mut deletes: Vec<_> = keys
        .into_iter()
        .map(|key| Delete {
            wire: remote.wire.name(&key).wire().to_owned(),
            remote: remote.clone(),
            slot: Registration::new(local.clone(), key),
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
    let own = remote.clone();
    in_task(&remote, op, async move {
        let mut telling = Telling::of(news);
        let deleted = in_turns(&own, op, deletes, &mut telling).await;
        telling.tell(op, purged.and(deleted)).await
    })
}

/// All that is cached becomes a miss for this node, and for those that hear of it.
pub(crate) fn clear_all<K: Key, V: Value>(engine: &Arc<Engine<K, V>>) -> CacheFuture<'static, CacheResult<()>> {
    let clear_l2 = engine.remote.as_ref().map(|remote| {
        || remote.wire.cleared.clear(wall_clock::to_clear(&*remote.store, engine.local.clock.unix_exact()))
    });
    engine.local.clear(clear_l2);
    if engine.local.is_closed() {
        return CacheFuture::ready(Err(CacheError::shutdown()));
    }
    told("clear", Ok(()), engine.bus.as_ref().map(Bus::announce_clear))
}

/// A delete on its way. Dropped, it purges L1 once more; unconfirmed, it makes this node read past L2 for the key.
struct Delete<K: Key, V: Value> {
    remote: Arc<Remote<K, V>>,
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

    async fn send(
        remote: &Arc<Remote<K, V>>,
        mut some: Vec<Self>,
        until: Deadline,
        telling: Option<&mut Telling<K, V>>,
    ) -> Tally {
        let mut tally = Tally::new();
        // 2
        let wires: Vec<&str> = some.iter().map(|delete| delete.wire.as_str()).collect();
        let owner = some.first().and_then(|one| one.owner);
        // A key that is remembered from here on needs another delete than this one.
        let mark = remote.bypass.mark();
        let left = until.left();
        // The end of a guard can't be told with it.
        let mut telling = telling.filter(|_| owner.is_none());
        let mut attached = telling.as_mut().and_then(|telling| telling.attach(left));
        let deleted = remote.del_all(&wires, owner, attached.as_mut(), until.limit, left).await;
        if let Some(telling) = telling {
            telling.told(attached);
        }
        for (delete, outcome) in some.iter_mut().zip(deleted) {
            match outcome {
                Ok(()) => {
                    remote.local.table.overtake(&delete.slot.key, &delete.slot.at);
                    remote.bypass.remove_before(&delete.slot.key, mark, remote.local.now());
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
        self.remote.local.table.overtake(&slot.key, &slot.at);
        self.remote.remember_unconfirmed(&slot.key)
    }
}

impl<K: Key, V: Value> Drop for Delete<K, V> {
    fn drop(&mut self) {
        if !self.settled {
            self.settled = true;
            self.remote.remember_unconfirmed(&self.slot.key);
        }
        let (local, key) = (&self.slot.local, &self.slot.key);
        let _ = Local::<K, V>::caught("the L1 store", || local.purge(key));
    }
}
