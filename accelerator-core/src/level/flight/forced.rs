//! Leading the flight of a key for a caller who accepts nothing that is cached.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::level::flight::reservation::LedBy;
use crate::level::flight::slots::{Shared, Slot, SlotTable, Slots};
use crate::level::flight::state::{Flight, Parked};
use crate::level::flight::token::{Reservation, Token};
use crate::sync::enter;

/// What a call found that accepts nothing that is cached.
pub(crate) enum Forced<F> {
    /// A new flight; the caller leads it.
    Lead(F),
    /// A flight of such a caller, begun after this call.
    Follow(F),
    /// One that was begun before.
    After(F),
}

impl<K: Hash + Eq + Clone, R, W: Parked, X: Clone> SlotTable<K, R, W, X> {
    /// The moment: a forced flight of `key` with a later number begins after it.
    pub(crate) fn moment(&self, key: &K) -> u64 {
        self.shard(self.hash(key)).next_version
    }

    /// Follows the flight of another forced read, or leads one in place of whatever flight is there. That one is not
    /// joined any more, and what it finds is not stored: it may be older.
    pub(crate) fn join_forced(
        &self,
        key: &K,
        since: u64,
        context: &X,
        generation: impl FnOnce() -> u32,
    ) -> Forced<Shared<K, R, W, X>> {
        let hash = self.hasher.hash_one(key);
        let mut slots = enter(&self.shard_of(hash).slots);
        let generation = generation();
        let known = slots.map.find(hash, |slot| slot.key == *key).and_then(|slot| slot.flight.made());
        if let Some(flight) = known.filter(|flight| flight.token().generation == generation) {
            match flight.forced() {
                None => {}
                Some(number) if number > since => return Forced::Follow(flight.clone()),
                Some(_) => return Forced::After(flight.clone()),
            }
        }
        // User code, which may panic: before anything has changed.
        let own = key.clone();
        Forced::Lead(slots.supersede(key, hash, generation, |slot, token, number| {
            let flight = Flight::new(own, hash, token, false, context.clone()).forced_at(number);
            let flight = Arc::new(flight);
            slot.flight.lead(flight.clone());
            flight
        }))
    }

    /// [`join_forced`](Self::join_forced) for a key of a batch, which always leads.
    pub(crate) fn lead_forced(&self, key: &K, by: LedBy<&W::Run>, generation: impl FnOnce() -> u32) -> Reservation {
        let hash = self.hasher.hash_one(key);
        let mut slots = enter(&self.shard_of(hash).slots);
        slots.supersede(key, hash, generation(), |slot, token, id| {
            slot.flight.lead_reserved(id, token.generation, by);
            Reservation { hash, token, id }
        })
    }
}

impl<K: Hash + Eq + Clone, R, W: Parked, X> Slots<K, R, W, X> {
    /// Registers a leader in a slot with a new version; `lead` gets a number that is never used twice in a shard, and
    /// calls no code of a user.
    fn supersede<L>(
        &mut self,
        key: &K,
        hash: u64,
        generation: u32,
        lead: impl FnOnce(&mut Slot<K, R, W, X>, Token, u64) -> L,
    ) -> L {
        self.next_version += 1;
        let number = self.next_version;
        let slot = self.slot(key, hash);
        slot.version = number;
        slot.registered += 1;
        let token = Token { generation, version: slot.version };
        lead(slot, token, number)
    }
}
