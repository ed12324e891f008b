//! Tickets: a caller's own future loads, the flight takes the result.

use std::sync::{Arc, Mutex};

use crate::cache::{Begin, FlightOps, LoadTicket};
use crate::error::CacheError;
use crate::level::engine::{Arrived, End, Engine, Flight, Key, Outcome, Stale, Value};
use crate::level::fill::Fill;
use crate::level::finish::{Ending, Held};
use crate::level::latent::Latent;
use crate::level::lease::{L2Use, Look, Permit};
use crate::level::policy::Until;
use crate::level::slots::{Registered, Token};
use crate::level::stats::Count;
use crate::pulse::PulsePoint;
use crate::sync::lock;
use crate::traits::loader::Loaded;

/// The ticket of a flight with an L2, and what a look there gave.
pub(crate) fn ticket<K: Key, V: Value>(flight: Arc<Flight<K, V>>, look: Look<K, V>) -> LoadTicket<V> {
    LoadTicket::new(Arc::new(WithL2 { flight, l2: FromL2::new(look) }))
}

impl<V> LoadTicket<V> {
    pub(crate) fn pulse_point(&self) -> Option<PulsePoint> {
        self.0.as_ref().and_then(|flight| flight.pulse_point())
    }
}

impl<K: Key, V: Value> FlightOps<V> for Flight<K, V> {
    fn complete(self: Arc<Self>, loaded: Loaded<V>) {
        self.context.clone().complete(Held::Flight(self), loaded, None);
    }

    fn fail(self: Arc<Self>, error: CacheError) {
        self.context.clone().finish(self, End::Failed { error, stale: None });
    }

    fn hand_over(self: Arc<Self>) {
        self.context.give_up(&self, false);
    }

    fn stale(&self) -> Option<Option<V>> {
        self.context.serve_stale(self.key(), self.hash(), self.token(), None)
    }

    fn pulse_point(&self) -> Option<PulsePoint> {
        Some(self.context.pulses.point(self.hash()))
    }
}

/// What a look into L2 gave to the holder of a ticket.
struct FromL2<K: Key, V: Value> {
    // Taken by the first who needs it. What is left when the ticket is gone gives its lease back.
    permit: Mutex<Option<Permit<K, V>>>,
    /// A writer holds the key: neither level gets the value.
    held: bool,
    stale: Option<Stale<V>>,
}

impl<K: Key, V: Value> FromL2<K, V> {
    fn new(mut look: Look<K, V>) -> Self {
        if let Some(engine) = look.permit.holder() {
            engine.keep_alive([&mut look.permit].into_iter(), engine.longest_ticket());
        }
        Self { permit: Mutex::new(Some(look.permit)), held: look.held, stale: look.found }
    }
}

struct WithL2<K: Key, V: Value> {
    flight: Arc<Flight<K, V>>,
    l2: FromL2<K, V>,
}

impl<K: Key, V: Value> FlightOps<V> for WithL2<K, V> {
    fn complete(self: Arc<Self>, loaded: Loaded<V>) {
        self.flight.context.complete(Held::Flight(self.flight.clone()), loaded, Some(&self.l2));
    }

    fn fail(self: Arc<Self>, error: CacheError) {
        let flight = self.flight.clone();
        flight.context.finish(flight.clone(), End::Failed { error, stale: self.l2.stale.clone() });
    }

    fn hand_over(self: Arc<Self>) {
        // The heir asks for the lease anew.
        drop(lock(&self.l2.permit).take());
        self.flight.context.give_up(&self.flight, false);
    }

    fn stale(&self) -> Option<Option<V>> {
        let flight = &self.flight;
        flight.context.serve_stale(flight.key(), flight.hash(), flight.token(), self.l2.stale.clone())
    }

    fn pulse_point(&self) -> Option<PulsePoint> {
        self.flight.pulse_point()
    }
}

/// A key that a caller leads with a ticket to come. Dropped, it passes on; if that is because its answer panicked on the
/// way into the cache, it fails.
pub(crate) struct Leads<'a, K: Key, V: Value> {
    engine: &'a Arc<Engine<K, V>>,
    key: &'a K,
    latent: Option<Latent>,
    answered: bool,
}

impl<'a, K: Key, V: Value> Leads<'a, K, V> {
    pub(crate) fn new(engine: &'a Arc<Engine<K, V>>, key: &'a K, latent: Latent) -> Self {
        Self { engine, key, latent: Some(latent), answered: false }
    }

    pub(crate) fn key(&self) -> &'a K {
        self.key
    }

    /// Reads L2 where there is one; the value, or the ticket.
    pub(crate) async fn look_and_begin(self) -> Begin<V> {
        let look = self.engine.l2_for_ticket(self.key, L2Use::Read).await;
        self.begin(look)
    }

    /// What the caller gets, given what L2 has; `None`: there is no L2.
    pub(crate) fn begin(mut self, look: Option<Look<K, V>>) -> Begin<V> {
        let Some(mut look) = look else { return Begin::Lead(self.ticket(None)) };
        match look.take_fresh(self.engine.now(), 0) {
            Some(Stale { value, until }) => match self.end(End::Found { value, until }) {
                Some(Outcome::Value(value)) => Begin::Hit(value),
                _ => Begin::Lead(LoadTicket::detached()),
            },
            None => Begin::Lead(self.ticket(Some(Box::new(FromL2::new(look))))),
        }
    }

    fn ticket(mut self, l2: Option<Box<FromL2<K, V>>>) -> LoadTicket<V> {
        let key = self.key.clone();
        let latent = Mutex::new(self.latent.take());
        LoadTicket::new(Arc::new(Latently { engine: self.engine.clone(), key, latent, l2 }))
    }

    fn end(&mut self, end: End<V>) -> Option<Outcome<V>> {
        let held = Held::Latent(self.key, self.latent.take()?);
        Some(Ending::new(self.engine, held).end_alone(end))
    }
}

impl<K: Key, V: Value> Drop for Leads<'_, K, V> {
    fn drop(&mut self) {
        let Some(latent) = self.latent.take() else { return };
        if self.answered {
            drop(Ending::new(self.engine, Held::Latent(self.key, latent)));
        } else {
            self.engine.give_up_latent(self.key, latent);
        }
    }
}

/// The ticket of a flight that is made when somebody follows it.
struct Latently<K: Key, V: Value> {
    engine: Arc<Engine<K, V>>,
    key: K,
    latent: Mutex<Option<Latent>>,
    l2: Option<Box<FromL2<K, V>>>,
}

impl<K: Key, V: Value> Latently<K, V> {
    fn leads(&self) -> Leads<'_, K, V> {
        Leads { engine: &self.engine, key: &self.key, latent: lock(&self.latent).take(), answered: false }
    }
}

impl<K: Key, V: Value> FlightOps<V> for Latently<K, V> {
    fn complete(self: Arc<Self>, loaded: Loaded<V>) {
        let mut leads = self.leads();
        leads.answered = true;
        if self.l2.is_none() {
            self.engine.counters.one(Count::LoadOk);
            self.engine.land(&self.key, &mut leads.latent, self.engine.arrived(loaded));
        } else if let Some(latent) = leads.latent.take() {
            self.engine.complete(Held::Latent(&self.key, latent), loaded, self.l2.as_deref());
        }
    }

    fn fail(self: Arc<Self>, error: CacheError) {
        let stale = self.l2.as_ref().and_then(|l2| l2.stale.clone());
        self.leads().end(End::Failed { error, stale });
    }

    fn hand_over(self: Arc<Self>) {
        // The heir asks for the lease anew.
        drop(self.l2.as_ref().and_then(|l2| lock(&l2.permit).take()));
        drop(self.leads());
    }

    fn stale(&self) -> Option<Option<V>> {
        let Latent { hash, token, .. } = (*lock(&self.latent))?;
        let from_l2 = self.l2.as_ref().and_then(|l2| l2.stale.clone());
        self.engine.serve_stale(&self.key, hash, token, from_l2)
    }

    fn pulse_point(&self) -> Option<PulsePoint> {
        let hash = lock(&self.latent).as_ref()?.hash;
        Some(self.engine.pulses.point(hash))
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// A ticket's load ended well: L1 and those who wait at once, L2 in a task (the ticket's holder doesn't wait).
    fn complete(self: &Arc<Self>, held: Held<'_, K, V>, loaded: Loaded<V>, l2: Option<&FromL2<K, V>>) {
        let mut loaded = self.arrived(loaded);
        if l2.is_some_and(|l2| l2.held) {
            loaded.lives = None;
        }
        // From here on a panic of a `Clone` is the end of this flight, too.
        let ending = Ending::new(self, held);
        let permit = l2.and_then(|l2| lock(&l2.permit).take());
        if let (Some(held), Some(permit)) =
            (ending.held(), permit.filter(|permit| permit.matters(loaded.lives.is_some())))
        {
            self.fill_in_task(held.key(), held.token(), permit, &loaded);
        }
        ending.end(End::Loaded(loaded));
    }

    fn serve_stale(&self, key: &K, hash: u64, token: Token, from_l2: Option<Stale<V>>) -> Option<Option<V>> {
        let stale = self.stale_at(key, hash, token, from_l2);
        if stale.is_some() {
            self.counters.one(Count::StaleServed);
        }
        stale
    }

    fn fill_in_task(self: &Arc<Self>, key: &K, token: Token, permit: Permit<K, V>, loaded: &Arrived<V>) {
        // The fill has a registration of its own: the flight's ends before L2 has answered, and only while somebody is
        // registered does the slot know of an invalidation.
        let pending = Registration::again(self.clone(), key, token);
        let (value, life) = (loaded.value.clone(), loaded.lives.map(|(_, l2)| l2));
        self.spawn_errand(async move {
            let (engine, key) = (&pending.engine, &pending.key);
            let Some(remote) = &engine.remote else { return };
            if remote.bypass.get(key, engine.now()).is_some() {
                return;
            }
            let (hash, token) = (pending.at.hash, pending.at.token);
            if !engine.l2_fill(remote, Fill { key, hash, token, permit, value: value.as_ref(), life }).await {
                pending.uncache();
            }
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
    fn again(engine: Arc<Engine<K, V>>, key: &K, token: Token) -> Self {
        let mut registration = Self::new(engine, key.clone());
        registration.at.token = token;
        registration
    }
}

impl<K: Key, V: Value> Registration<K, V> {
    /// Ends without the value that the flight has left in L1, unless that was invalidated meanwhile.
    fn uncache(mut self) {
        self.ended = true;
        let (engine, key, at) = (&self.engine, &self.key, &self.at);
        let uncache = |valid| {
            if valid {
                engine.forgo(key);
            }
        };
        engine.table.commit(key, at.hash, at.token, None, || engine.generation(), uncache);
    }

    /// Ends with a value from L2 for L1, if nothing was invalidated meanwhile.
    pub(crate) fn backfill(&mut self, value: Option<V>, until: Until) {
        self.ended = true;
        let (engine, key, at) = (&self.engine, &self.key, &self.at);
        let now = engine.now();
        let entry = engine.policy.entry(value, engine.policy.backfill(until.left(now)), now, at.token.generation);
        engine.table.commit(
            key,
            at.hash,
            at.token,
            None,
            || engine.generation(),
            |valid| {
                if valid {
                    engine.keep(key, entry);
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
