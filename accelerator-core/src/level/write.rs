//! Write: `set` and `mset`.
//!
//! 1. encode · 2. purge L1 and register in the key's slot, at the call · 3. (in a task, in turn with other writers of
//!    the key) write L2, unless something later had its turn first
//! 4. under the fence: undisturbed: insert into L1, else remove; either way later readers start anew
//!    (or a writer holds the key: remove)
//! 5. L2 did not confirm: remove from L1, read past L2 for the key, say so
//!
//! Without L2, 4 happens at the call.

use std::sync::Arc;

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult, StoreErrorKind};
use crate::level::engine::{Engine, Key, Value};
use crate::level::policy::Life;
use crate::level::remote::Sealed;
use crate::level::ticket::Registration;
use crate::level::turns::{Deadline, InTurn, Tally};
use crate::options::WriteOptions;
use crate::traits::outcomes::Outcomes;

/// What is said to have panicked where L1 was written.
const INTO_L1: &str = "a value's own code, a weigher or the L1 store";

/// A key with its value, its life in L1, its name in L2 and its bytes there.
type SealedWrite<K, V> = (K, Option<V>, Life, String, Sealed);

/// Writes that can no longer fail before they begin.
enum Ready<K, V> {
    L1(Vec<(K, Option<V>, Life)>),
    Both(Vec<SealedWrite<K, V>>),
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Writes many keys (one is many); later items win over earlier ones of the same key.
    pub(crate) fn write(
        self: &Arc<Self>,
        op: &'static str,
        items: Vec<(K, Option<V>)>,
        options: WriteOptions,
    ) -> CacheFuture<'static, CacheResult<()>> {
        if self.is_called() {
            return self.outside(op, move |engine| engine.write(op, items, options));
        }
        if self.is_closed() {
            // L1 is still read, and the older value must go.
            for (key, _) in &items {
                let _ = Self::caught(INTO_L1, || self.purge(key));
            }
            return CacheFuture::ready(Err(CacheError::shutdown()));
        }
        let items = last_of_each(items);
        // What may not be cached is a delete: the older value must go.
        let (keep, drop): (Vec<_>, Vec<_>) = items
            .into_iter()
            .map(|(key, value)| {
                let lives = self.policy.lives(value.is_none(), options.ttl);
                (key, value, lives)
            })
            .partition(|(_, _, lives)| lives.is_some());
        let items = keep.into_iter().filter_map(|(key, value, lives)| lives.map(|l| (key, value, l)));
        // 1: an error here has changed nothing. Lives count from before: encoding takes time, too.
        let at = self.now();
        let ready = match self.ready_to_write(items) {
            Ok(ready) => ready,
            Err(e) => return CacheFuture::ready(Err(e)),
        };
        let deleted =
            if drop.is_empty() { None } else { Some(self.delete(op, drop.into_iter().map(|(key, ..)| key).collect())) };
        let written = match ready {
            Ready::L1(items) => CacheFuture::ready(self.write_l1(items)),
            Ready::Both(writes) => self.write_both(op, writes, at),
        };
        match deleted {
            None => written,
            Some(deleted) => CacheFuture::boxed(async move { CacheError::of_two(written.await, deleted.await) }),
        }
    }

    fn ready_to_write(&self, items: impl Iterator<Item = (K, Option<V>, (Life, Life))>) -> CacheResult<Ready<K, V>> {
        let Some(remote) = &self.remote else {
            return Ok(Ready::L1(items.map(|(key, value, (l1, _))| (key, value, l1)).collect()));
        };
        let sealed = items.map(|(key, value, (l1, l2))| {
            let name = remote.name(&key);
            let sealed = remote.seal(&name, value.as_ref(), l2, self.clock.unix())?;
            Ok((key, value, l1, name.wire().to_owned(), sealed))
        });
        sealed.collect::<CacheResult<_>>().map(Ready::Both)
    }

    /// The first error; the other items were still written.
    fn write_l1(&self, items: Vec<(K, Option<V>, Life)>) -> CacheResult<()> {
        // 4
        let mut first = Ok(());
        for (key, value, life) in items {
            let entry = self.policy.entry(value, life, self.now(), self.generation());
            let replace = || self.table.invalidate(&key, || self.keep(&key, entry));
            first = first.and(Self::caught(INTO_L1, replace));
        }
        first
    }

    fn write_both(
        self: &Arc<Self>,
        op: &'static str,
        writes: Vec<SealedWrite<K, V>>,
        at: u64,
    ) -> CacheFuture<'static, CacheResult<()>> {
        if writes.is_empty() {
            return CacheFuture::ready(Ok(()));
        }
        // 2
        let pending: Vec<_> = writes
            .into_iter()
            .map(|(key, value, l1, wire, sealed)| Write {
                pending: {
                    // The older value goes at the call, as with `del`. Should user code panic, it goes at the end.
                    let _ = Self::caught(INTO_L1, || self.purge(&key));
                    PendingWrite { slot: Registration::new(self.clone(), key), settled: false }
                },
                value,
                life: l1,
                at,
                wire,
                sealed,
            })
            .collect();
        // What this node guards is a delete, too: asked once it is registered, as a load does (`guarded.rs`).
        let guarding = self.remote.as_ref().filter(|remote| !remote.guarded.is_empty());
        if let Some(remote) = guarding {
            let guarded = |write: &Write<K, V>| self.guards(remote, &write.pending.slot.key);
            let (guarded, pending): (Vec<_>, Vec<_>) = pending.into_iter().partition(guarded);
            let doomed = guarded.iter().map(|write| write.pending.slot.key.clone()).collect();
            guarded.into_iter().for_each(|write| write.pending.overtaken());
            let (deleted, written) = (self.delete(op, doomed), self.send_writes(op, pending));
            return CacheFuture::boxed(async move { written.await.and(deleted.await) });
        }
        self.send_writes(op, pending)
    }

    fn send_writes(
        self: &Arc<Self>,
        op: &'static str,
        pending: Vec<Write<K, V>>,
    ) -> CacheFuture<'static, CacheResult<()>> {
        if pending.is_empty() {
            return CacheFuture::ready(Ok(()));
        }
        let engine = self.clone();
        // 3
        self.in_task(op, async move { engine.in_turns(op, pending).await })
    }
}

struct Write<K: Key, V: Value> {
    pending: PendingWrite<K, V>,
    value: Option<V>,
    life: Life,
    /// When the value was sealed, or before.
    at: u64,
    wire: String,
    sealed: Sealed,
}

impl<K: Key, V: Value> InTurn<K, V> for Write<K, V> {
    const WAITS: bool = true;

    fn slot(&self) -> &Registration<K, V> {
        &self.pending.slot
    }

    fn bytes(&self) -> usize {
        self.wire.len() + self.sealed.bytes.len()
    }

    async fn send(engine: &Engine<K, V>, some: Vec<Self>, until: Deadline) -> Tally {
        let mut tally = Tally::new();
        let Some(remote) = &engine.remote else { return tally };
        // A `del`, a `clear` or another `set` that was called after this one has had its turn already: writing the older
        // value now would undo it. (If it still waits for its turn, it will correct this write.)
        let (some, late): (Vec<_>, Vec<_>) = some.into_iter().partition(|write| !write.pending.is_overtaken());
        late.into_iter().for_each(|write| write.pending.overtaken());
        if some.is_empty() {
            return tally;
        }
        // What is remembered from here on needs another write than this one.
        let mark = remote.bypass.mark();
        let mut outcomes = Outcomes::new(some.len());
        let items: Vec<_> = some.iter().map(|w| (w.wire.as_str(), w.sealed.bytes.clone(), w.sealed.ttl)).collect();
        let ended = engine.timed_write(until, remote.set_all(items, &mut outcomes)).await;
        for (write, outcome) in some.into_iter().zip(engine.all_outcomes(remote, until.limit, ended, outcomes)) {
            match outcome {
                Ok(()) => tally.confirm(write.pending.done(write.value, write.life, write.at, mark)),
                Err(e) if e.kind() == StoreErrorKind::Held => {
                    tally.confirm(write.pending.held(mark));
                }
                // 5
                Err(e) => tally.fail(e, write.pending.failed()),
            }
        }
        tally
    }

    fn failed(self) -> bool {
        self.pending.failed()
    }
}

/// A write that L2 has not confirmed. Dropped like that (failure, lost task), it corrects L1 and makes this node read
/// past L2 for the key.
struct PendingWrite<K: Key, V: Value> {
    slot: Registration<K, V>,
    settled: bool,
}

impl<K: Key, V: Value> PendingWrite<K, V> {
    /// Step 5. Older writes are not sent any more: one that came now would outlive the bypass. `true`: a delete is
    /// queued.
    fn failed(mut self) -> bool {
        self.slot.engine.table.overtake(&self.slot.key, &self.slot.at);
        self.correct()
    }

    fn correct(&mut self) -> bool {
        self.settled = true;
        let slot = &self.slot;
        let queued = slot.engine.distrust(&slot.key);
        let _ = Engine::<K, V>::caught(INTO_L1, || slot.engine.purge(&slot.key));
        queued
    }

    fn is_overtaken(&self) -> bool {
        let slot = &self.slot;
        slot.engine.table.is_overtaken(&slot.key, &slot.at, slot.engine.generation())
    }

    /// Ends without a trace: something later counts.
    fn overtaken(mut self) {
        self.settled = true;
        let slot = &mut self.slot;
        slot.ended = true;
        let engine = &slot.engine;
        engine.table.commit(&slot.key, slot.at.hash, slot.at.token, None, || engine.generation(), |_| {});
    }

    /// Step 4, where a writer holds the key: nothing older is in L2, and nobody keeps the value.
    fn held(mut self, mark: u64) -> CacheResult<()> {
        self.settled = true;
        let slot = &mut self.slot;
        slot.ended = true;
        let (engine, key) = (&slot.engine, &slot.key);
        if let Some(remote) = &engine.remote {
            remote.bypass.remove_before(key, mark, engine.now());
        }
        let commit = || engine.table.commit_write(key, &slot.at, || engine.generation(), |_| engine.forgo(key));
        Engine::<K, V>::caught(INTO_L1, commit)
    }

    /// Step 4. L1's life counts from `at`, before the value was sealed for L2: it must not outlive that. What L2 has is
    /// right from here on: the queued delete of an earlier write, remembered before `mark`, is not sent any more.
    ///
    /// # Errors
    /// User code panicked: L2 has the value, and L1 has nothing.
    fn done(mut self, value: Option<V>, life: Life, at: u64, mark: u64) -> CacheResult<()> {
        self.settled = true;
        let slot = &mut self.slot;
        slot.ended = true;
        let (engine, key) = (&slot.engine, &slot.key);
        if let Some(remote) = &engine.remote {
            remote.bypass.remove_before(key, mark, engine.now());
        }
        let entry = engine.policy.entry(value, life, at, slot.at.token.generation);
        let store = |valid| if valid { engine.keep(key, entry) } else { engine.forgo(key) };
        let commit = || engine.table.commit_write(key, &slot.at, || engine.generation(), store);
        Engine::<K, V>::caught(INTO_L1, commit)
    }
}

impl<K: Key, V: Value> Drop for PendingWrite<K, V> {
    fn drop(&mut self) {
        if !self.settled {
            self.correct();
        }
    }
}

/// The last item of each key, in any order.
fn last_of_each<K: Key, V>(items: Vec<(K, Option<V>)>) -> Vec<(K, Option<V>)> {
    if items.len() < 2 {
        return items;
    }
    let mut seen = std::collections::HashSet::with_capacity(items.len());
    let mut keep: Vec<bool> = items.iter().rev().map(|(key, _)| seen.insert(key)).collect();
    keep.reverse();
    let mut keep = keep.into_iter();
    items.into_iter().filter(|_| keep.next().unwrap_or(true)).collect()
}
