//! The slot table: flights and fence in one (see `docs/adr/`).
//!
//! Every operation that may write L1 for a key registers in the key's slot before it reads or writes anything. An
//! invalidation looks there, under the same lock as the commit: whichever comes first, no older value stays.
//!
//! ```text
//! begin      register, remember (generation, version)
//! commit     under the lock: insert only if (generation, version) is unchanged; unregister
//! invalidate under the lock: new version, detach the flight, remove from L1
//! ```
//! A slot exists only while somebody is registered. Versions are never used twice in a shard, so a slot that was
//! dropped and made again does not validate an old token.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::level::flight::reservation::KeyFlight;
use crate::level::flight::state::{Flight, Parked};
use crate::level::flight::token::{Registered, Reservation, Token};
use crate::sync::{AtomicU64, Entered, Mutex, enter, peek};

const SHARDS: usize = 64;

/// A flight, as all who take part hold it.
pub(super) type Shared<K, R, W, X> = Arc<Flight<K, R, W, X>>;

/// Flights of keys `K` with results `R`, parked work `W` and context `X`.
pub(crate) struct SlotTable<K, R, W: Parked, X> {
    shards: Box<[Shard<K, R, W, X>]>,
    pub(super) hasher: RandomState,
}

// A line of its own for each shard, so that two threads on two shards don't share one.
#[repr(align(128))]
pub(super) struct Shard<K, R, W: Parked, X> {
    pub(super) slots: Mutex<Slots<K, R, W, X>>,
    // Operations that have ended here; written under the lock, after what they wrote to L1.
    pub(super) ended: AtomicU64,
}

pub(super) struct Slots<K, R, W: Parked, X> {
    pub(super) map: HashTable<Slot<K, R, W, X>>,
    pub(super) next_version: u64,
}

pub(super) struct Slot<K, R, W: Parked, X> {
    pub(super) key: K,
    pub(super) hash: u64,
    pub(super) version: u64,
    pub(super) registered: u32,
    pub(super) flight: KeyFlight<Flight<K, R, W, X>, W::Run>,
    // Writes called before this number are overtaken by something that was called later.
    overtaken: u64,
    // Who may write L2 for this key; made when first needed.
    turn: Option<Arc<Turn<()>>>,
    // Since when nobody has got it who waited for it.
    turn_is_late: Option<Instant>,
}

impl<K: Hash + Eq + Clone, R, W: Parked, X> SlotTable<K, R, W, X> {
    pub(crate) fn new() -> Self {
        let slots = || Mutex::new(Slots { map: HashTable::new(), next_version: 0 });
        let shard = || Shard { slots: slots(), ended: AtomicU64::new(0) };
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::default() }
    }

    /// The hash that flights of `key` carry.
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    #[inline]
    pub(super) fn shard_of(&self, hash: u64) -> &Shard<K, R, W, X> {
        // The map inside takes the top and the low bits; these lie between.
        &self.shards[(hash >> 48) as usize % SHARDS]
    }

    pub(super) fn shard(&self, hash: u64) -> Entered<'_, Slots<K, R, W, X>> {
        enter(&self.shard_of(hash).slots)
    }

    /// Registers an operation that isn't a flight.
    pub(crate) fn begin(&self, key: &K, generation: impl FnOnce() -> u32) -> Registered {
        let hash = self.hasher.hash_one(key);
        let mut slots = self.shard(hash);
        slots.next_version += 1;
        let call = slots.next_version;
        let slot = slots.slot(key, hash);
        slot.registered += 1;
        Registered { hash, token: Token { generation: generation(), version: slot.version }, call }
    }

    /// Ends a registration. `store` runs under the lock and is told whether it may still insert.
    pub(crate) fn commit(
        &self,
        key: &K,
        hash: u64,
        token: Token,
        flight: Option<&Shared<K, R, W, X>>,
        generation: impl FnOnce() -> u32,
        store: impl FnOnce(bool),
    ) {
        let end = |joinable: &mut KeyFlight<_, _>| {
            if let Some(flight) = flight {
                joinable.detach_own(|own| Arc::ptr_eq(own, flight));
            }
        };
        self.end(key, hash, token, generation, end, store);
    }

    /// [`commit`](Self::commit) of a reserved flight; `followed`: the flight, if somebody follows it. It is there before
    /// `store` runs, which may panic.
    pub(crate) fn commit_reserved(
        &self,
        key: &K,
        reserved: &Reservation,
        generation: impl FnOnce() -> u32,
        followed: &mut Option<Shared<K, R, W, X>>,
        store: impl FnOnce(bool),
    ) {
        let end = |joinable: &mut KeyFlight<_, _>| *followed = joinable.end(reserved.id);
        self.end(key, reserved.hash, reserved.token, generation, end, store);
    }

    #[inline(always)]
    fn end(
        &self,
        key: &K,
        hash: u64,
        token: Token,
        generation: impl FnOnce() -> u32,
        flight: impl FnOnce(&mut KeyFlight<Flight<K, R, W, X>, W::Run>),
        store: impl FnOnce(bool),
    ) {
        let shard = self.shard_of(hash);
        let mut slots = enter(&shard.slots);
        // Registered, so the slot is there.
        let Ok(mut entry) = slots.map.find_entry(hash, |s| s.key == *key) else { return store(false) };
        let slot = entry.get_mut();
        let valid = slot.version == token.version && token.generation == generation();
        flight(&mut slot.flight);
        slot.registered = slot.registered.saturating_sub(1);
        if slot.registered == 0 {
            entry.remove();
        }
        let _ended = Ended(shard);
        store(valid);
    }

    /// A local write that reached L2: `store` is told whether nothing came since `token`. Either way later readers
    /// start a flight of their own, and fills that began earlier are refused.
    pub(crate) fn commit_write(
        &self,
        key: &K,
        registered: &Registered,
        generation: impl FnOnce() -> u32,
        store: impl FnOnce(bool),
    ) {
        let shard = self.shard_of(registered.hash);
        let mut slots = enter(&shard.slots);
        slots.next_version += 1;
        let version = slots.next_version;
        let Ok(mut entry) = slots.map.find_entry(registered.hash, |s| s.key == *key) else { return store(false) };
        let slot = entry.get_mut();
        let valid = slot.version == registered.token.version && registered.token.generation == generation();
        slot.version = version;
        slot.flight.detach();
        slot.overtaken = slot.overtaken.max(registered.call);
        slot.registered = slot.registered.saturating_sub(1);
        if slot.registered == 0 {
            entry.remove();
        }
        let _ended = Ended(shard);
        store(valid);
    }

    /// A new version for the key, its flight detached, and `purge` (which removes from L1, or replaces there), all
    /// under the lock. Whoever registered before can't insert any more.
    pub(crate) fn invalidate(&self, key: &K, purge: impl FnOnce()) {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard_of(hash);
        let mut slots = enter(&shard.slots);
        slots.next_version += 1;
        let version = slots.next_version;
        if let Some(slot) = slots.find(key, hash) {
            slot.version = version;
            slot.flight.detach();
        }
        let _ended = Ended(shard);
        purge();
    }

    /// `done` has had its turn in L2: writes that were called before it are not to be sent any more.
    pub(crate) fn overtake(&self, key: &K, done: &Registered) {
        if let Some(slot) = self.shard(done.hash).find(key, done.hash) {
            slot.overtaken = slot.overtaken.max(done.call);
        }
    }

    /// Whether something that was called later than this write has had its turn in L2 already; `cleared`: the generation
    /// that the last `clear` has begun.
    pub(crate) fn is_overtaken(&self, key: &K, write: &Registered, cleared: u32) -> bool {
        let mut slots = self.shard(write.hash);
        write.token.generation < cleared || slots.find(key, write.hash).is_some_and(|slot| slot.overtaken > write.call)
    }

    /// Makes the flight unjoinable, if it still is the key's; its registration stays.
    pub(crate) fn detach(&self, flight: &Shared<K, R, W, X>) {
        let mut slots = self.shard(flight.hash());
        if let Some(slot) = slots.find(flight.key(), flight.hash()) {
            slot.flight.detach_own(|own| Arc::ptr_eq(own, flight));
        }
    }

    /// Registers one more leader of a flight. `false`: it is over, or something was invalidated since it began.
    pub(crate) fn register_beside(&self, flight: &Shared<K, R, W, X>, generation: impl FnOnce() -> u32) -> bool {
        let token = flight.token();
        let mut slots = self.shard(flight.hash());
        let slot = slots.find(flight.key(), flight.hash());
        let Some(slot) = slot.filter(|slot| slot.flight.is(flight) && token.generation == generation()) else {
            return false;
        };
        slot.registered += 1;
        true
    }

    /// The right to write L2 for the key, shared with everybody registered there.
    pub(crate) fn turn(&self, key: &K, hash: u64) -> Arc<Turn<()>> {
        self.shard(hash).slot(key, hash).turn.get_or_insert_default().clone()
    }

    /// [`turn`](Self::turn), taken where nobody has it.
    pub(crate) fn try_turn(&self, key: &K, hash: u64) -> Result<OwnedMutexGuard<()>, Arc<Turn<()>>> {
        let mut slots = self.shard(hash);
        let slot = slots.slot(key, hash);
        let turn = slot.turn.get_or_insert_default().clone();
        let taken = turn.clone().try_lock_owned();
        if taken.is_ok() {
            slot.turn_is_late = None;
        }
        taken.map_err(|_| turn)
    }

    /// Whether this turn, which has come, is still the one of the key.
    pub(crate) fn turn_came(&self, key: &K, hash: u64, turn: &OwnedMutexGuard<()>) -> bool {
        let mut slots = self.shard(hash);
        let slot = slots.slot(key, hash);
        let is_the_one = slot.turn.as_ref().is_some_and(|own| Arc::ptr_eq(own, OwnedMutexGuard::mutex(turn)));
        if is_the_one {
            slot.turn_is_late = None;
        }
        is_the_one
    }

    /// The turn did not come to one who waited until `now`, for as long as a holder may take. Where it came to nobody else
    /// for `longest` either, its holder is in a runtime that stands still: those who come from now on share a new one.
    pub(crate) fn turn_did_not_come(&self, key: &K, hash: u64, now: Instant, longest: Duration) {
        let mut slots = self.shard(hash);
        let Some(slot) = slots.find(key, hash) else { return };
        let since = *slot.turn_is_late.get_or_insert(now);
        if now.saturating_duration_since(since) >= longest {
            (slot.turn, slot.turn_is_late) = (None, None);
        }
    }

    /// The right to write L2, only if nobody has it and nothing was invalidated since `token`: both in one step, so
    /// that a `del` that comes later waits for this write before it deletes.
    pub(crate) fn turn_to_fill(
        &self,
        key: &K,
        hash: u64,
        token: Token,
        generation: impl FnOnce() -> u32,
    ) -> Option<OwnedMutexGuard<()>> {
        let mut slots = self.shard(hash);
        let slot = slots.slot(key, hash);
        let same = slot.version == token.version;
        if !same || token.generation != generation() {
            return None;
        }
        let turn = slot.turn.get_or_insert_default().clone().try_lock_owned().ok();
        if turn.is_some() {
            slot.turn_is_late = None;
        }
        turn
    }

    /// Whether nothing was invalidated since `token`.
    pub(crate) fn is_valid(&self, key: &K, hash: u64, token: Token, generation: u32) -> bool {
        let slots = self.shard(hash);
        token.generation == generation
            && slots.map.find(hash, |s| s.key == *key).is_some_and(|s| s.version == token.version)
    }

    /// Slots in use: keys with at least one operation registered. User code that asks while it is called under a lock
    /// of the table may miss the shards in use.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().filter_map(|s| Some(peek(&s.slots)?.map.len())).sum()
    }
}

/// An operation that ends, under the lock: counted when this is dropped, as what it writes to L1 may panic. What was
/// written before is seen by whoever sees the count.
struct Ended<'a, K, R, W: Parked, X>(&'a Shard<K, R, W, X>);

impl<K, R, W: Parked, X> Drop for Ended<'_, K, R, W, X> {
    #[inline]
    fn drop(&mut self) {
        let ended = &self.0.ended;
        ended.store(ended.load(Relaxed).wrapping_add(1), Release);
    }
}

impl<K: Clone, R, W: Parked, X> Slot<K, R, W, X> {
    pub(super) fn new(key: &K, hash: u64, next_version: &mut u64) -> Self {
        *next_version += 1;
        let flight = KeyFlight::nothing();
        Self {
            key: key.clone(),
            hash,
            version: *next_version,
            registered: 0,
            flight,
            overtaken: 0,
            turn: None,
            turn_is_late: None,
        }
    }
}

impl<K: Hash + Eq + Clone, R, W: Parked, X> Slots<K, R, W, X> {
    fn find(&mut self, key: &K, hash: u64) -> Option<&mut Slot<K, R, W, X>> {
        self.map.find_mut(hash, |s| s.key == *key)
    }

    pub(super) fn slot(&mut self, key: &K, hash: u64) -> &mut Slot<K, R, W, X> {
        let Self { map, next_version } = self;
        let entry = map.entry(hash, |s| s.key == *key, |s| s.hash);
        entry.or_insert_with(|| Slot::new(key, hash, next_version)).into_mut()
    }
}
