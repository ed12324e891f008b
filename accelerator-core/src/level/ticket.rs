//! Tickets: a caller's own future loads, the flight takes the result.

use std::sync::{Arc, Mutex};

use crate::cache::{FlightOps, LoadTicket};
use crate::error::CacheError;
use crate::level::engine::{Arrived, End, Engine, Flight, Key, Stale, Value};
use crate::level::fill::Fill;
use crate::level::finish::{Ending, Held};
use crate::level::lease::{Look, Permit};
use crate::level::policy::Until;
use crate::level::slots::Registered;
use crate::level::stats::Count;
use crate::sync::lock;
use crate::traits::loader::Loaded;

/// The ticket of a flight with an L2, and what a look there gave.
pub(crate) fn ticket<K: Key, V: Value>(flight: Arc<Flight<K, V>>, look: Look<K, V>) -> LoadTicket<V> {
    let Look { found: stale, permit, held } = look;
    LoadTicket::new(Arc::new(WithL2 { flight, permit: Mutex::new(Some(permit)), held, stale }))
}

impl<K: Key, V: Value> FlightOps<V> for Flight<K, V> {
    fn complete(self: Arc<Self>, loaded: Loaded<V>) {
        self.context.clone().complete(self, loaded, None, false);
    }

    fn fail(self: Arc<Self>, error: CacheError) {
        self.context.clone().finish(self, End::Failed { error, stale: None });
    }

    fn hand_over(self: Arc<Self>) {
        self.context.give_up(&self);
    }

    fn stale(&self) -> Option<Option<V>> {
        self.context.serve_stale(self, None)
    }
}

struct WithL2<K: Key, V: Value> {
    flight: Arc<Flight<K, V>>,
    // Taken by the first who needs it. What is left when the ticket is gone gives its lease back.
    permit: Mutex<Option<Permit<K, V>>>,
    held: bool,
    stale: Option<Stale<V>>,
}

impl<K: Key, V: Value> FlightOps<V> for WithL2<K, V> {
    fn complete(self: Arc<Self>, loaded: Loaded<V>) {
        let permit = lock(&self.permit).take();
        self.flight.context.complete(self.flight.clone(), loaded, permit, self.held);
    }

    fn fail(self: Arc<Self>, error: CacheError) {
        let flight = self.flight.clone();
        flight.context.finish(flight.clone(), End::Failed { error, stale: self.stale.clone() });
    }

    fn hand_over(self: Arc<Self>) {
        // The heir asks for the lease anew.
        drop(lock(&self.permit).take());
        self.flight.context.give_up(&self.flight);
    }

    fn stale(&self) -> Option<Option<V>> {
        self.flight.context.serve_stale(&self.flight, self.stale.clone())
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// A ticket's load ended well: L1 and those who wait at once, L2 in a task (the ticket's holder doesn't wait).
    /// `held`: a writer holds the key, neither level gets the value.
    fn complete(
        self: &Arc<Self>,
        flight: Arc<Flight<K, V>>,
        loaded: Loaded<V>,
        permit: Option<Permit<K, V>>,
        held: bool,
    ) {
        let mut loaded = self.arrived(loaded);
        if held {
            loaded.lives = None;
        }
        // From here on a panic of a `Clone` is the end of this flight, too.
        let ending = Ending::new(self, Held::Flight(flight.clone()));
        if let Some(permit) = permit.filter(|permit| permit.matters(loaded.lives.is_some())) {
            self.fill_in_task(&flight, permit, &loaded);
        }
        drop(flight);
        ending.end(End::Loaded(loaded));
    }

    fn serve_stale(&self, flight: &Flight<K, V>, from_l2: Option<Stale<V>>) -> Option<Option<V>> {
        let stale = self.stale_for(flight, from_l2);
        if stale.is_some() {
            self.counters.one(Count::StaleServed);
        }
        stale
    }

    fn fill_in_task(self: &Arc<Self>, flight: &Arc<Flight<K, V>>, permit: Permit<K, V>, loaded: &Arrived<V>) {
        // The fill has a registration of its own: the flight's ends before L2 has answered, and only while somebody is
        // registered does the slot know of an invalidation.
        let pending = Registration::again(self.clone(), flight);
        let (value, life) = (loaded.value.clone(), loaded.lives.map(|(_, l2)| l2));
        self.spawn(async move {
            let (engine, key) = (&pending.engine, &pending.key);
            let Some(remote) = &engine.remote else { return };
            if remote.bypass.get(key, engine.now()).is_some() {
                return;
            }
            let (hash, token) = (pending.at.hash, pending.at.token);
            engine.l2_fill(remote, Fill { key, hash, token, permit, value: value.as_ref(), life }).await;
        });
    }
}

/// A registration in a key's slot that ends with its owner.
pub(crate) struct Registration<K: Key, V: Value> {
    pub(crate) engine: Arc<Engine<K, V>>,
    pub(crate) key: K,
    pub(crate) at: Registered,
    pub(crate) ended: bool,
}

impl<K: Key, V: Value> Registration<K, V> {
    /// Registers now.
    pub(crate) fn new(engine: Arc<Engine<K, V>>, key: K) -> Self {
        let at = engine.table.begin(&key, || engine.generation());
        Self { engine, key, at, ended: false }
    }

    /// Registers once more with the token of a flight that is registered.
    fn again(engine: Arc<Engine<K, V>>, flight: &Flight<K, V>) -> Self {
        let mut registration = Self::new(engine, flight.key().clone());
        #[cfg(not(accelerator_mutant = "fill-begins-after-load"))]
        (registration.at.token = flight.token());
        registration
    }
}

impl<K: Key, V: Value> Registration<K, V> {
    /// Ends with a value from L2 for L1, if nothing was invalidated meanwhile.
    pub(crate) fn backfill(&mut self, value: Option<V>, until: Until) {
        self.ended = true;
        let (engine, key, at) = (&self.engine, &self.key, &self.at);
        let now = engine.now();
        let entry = engine.policy.entry(value, engine.policy.backfill(until.left(now)), now, at.token.generation);
        #[cfg(accelerator_mutant = "insert-then-check")]
        engine.l1.insert(key.clone(), entry.clone());
        engine.table.commit(
            key,
            at.hash,
            at.token,
            None,
            || engine.generation(),
            |valid| {
                #[cfg(accelerator_mutant = "insert-then-check")]
                if !valid {
                    engine.l1.remove(key);
                }
                if valid {
                    engine.l1.insert(key.clone(), entry);
                } else {
                    engine.counters.one(Count::FillRefused);
                }
            },
        );
    }
}

impl<K: Key, V: Value> Drop for Registration<K, V> {
    fn drop(&mut self) {
        if !self.ended {
            let engine = &self.engine;
            engine.table.commit(&self.key, self.at.hash, self.at.token, None, || engine.generation(), |_| {});
        }
    }
}
