//! Write: `set` and `mset`.
//!
//! 1. encode · 2. purge L1 and register in the key's slot, at the call · 3. (in a task, in turn with other writers of
//!    the key) write L2, unless something later had its turn first
//! 4. under the fence: undisturbed: insert into L1, else remove; either way later readers start anew
//!    (or a writer holds the key: remove)
//! 5. L2 did not confirm: remove from L1, read past L2 for the key, say so
//! 6. whatever L2 said: tell other nodes, where there is a bus
//!
//! Without L2, 4 happens at the call.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cache::CacheFuture;
use crate::entry::Entry;
use crate::error::{CacheError, CacheResult, StoreErrorKind};
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::local::Local;
use crate::level::local::outcome::FromSource;
use crate::level::local::registration::Registration;
use crate::level::remote::Remote;
use crate::level::time::deadline::Deadline;
use crate::level::time::policy::Life;
use crate::level::wire::seal::{Sealed, Unsealed};
use crate::level::write::delete::{Levels, delete, delete_as};
use crate::level::write::in_task::in_task;
use crate::level::write::in_turn::{InTurn, Tally, in_turns};
use crate::level::write::tell::{Telling, told};
use crate::options::WriteOptions;
use crate::traits::loader::Loaded;

/// What is said to have panicked where L1 was written.
const INTO_L1: &str = "a value's own code, a weigher or the L1 store";

/// A key with its value, its name in L2 and its bytes there.
type SealedWrite<K, V> = (K, FromSource<V>, String, Sealed);

/// Writes that can no longer fail before they begin.
enum Ready<K: Key, V: Value> {
    L1(Vec<(K, FromSource<V>)>),
    Both(Arc<Remote<K, V>>, Vec<SealedWrite<K, V>>),
}

/// Writes many keys (one is many); later items win over earlier ones of the same key.
pub(crate) fn write<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    op: &'static str,
    items: Vec<(K, Option<V>)>,
    options: WriteOptions,
) -> CacheFuture<'static, CacheResult<()>> {
    if engine.local.is_called() {
        let own = engine.clone();
        return engine.local.outside(op, move || write(&own, op, items, options));
    }
    if engine.local.is_closed() {
        // L1 is still read, and the older value must go.
        for (key, _) in &items {
            let _ = Local::<K, V>::caught(INTO_L1, || engine.local.purge(key));
        }
        return CacheFuture::ready(Err(CacheError::shutdown()));
    }
    let items = last_of_each(items);
    // What may not be cached is a delete: the older value must go.
    let (mut keep, mut gone) = (Vec::with_capacity(items.len()), Vec::new());
    // Lives count from before: encoding takes time, too.
    let at = engine.local.now();
    for (key, value) in items {
        let value = engine.local.with_lives_at(Loaded { value, ttl: options.ttl }, at);
        match value.lives {
            Some((_, l2)) => keep.push((key, value, l2)),
            None => gone.push(key),
        }
    }
    // 1: an error here has changed nothing.
    let ready = match ready_to_write(engine, keep) {
        Ok(ready) => ready,
        Err(e) => return CacheFuture::ready(Err(e)),
    };
    let deleted = if gone.is_empty() { None } else { Some(delete(engine, op, gone)) };
    let written = match ready {
        Ready::L1(items) => write_l1(engine, op, items),
        Ready::Both(remote, writes) => write_both(&remote, op, writes),
    };
    match deleted {
        None => written,
        Some(deleted) => CacheFuture::boxed(async move { CacheError::of_two(written.await, deleted.await) }),
    }
}

fn ready_to_write<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    items: Vec<(K, FromSource<V>, Life)>,
) -> CacheResult<Ready<K, V>> {
    let Some(remote) = &engine.remote else {
        return Ok(Ready::L1(items.into_iter().map(|(key, value, _)| (key, value)).collect()));
    };
    let sealed = items.into_iter().map(|(key, value, l2)| {
        let name = remote.wire.name(&key);
        let sealed = remote.wire.seal(&*remote.store, &name, value.value.as_ref(), l2, engine.local.clock.unix());
        let sealed = sealed.map_err(Unsealed::into_error)?;
        Ok((key, value, name.wire().to_owned(), sealed))
    });
    sealed.collect::<CacheResult<_>>().map(|writes| Ready::Both(remote.clone(), writes))
}

/// The first error; the other items were still written.
fn write_l1<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    op: &'static str,
    items: Vec<(K, FromSource<V>)>,
) -> CacheFuture<'static, CacheResult<()>> {
    let bus = engine.bus.as_ref().filter(|_| !items.is_empty());
    let news = bus.map(|bus| bus.announce(items.iter().map(|(key, _)| key)));
    // 4
    let mut first = Ok(());
    for (key, value) in items {
        let entry = engine.local.entry_of(value, engine.local.generation());
        let replace = || engine.local.table.invalidate(&key, || engine.local.keep_or_forgo(&key, entry));
        first = first.and(Local::<K, V>::caught(INTO_L1, replace));
    }
    // 6
    told(op, first, news)
}

fn write_both<K: Key, V: Value>(
    remote: &Arc<Remote<K, V>>,
    op: &'static str,
    writes: Vec<SealedWrite<K, V>>,
) -> CacheFuture<'static, CacheResult<()>> {
    if writes.is_empty() {
        return CacheFuture::ready(Ok(()));
    }
    // 2
    let pending: Vec<_> = writes
        .into_iter()
        .map(|(key, value, wire, sealed)| {
            // The older value goes at the call, as with `del`. Should user code panic, it goes at the end.
            let _ = Local::<K, V>::caught(INTO_L1, || remote.local.purge(&key));
            let slot = Registration::new(remote.local.clone(), key);
            let entry = remote.local.entry_of(value, slot.at.token.generation);
            Write { pending: PendingWrite { remote: remote.clone(), slot, settled: false }, entry, wire, sealed }
        })
        .collect();
    // What this node guards is a delete, too: asked once it is registered, as a load does (`local/guarded.rs`).
    if !remote.guarded.is_empty() {
        let guarded = |write: &Write<K, V>| remote.guards(&write.pending.slot.key);
        let (guarded, pending): (Vec<_>, Vec<_>) = pending.into_iter().partition(guarded);
        let doomed = guarded.iter().map(|write| write.pending.slot.key.clone()).collect();
        guarded.into_iter().for_each(|write| write.pending.overtaken());
        let deleted = delete_as(Levels::of_remote(remote), op, doomed, None);
        let written = send_writes(remote, op, pending);
        return CacheFuture::boxed(async move { written.await.and(deleted.await) });
    }
    send_writes(remote, op, pending)
}

fn send_writes<K: Key, V: Value>(
    remote: &Arc<Remote<K, V>>,
    op: &'static str,
    pending: Vec<Write<K, V>>,
) -> CacheFuture<'static, CacheResult<()>> {
    if pending.is_empty() {
        return CacheFuture::ready(Ok(()));
    }
    let (own, keys) = (remote.clone(), pending.iter().map(|write| &write.pending.slot.key));
    let news = remote.bus.as_ref().map(|bus| bus.announce(keys));
    // 3 and 6
    in_task(remote, op, async move {
        let mut telling = Telling::of(news);
        let written = in_turns(&own, op, pending, &mut telling).await;
        telling.tell(op, written).await
    })
}

struct Write<K: Key, V: Value> {
    pending: PendingWrite<K, V>,
    /// For L1. Its life counts from before the value was sealed for L2: it must not outlive that.
    entry: Option<Entry<V>>,
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

    async fn send(
        remote: &Arc<Remote<K, V>>,
        some: Vec<Self>,
        until: Deadline,
        telling: Option<&mut Telling<K, V>>,
    ) -> Tally {
        let mut tally = Tally::new();
        // A `del`, a `clear` or another `set` that was called after this one has had its turn already: writing the older
        // value now would undo it. (If it still waits for its turn, it will correct this write.)
        let (some, late): (Vec<_>, Vec<_>) = some.into_iter().partition(|write| !write.pending.is_overtaken());
        late.into_iter().for_each(|write| write.pending.overtaken());
        if some.is_empty() {
            return tally;
        }
        // What is remembered from here on needs another write than this one.
        let mark = remote.bypass.mark();
        let items: Vec<_> = some.iter().map(|w| (w.wire.as_str(), w.sealed.bytes.clone(), w.sealed.ttl)).collect();
        let left = until.left();
        let mut telling = telling;
        let mut attached = telling.as_mut().and_then(|telling| telling.attach(left));
        let written = remote.set_all(items, attached.as_mut(), until.limit, left).await;
        if let Some(telling) = telling {
            telling.told(attached);
        }
        for (write, outcome) in some.into_iter().zip(written) {
            match outcome {
                Ok(()) => tally.confirm(write.pending.done(write.entry, mark)),
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
    remote: Arc<Remote<K, V>>,
    slot: Registration<K, V>,
    settled: bool,
}

impl<K: Key, V: Value> PendingWrite<K, V> {
    /// Step 5. Older writes are not sent any more: one that came now would outlive the bypass. `true`: a delete is
    /// queued.
    fn failed(mut self) -> bool {
        self.slot.local.table.overtake(&self.slot.key, &self.slot.at);
        self.correct()
    }

    fn correct(&mut self) -> bool {
        self.settled = true;
        let slot = &self.slot;
        let queued = self.remote.remember_unconfirmed(&slot.key);
        let _ = Local::<K, V>::caught(INTO_L1, || slot.local.purge(&slot.key));
        queued
    }

    fn is_overtaken(&self) -> bool {
        let slot = &self.slot;
        slot.local.table.is_overtaken(&slot.key, &slot.at, slot.local.cleared.load(Ordering::Acquire))
    }

    /// Ends without a trace: something later counts.
    fn overtaken(mut self) {
        self.settled = true;
        let slot = &mut self.slot;
        slot.ended = true;
        let local = &slot.local;
        local.table.commit(&slot.key, slot.at.hash, slot.at.token, None, || local.generation(), |_| {});
    }

    /// Step 4, where a writer holds the key: nothing older is in L2, and nobody keeps the value.
    fn held(mut self, mark: u64) -> CacheResult<()> {
        self.settled = true;
        let slot = &mut self.slot;
        slot.ended = true;
        let (local, key) = (&slot.local, &slot.key);
        self.remote.bypass.remove_before(key, mark, local.now());
        let commit = || local.table.commit_write(key, &slot.at, || local.generation(), |_| local.forgo(key));
        Local::<K, V>::caught(INTO_L1, commit)
    }

    /// Step 4. What L2 has is right from here on: the queued delete of an earlier write, remembered before `mark`, is not
    /// sent any more.
    ///
    /// # Errors
    /// User code panicked: L2 has the value, and L1 has nothing.
    fn done(mut self, entry: Option<Entry<V>>, mark: u64) -> CacheResult<()> {
        self.settled = true;
        let slot = &mut self.slot;
        slot.ended = true;
        let (local, key) = (&slot.local, &slot.key);
        self.remote.bypass.remove_before(key, mark, local.now());
        let store = |valid| local.keep_or_forgo(key, entry.filter(|_| valid));
        let commit = || local.table.commit_write(key, &slot.at, || local.generation(), store);
        Local::<K, V>::caught(INTO_L1, commit)
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
