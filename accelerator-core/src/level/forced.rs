//! Read: a caller who accepts nothing that is cached (`force_refresh`).
//!
//! It gets an answer that the source was asked for after the call began.
//!
//! ```text
//! nobody loads for such a caller   lead; any other flight of the key goes on, for its own callers and for neither level
//! somebody does, begun before      wait until it is over, then look again
//! somebody does, begun since       follow
//! ```
//! So a crowd of such callers makes two loads at most, and still one flight can be joined at a time.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use crate::error::CacheResult;
use crate::level::engine::{Engine, Flight, Key, Value};
use crate::level::flight::{self, Parked};
use crate::level::latent::{By, Latent};
use crate::level::load::How;
use crate::level::slots::{Shared, Slot, SlotTable, Slots, Token};
use crate::level::stats::Count;
use crate::level::wait::{Follow, Heir, Led, Waited};
use crate::options::ReadOptions;
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
            let flight = flight::Flight::new(own, hash, token, false, context.clone()).forced_at(number);
            let flight = Arc::new(flight);
            slot.flight.lead(flight.clone());
            flight
        }))
    }

    /// [`join_forced`](Self::join_forced) for a key of a batch, which always leads.
    pub(crate) fn lead_forced(&self, key: &K, by: By<&W::Run>, generation: impl FnOnce() -> u32) -> Latent {
        let hash = self.hasher.hash_one(key);
        let mut slots = enter(&self.shard_of(hash).slots);
        slots.supersede(key, hash, generation(), |slot, token, id| {
            slot.flight.lead_latent(id, token.generation, by);
            Latent { hash, token, id }
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

impl<K: Key, V: Value> Engine<K, V> {
    fn join_forced(self: &Arc<Self>, key: &K, since: u64) -> Forced<Arc<Flight<K, V>>> {
        self.table.join_forced(key, since, self, || self.generation())
    }

    /// A read that accepts nothing that is cached.
    pub(crate) async fn get_forced(self: &Arc<Self>, key: &K, options: ReadOptions) -> CacheResult<Option<V>> {
        let since = self.table.moment(key);
        self.counters.one(Count::Miss);
        let (mut joined, mut late) = (false, false);
        loop {
            let (flight, counts) = match self.join_forced(key, since) {
                Forced::Lead(flight) => match self.lead_in_place(Led::new(flight), How::refresh(true)).await {
                    Ok(outcome) => return self.answer(outcome, options.allow_stale).unwrap_or(Ok(None)),
                    Err(Some(flight)) => (flight, true),
                    Err(None) => continue,
                },
                Forced::Follow(flight) => (flight, true),
                Forced::After(flight) => (flight, false),
            };
            if !std::mem::replace(&mut joined, true) {
                self.counters.one(Count::Joined);
            }
            self.move_to_task(&flight);
            match Follow::new(flight, Heir::Loader).await {
                Waited::Over(outcome) if counts => {
                    if let Some(answer) = self.answer(outcome, options.allow_stale) {
                        return answer;
                    }
                }
                // Its leader disappeared: nothing was asked for yet, or is not any more.
                Waited::Lead(led) => {
                    if let Ok(outcome) = self.lead_in_place(led, How::refresh(true)).await {
                        return self.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
                    }
                }
                Waited::Over(_) | Waited::Restart => {}
                Waited::TooLong if !late => late = true,
                Waited::TooLong => return self.load_alone(key).await,
            }
        }
    }
}
