//! Tickets: a caller's own future loads, the flight takes the result.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use crate::cache::{Begin, FlightOps, LoadTicket, Lookup};
use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::drive::host::give_up;
use crate::level::flight::token::{Reservation, Token};
use crate::level::local::commit::{Ending, LedKey};
use crate::level::local::outcome::{End, FromSource};
use crate::level::local::registration::{Registration, ReservedKey};
use crate::level::local::{Flight, Local};
use crate::level::remote::Remote;
use crate::level::remote::fill::Fill;
use crate::level::remote::look::Look;
use crate::level::remote::permit::Permit;
use crate::level::stats::counters::Count;
use crate::level::wire::moment::Dated;
use crate::pulse::PulsePoint;
use crate::sync::lock;
use crate::traits::loader::Loaded;

/// What a look into L2 gave, and when by the cache's clock.
pub(crate) type Looked<'r, K, V> = (&'r Arc<Remote<K, V>>, Look<K, V>, u64);

/// The ticket of a flight, and what a look into L2 gave.
pub(crate) fn ticket<K: Key, V: Value>(
    flight: Arc<Flight<K, V>>,
    remote: Option<&Arc<Remote<K, V>>>,
    look: Option<Look<K, V>>,
) -> LoadTicket<V> {
    let l2 = remote.zip(look).map(|(remote, look)| FromL2::new(remote, look));
    LoadTicket::new(Arc::new(OfFlight { flight, ended: AtomicBool::new(false), l2 }))
}

/// What a look into L2 gave to the holder of a ticket.
pub(crate) struct FromL2<K: Key, V: Value> {
    remote: Arc<Remote<K, V>>,
    // Taken by the first who needs it. What is left when the ticket is gone gives its lease back.
    permit: Mutex<Option<Permit<K, V>>>,
    /// A writer holds the key: neither level gets the value.
    held: bool,
    stale: Option<Dated<V>>,
}

impl<K: Key, V: Value> FromL2<K, V> {
    fn new(remote: &Arc<Remote<K, V>>, mut look: Look<K, V>) -> Self {
        remote.keep_alive([&mut look.permit].into_iter(), remote.local.policy.longest_ticket());
        Self { remote: remote.clone(), permit: Mutex::new(Some(look.permit)), held: look.held, stale: look.found }
    }
}

/// The ticket of a flight that is there.
struct OfFlight<K: Key, V: Value> {
    flight: Arc<Flight<K, V>>,
    /// Its registration has ended: a body that panicked has failed the flight, and its ticket is dropped after that.
    ended: AtomicBool,
    /// `None`: there is no L2.
    l2: Option<FromL2<K, V>>,
}

impl<K: Key, V: Value> OfFlight<K, V> {
    /// Whether this is the end of it.
    fn ends(&self) -> bool {
        !self.ended.swap(true, Relaxed)
    }
}

impl<K: Key, V: Value> FlightOps<V> for OfFlight<K, V> {
    fn complete(self: Arc<Self>, loaded: Loaded<V>) {
        if !self.ends() {
            return;
        }
        complete(&self.flight.context, LedKey::Flight(self.flight.clone()), loaded, self.l2.as_ref());
    }

    fn fail(self: Arc<Self>, error: CacheError) {
        if !self.ends() {
            return;
        }
        let (flight, stale) = (self.flight.clone(), self.l2.as_ref().and_then(|l2| l2.stale.clone()));
        self.flight.context.finish(flight, End::Failed { error, stale });
    }

    fn hand_over(self: Arc<Self>) {
        // The heir asks for the lease anew.
        drop(self.l2.as_ref().and_then(|l2| lock(&l2.permit).take()));
        if self.ends() {
            give_up(&self.flight, false);
        }
    }

    fn stale(&self) -> Lookup<V> {
        let (flight, stale) = (&self.flight, self.l2.as_ref().and_then(|l2| l2.stale.clone()));
        serve_stale(&flight.context, flight.key(), flight.hash(), flight.token(), stale)
    }

    fn pulse_point(&self) -> Option<PulsePoint> {
        Some(self.flight.context.pulses.point(self.flight.hash()))
    }
}

/// A key that a caller leads with a ticket to come. Dropped, it passes on; if that is because its answer panicked on the
/// way into the cache, it fails.
pub(crate) struct TicketToCome<'a, K: Key, V: Value> {
    local: &'a Arc<Local<K, V>>,
    led: ReservedKey<'a, K, V>,
}

impl<'a, K: Key, V: Value> TicketToCome<'a, K, V> {
    pub(crate) fn new(local: &'a Arc<Local<K, V>>, key: &'a K, reserved: Reservation) -> Self {
        Self { local, led: ReservedKey::passing_on(local, key, Some(reserved)) }
    }

    pub(crate) fn key(&self) -> &'a K {
        self.led.key()
    }

    /// What the caller gets, given what L2 had at which time; `None`: there is no L2.
    pub(crate) fn begin(mut self, l2: Option<Looked<'_, K, V>>) -> Begin<V> {
        let Some((remote, mut look, now)) = l2 else { return Begin::Lead(self.ticket(None)) };
        match look.take_fresh(now, 0) {
            Some(found) => self.hit(found, now),
            None => Begin::Lead(self.ticket(Some(Box::new(FromL2::new(remote, look))))),
        }
    }

    /// L2 has it. The shortest way to the end of the flight, as for a key of a batch.
    fn hit(&mut self, found: Dated<V>, now: u64) -> Begin<V> {
        let Self { local, led } = self;
        local.counters.one(if found.value.is_none() { Count::L2Absent } else { Count::L2Hit });
        // From here on a panic of user code is the end of this flight.
        led.fails_from_here();
        let commit = || led.commit_found(found, now);
        match Local::<K, V>::caught("a Clone, a weigher or the L1 store", commit) {
            Ok(value) => Begin::Hit(value),
            Err(_) => Begin::Lead(LoadTicket::detached()),
        }
    }

    fn ticket(self, l2: Option<Box<FromL2<K, V>>>) -> LoadTicket<V> {
        LoadTicket::new(Arc::new(self.into_reserved(l2)))
    }

    pub(crate) fn into_reserved(mut self, l2: Option<Box<FromL2<K, V>>>) -> ReservedTicket<K, V> {
        let key = self.led.key().clone();
        let reserved = Mutex::new(self.led.take());
        ReservedTicket { local: self.local.clone(), key, reserved, l2 }
    }

    /// Whether the duty is still there.
    pub(crate) fn leads(&self) -> bool {
        self.led.is_led()
    }
}

/// The ticket of a flight that is made when somebody follows it.
pub(crate) struct ReservedTicket<K: Key, V: Value> {
    local: Arc<Local<K, V>>,
    pub(crate) key: K,
    reserved: Mutex<Option<Reservation>>,
    l2: Option<Box<FromL2<K, V>>>,
}

impl<K: Key, V: Value> ReservedTicket<K, V> {
    /// Whether the duty is still there.
    pub(crate) fn is_held(&self) -> bool {
        lock(&self.reserved).is_some()
    }

    pub(crate) fn leads(&self) -> TicketToCome<'_, K, V> {
        let led = ReservedKey::passing_on(&self.local, &self.key, lock(&self.reserved).take());
        TicketToCome { local: &self.local, led }
    }
}

impl<K: Key, V: Value> FlightOps<V> for ReservedTicket<K, V> {
    fn complete(self: Arc<Self>, loaded: Loaded<V>) {
        let TicketToCome { local, mut led } = self.leads();
        led.fails_from_here();
        if self.l2.is_none() {
            local.counters.one(Count::LoadOk);
            led.commit_value(local.with_lives(loaded));
        } else if let Some(reserved) = led.take() {
            complete(local, LedKey::Reservation(&self.key, reserved), loaded, self.l2.as_deref());
        }
    }

    fn fail(self: Arc<Self>, error: CacheError) {
        let stale = self.l2.as_ref().and_then(|l2| l2.stale.clone());
        self.leads().led.end_alone(End::Failed { error, stale });
    }

    fn hand_over(self: Arc<Self>) {
        // The heir asks for the lease anew.
        drop(self.l2.as_ref().and_then(|l2| lock(&l2.permit).take()));
        drop(self.leads());
    }

    fn stale(&self) -> Lookup<V> {
        let Some(Reservation { hash, token, .. }) = *lock(&self.reserved) else { return Lookup::Miss };
        let from_l2 = self.l2.as_ref().and_then(|l2| l2.stale.clone());
        serve_stale(&self.local, &self.key, hash, token, from_l2)
    }

    fn pulse_point(&self) -> Option<PulsePoint> {
        let hash = lock(&self.reserved).as_ref()?.hash;
        Some(self.local.pulses.point(hash))
    }
}

/// A ticket's load ended well: L1 and those who wait at once, L2 in a task (the ticket's holder doesn't wait).
fn complete<K: Key, V: Value>(
    local: &Arc<Local<K, V>>,
    held: LedKey<'_, K, V>,
    loaded: Loaded<V>,
    l2: Option<&FromL2<K, V>>,
) {
    let loaded = local.with_lives(loaded).unless(l2.is_some_and(|l2| l2.held));
    // From here on a panic of a `Clone` is the end of this flight, too.
    let ending = Ending::new(local, held);
    let permit = l2.and_then(|l2| Some((l2, lock(&l2.permit).take()?)));
    if let (Some(held), Some((l2, permit))) = (ending.held(), permit)
        && permit.matters(loaded.lives.is_some())
    {
        fill_in_task(&l2.remote, held.key(), held.token(), permit, &loaded);
    }
    ending.end(End::Loaded(loaded));
}

fn serve_stale<K: Key, V: Value>(
    local: &Arc<Local<K, V>>,
    key: &K,
    hash: u64,
    token: Token,
    from_l2: Option<Dated<V>>,
) -> Lookup<V> {
    local.served(local.stale_at(key, hash, token, from_l2), true)
}

fn fill_in_task<K: Key, V: Value>(
    remote: &Arc<Remote<K, V>>,
    key: &K,
    token: Token,
    permit: Permit<K, V>,
    loaded: &FromSource<V>,
) {
    // The fill has a registration of its own: the flight's ends before L2 has answered, and only while somebody is
    // registered does the slot know of an invalidation.
    let pending = Registration::again(remote.local.clone(), key, token);
    let (value, life) = (loaded.value.clone(), loaded.lives.map(|(_, l2)| l2));
    let filling = remote.clone();
    remote.local.tasks.spawn_errand(async move {
        let (remote, key) = (&filling, &pending.key);
        if remote.bypasses(key) {
            return;
        }
        let (hash, token) = (pending.at.hash, pending.at.token);
        if !remote.fill(Fill { key, hash, token, permit, value: value.as_ref(), life }).await {
            pending.uncache();
        }
    });
}
