//! How a flight ends: what it found goes to L1 under the fence, and to all who wait.

use std::sync::Arc;

use crate::cache::Lookup;
use crate::entry::Entry;
use crate::level::bounds::{Key, Value};
use crate::level::drive::host::give_up;
use crate::level::flight::state::is_unshared;
use crate::level::flight::token::{Reservation, Token};
use crate::level::local::outcome::{End, FromSource, Outcome, no_answer};
use crate::level::local::{Flight, Local};
use crate::level::stats::counters::Count;
use crate::level::time::policy::{Life, RETRY_AFTER};
use crate::level::wire::moment::Dated;
use crate::time::millis;

/// What a leader holds: its flight, or, where it never made one, its place in the key's slot.
pub(crate) enum LedKey<'k, K: Key, V: Value> {
    Flight(Arc<Flight<K, V>>),
    Reservation(&'k K, Reservation),
}

impl<K: Key, V: Value> LedKey<'_, K, V> {
    pub(crate) fn key(&self) -> &K {
        match self {
            Self::Flight(flight) => flight.key(),
            Self::Reservation(key, _) => key,
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        match self {
            Self::Flight(flight) => flight.hash(),
            Self::Reservation(_, reserved) => reserved.hash,
        }
    }

    pub(crate) fn token(&self) -> Token {
        match self {
            Self::Flight(flight) => flight.token(),
            Self::Reservation(_, reserved) => reserved.token,
        }
    }
}

/// What a flight does to L1.
enum Change<V> {
    Nothing,
    /// An answer that may not be cached still removes what it replaces.
    Remove,
    Insert(Entry<V>),
}

impl<K: Key, V: Value> Local<K, V> {
    /// Commits what a flight found, under the fence; tells all who wait; ends the flight.
    pub(crate) fn finish(&self, flight: Arc<Flight<K, V>>, end: End<V>) -> Outcome<V> {
        Ending::new(self, LedKey::Flight(flight)).end_alone(end)
    }

    /// [`give_up`] for a key that is led without a flight; or its end by a panic of user code.
    #[cold]
    pub(crate) fn leave_reserved(&self, key: &K, reserved: Reservation, fails: bool) {
        if fails {
            drop(Ending::new(self, LedKey::Reservation(key, reserved)));
        } else if let Some(flight) = self.table.leave(key, &reserved) {
            give_up(&flight, false);
        }
    }

    /// A stale value that may be served instead of the error of a flight: young enough, and not invalidated since the
    /// flight began.
    pub(crate) fn stale_at(&self, key: &K, hash: u64, token: Token, from_l2: Option<Dated<V>>) -> Lookup<V> {
        if self.policy.stale == 0 || !self.table.is_valid(key, hash, token, self.generation()) {
            return Lookup::Miss;
        }
        let is_useful = |entry: &Entry<V>| self.is_of_now(entry) && self.now() < entry.useful_until();
        if let Some(entry) = self.l1.get(key).filter(is_useful) {
            return Lookup::of(entry.into_value());
        }
        let from_l2 = from_l2.filter(|stale| stale.until.is_useful(self.now()));
        from_l2.map_or(Lookup::Miss, |stale| Lookup::of(stale.value))
    }
}

impl<K: Key, V: Value> Local<K, V> {
    /// Commits what the source answered to a reserved flight: [`Ending::end`] for the way that most keys of a batch take.
    /// Until it is committed, `reserved` is the caller's, who ends it if user code panics; the caller counts the load.
    #[inline(always)]
    pub(crate) fn commit_value(
        &self,
        key: &K,
        reserved: &mut Option<Reservation>,
        arrived: FromSource<V>,
    ) -> Option<V> {
        let FromSource { value, lives, at } = arrived;
        self.throttle.remove(key, at);
        self.commit_to_l1(key, reserved, value, lives.map(|(life, _)| life), at)
    }

    /// [`commit_value`](Self::commit_value) for what L2 answered.
    #[inline(always)]
    pub(crate) fn commit_found(
        &self,
        key: &K,
        reserved: &mut Option<Reservation>,
        found: Dated<V>,
        now: u64,
    ) -> Option<V> {
        let life = self.policy.backfill(found.until.left(now));
        self.commit_to_l1(key, reserved, found.value, Some(life), now)
    }

    #[inline(always)]
    fn commit_to_l1(
        &self,
        key: &K,
        reserved: &mut Option<Reservation>,
        value: Option<V>,
        life: Option<Life>,
        at: u64,
    ) -> Option<V> {
        let Some(generation) = reserved.as_ref().map(|reserved| reserved.token.generation) else { return value };
        let entry = life.map(|life| self.policy.entry(value.clone(), life, at, generation));
        let Some(own) = reserved.take() else { return value };
        let mut followed = WaitersToTell(None);
        self.table.commit_reserved(
            key,
            &own,
            || self.generation(),
            &mut followed.0,
            |valid| match entry {
                Some(entry) if valid => self.keep(key, entry),
                entry => self.store(key, entry.map_or(Change::Remove, Change::Insert), valid),
            },
        );
        if followed.0.is_some() {
            followed.tell(&Outcome::Value(value.clone()));
        } else {
            // There is nothing to drop, and nothing that the compiler need look for.
            std::mem::forget(followed);
        }
        value
    }
}

/// A flight that comes to its end. Dropped before, by a panic of user code (a `Clone`, a weigher, a `Drop`), it fails
/// for all who wait, and leaves nothing behind.
pub(crate) struct Ending<'a, K: Key, V: Value> {
    local: &'a Local<K, V>,
    held: Option<LedKey<'a, K, V>>,
}

impl<'a, K: Key, V: Value> Ending<'a, K, V> {
    pub(crate) fn new(local: &'a Local<K, V>, held: LedKey<'a, K, V>) -> Self {
        Self { local, held: Some(held) }
    }

    /// What ends.
    pub(crate) fn held(&self) -> Option<&LedKey<'a, K, V>> {
        self.held.as_ref()
    }

    /// Commits what the flight found, tells all who wait, and is over.
    pub(crate) fn end(self, end: End<V>) -> Outcome<V> {
        let (change, outcome) = self.decide(end);
        self.commit(change, &outcome);
        outcome
    }

    /// [`end`](Self::end) for a read of this key alone: a panic of user code is the answer of its caller, too.
    pub(crate) fn end_alone(self, end: End<V>) -> Outcome<V> {
        // Taken from here: what a closure owns is moved again and again on its way through `catch_unwind`.
        let mut ends = Some((self, end));
        let ended = Local::<K, V>::caught("a Clone, a weigher or the L1 store", || {
            ends.take().map_or_else(|| Outcome::failed(no_answer()), |(ending, end)| ending.end(end))
        });
        ended.unwrap_or_else(Outcome::failed)
    }

    /// What to do with L1, and what to answer.
    fn decide(&self, end: End<V>) -> (Change<V>, Outcome<V>) {
        let local = self.local;
        // Held until `commit`.
        let Some(held) = &self.held else { return (Change::Nothing, Outcome::failed(no_answer())) };
        let generation = held.token().generation;
        match end {
            End::Loaded(FromSource { value, lives, at }) => {
                local.counters.one(Count::LoadOk);
                local.throttle.remove(held.key(), at);
                let entry = |life| Change::Insert(local.policy.entry(value.clone(), life, at, generation));
                (lives.map_or(Change::Remove, |(life, _)| entry(life)), Outcome::Value(value))
            }
            End::Found(Dated { value, until }) => {
                local.counters.one(if value.is_none() { Count::L2Absent } else { Count::L2Hit });
                let now = local.now();
                let life = local.policy.backfill(until.left(now));
                (Change::Insert(local.policy.entry(value.clone(), life, now, generation)), Outcome::Value(value))
            }
            End::Missed => (Change::Nothing, Outcome::Missed),
            End::Failed { error, stale } => {
                local.counters.load_failed(error.kind());
                let stale = local.stale_at(held.key(), held.hash(), held.token(), stale);
                let now = local.now();
                if stale.is_known() || local.policy.window > 0 {
                    local.throttle.insert(held.key(), now, now.saturating_add(millis(RETRY_AFTER)), error.clone());
                }
                (Change::Nothing, Outcome::Failed { error, stale })
            }
            End::Throttled { error, stale } => {
                let stale = local.stale_at(held.key(), held.hash(), held.token(), stale);
                (Change::Nothing, Outcome::Failed { error, stale })
            }
        }
    }

    fn commit(mut self, change: Change<V>, outcome: &Outcome<V>) {
        let Some(held) = self.held.take() else { return };
        let local = self.local;
        match held {
            LedKey::Reservation(key, reserved) => {
                let mut followed = WaitersToTell(None);
                let store = |valid| local.store(key, change, valid);
                local.table.commit_reserved(key, &reserved, || local.generation(), &mut followed.0, store);
                followed.tell(outcome);
            }
            LedKey::Flight(flight) => {
                let telling = WaitersToTell(Some(flight));
                if let Some(flight) = &telling.0 {
                    let store = |valid| local.store(flight.key(), change, valid);
                    let (key, token) = (flight.key(), flight.token());
                    local.table.commit(key, flight.hash(), token, Some(flight), || local.generation(), store);
                }
                telling.tell(outcome);
            }
        }
    }
}

impl<K: Key, V: Value> Local<K, V> {
    /// Under the table's lock; `valid`: nothing was invalidated since the flight began.
    fn store(&self, key: &K, change: Change<V>, valid: bool) {
        match change {
            Change::Insert(entry) if valid => self.keep(key, entry),
            Change::Insert(_) => self.counters.one(Count::FillRefused),
            Change::Remove if valid => self.forgo(key),
            Change::Remove | Change::Nothing => {}
        }
    }
}

impl<K: Key, V: Value> Drop for Ending<'_, K, V> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            let ending = Ending { local: self.local, held: Some(held) };
            ending.commit(Change::Nothing, &Outcome::panicked());
        }
    }
}

/// A flight whose end those who wait must hear of, whatever happens.
struct WaitersToTell<K: Key, V: Value>(Option<Arc<Flight<K, V>>>);

impl<K: Key, V: Value> WaitersToTell<K, V> {
    fn tell(mut self, outcome: &Outcome<V>) {
        if self.0.as_ref().is_some_and(|flight| !is_unshared(flight)) {
            let outcome = outcome.clone();
            if let Some(flight) = self.0.take() {
                flight.publish(outcome);
            }
        }
        self.0 = None;
    }
}

impl<K: Key, V: Value> Drop for WaitersToTell<K, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.0.take() {
            flight.publish(Outcome::panicked());
        }
    }
}
