//! Joining the flight of a key, or leading a new one.
//!
//! Whoever leads has looked into L1 twice: before, and under the table's lock, where nothing can end. The second look is
//! left out where nothing has ended in the key's shard since before the first.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use hashbrown::hash_table::Entry;

use crate::level::flight::reservation::{KeyFlight, LedBy};
use crate::level::flight::slots::{Shared, Slot, SlotTable, Slots};
use crate::level::flight::state::{Flight, Parked};
use crate::level::flight::token::{Reservation, Token};
use crate::sync::enter;

/// A key's place in the table, as it was before L1 was asked for the key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    hash: u64,
    ended: u64,
}

/// What [`SlotTable::join`] answers: leaders and followers get a flight.
type JoinMade<P, K, R, W, X> = Join<P, Shared<K, R, W, X>, Shared<K, R, W, X>>;

/// What joining answers: `L` is what a leader gets, `F` what a follower gets.
pub(crate) enum Join<P, L, F> {
    /// L1 has it after all.
    Hit(P),
    /// A new flight; the caller leads it.
    Lead(L),
    /// A flight of somebody else.
    Follow(F),
}

impl<K: Hash + Eq + Clone, R, W: Parked, X> SlotTable<K, R, W, X> {
    /// To be called before a look into L1 that may find nothing: whoever joins with it is spared the second look where
    /// no operation has ended in between.
    #[inline]
    pub(crate) fn observe(&self, key: &K) -> Seen {
        let hash = self.hasher.hash_one(key);
        Seen { hash, ended: self.shard_of(hash).ended.load(Acquire) }
    }

    /// Joins the flight of `key`, or starts one, unless `probe` finds the value (asked under the lock: between the
    /// caller's own look into L1 and this one another flight may have ended).
    pub(crate) fn join<P>(
        &self,
        key: &K,
        context: &X,
        generation: impl FnOnce() -> u32,
        make: impl FnOnce(K, u64, Token) -> Flight<K, R, W, X>,
        probe: impl FnOnce() -> Option<P>,
    ) -> JoinMade<P, K, R, W, X>
    where
        X: Clone,
    {
        let hash = self.hasher.hash_one(key);
        self.join_as(
            key,
            hash,
            context,
            generation,
            |_| probe(),
            |slot, hash, token, _| {
                let flight = Arc::new(make(key.clone(), hash, token));
                slot.lead(flight.clone());
                flight
            },
        )
    }

    /// [`join`](Self::join) with a flight that is made when somebody follows it, or by [`make`](Self::make); `seen`
    /// where it was taken before the caller's look into L1; `by`: who will make it progress.
    #[inline(always)]
    pub(crate) fn join_reserved<P>(
        &self,
        key: &K,
        seen: Option<Seen>,
        by: LedBy<&W::Run>,
        context: &X,
        generation: impl FnOnce() -> u32,
        probe: impl FnOnce() -> Option<P>,
    ) -> Join<P, Reservation, Shared<K, R, W, X>>
    where
        X: Clone,
    {
        let hash = seen.map_or_else(|| self.hasher.hash_one(key), |seen| seen.hash);
        let unchanged = |ended| seen.is_some_and(|seen| seen.ended == ended);
        let probe = |ended| if unchanged(ended) { None } else { probe() };
        self.join_as(key, hash, context, generation, probe, |slot, hash, token, next_version| {
            *next_version += 1;
            let id = *next_version;
            slot.lead_reserved(id, token.generation, by);
            Reservation { hash, token, id }
        })
    }

    #[inline(always)]
    fn join_as<P, L>(
        &self,
        key: &K,
        hash: u64,
        context: &X,
        generation: impl FnOnce() -> u32,
        probe: impl FnOnce(u64) -> Option<P>,
        lead: impl FnOnce(&mut KeyFlight<Flight<K, R, W, X>, W::Run>, u64, Token, &mut u64) -> L,
    ) -> Join<P, L, Shared<K, R, W, X>>
    where
        X: Clone,
    {
        let shard = self.shard_of(hash);
        let mut slots = enter(&shard.slots);
        let generation = generation();
        let Slots { map, next_version } = &mut *slots;
        let mut entry = map.entry(hash, |s| s.key == *key, |s| s.hash);
        if let Entry::Occupied(slot) = &mut entry {
            let slot = slot.get_mut();
            let token = Token { generation, version: slot.version };
            let followed = |by| match by {
                LedBy::Leader => Flight::new(key.clone(), hash, token, false, context.clone()),
                LedBy::Ticket => Flight::new(key.clone(), hash, token, true, context.clone()),
                LedBy::Run(run) => Flight::part(key.clone(), hash, token, run, context.clone()),
            };
            let of = |flight: &Flight<_, _, _, _>| flight.token().generation;
            if let Some(flight) = slot.flight.follow(of, generation, followed) {
                return Join::Follow(flight);
            }
        }
        // Before the slot is made: a panic of the value's own code must leave nothing behind.
        if let Some(found) = probe(shard.ended.load(Relaxed)) {
            return Join::Hit(found);
        }
        let register = |slot: &mut Slot<K, R, W, X>, next_version: &mut u64| {
            let token = Token { generation, version: slot.version };
            let led = lead(&mut slot.flight, hash, token, next_version);
            slot.registered += 1;
            led
        };
        Join::Lead(match entry {
            Entry::Occupied(mut known) => register(known.get_mut(), next_version),
            // Into the map only when no user code can panic any more.
            Entry::Vacant(place) => {
                let mut slot = Slot::new(key, hash, next_version);
                let led = register(&mut slot, next_version);
                place.insert(slot);
                led
            }
        })
    }

    /// The flight of a leader whose load is not ready at once. `true`: somebody follows it already.
    pub(crate) fn make(
        &self,
        key: &K,
        reserved: &Reservation,
        make: impl FnOnce() -> Flight<K, R, W, X>,
    ) -> (Shared<K, R, W, X>, bool) {
        self.shard(reserved.hash).slot(key, reserved.hash).flight.make(reserved.id, make)
    }

    /// The load of a reserved flight goes on in `run`. The flight, if somebody follows it already.
    pub(crate) fn go_on(&self, key: &K, reserved: &Reservation, run: W::Run) -> Option<Shared<K, R, W, X>> {
        self.shard(reserved.hash).slot(key, reserved.hash).flight.go_on(reserved.id, run)
    }

    /// The leader of a reserved flight gives up. The flight, if somebody follows it: the registration is its own from now
    /// on. Else the registration is over.
    pub(crate) fn leave(&self, key: &K, reserved: &Reservation) -> Option<Shared<K, R, W, X>> {
        let mut slots = self.shard(reserved.hash);
        let mut entry = slots.map.find_entry(reserved.hash, |s| s.key == *key).ok()?;
        let slot = entry.get_mut();
        let followed = slot.flight.leave(reserved.id);
        if followed.is_none() {
            slot.registered = slot.registered.saturating_sub(1);
            if slot.registered == 0 {
                entry.remove();
            }
        }
        followed
    }
}
