//! Read: the keys of a batch of tickets that other processes load.
//!
//! 1. each has a ticket; whoever uses it at once loads beside them, and L2 gets nothing
//! 2. or its holder waits, for all such keys together: a look into L2 now and then, one call for all
//! 3. a value there is the key's answer; a lease that becomes ours, or the end of the time, makes it a key to load

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use crate::cache::{Begin, BusyOps, CacheFuture, FlightOps, LoadTicket, Lookup};
use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::remote::Remote;
use crate::level::remote::interpret::Leased;
use crate::level::remote::look::LeaseWait;
use crate::level::remote::permit::L2Use;
use crate::level::stats::counters::Count;
use crate::level::ticket::hold::{ReservedTicket, TicketToCome};
use crate::pulse::{Pulse, PulsePoint};
use crate::sync::lock;
use crate::traits::loader::Loaded;

/// The keys of one batch that other processes load.
pub(crate) struct Busy<K: Key, V: Value> {
    remote: Arc<Remote<K, V>>,
    each: Vec<Arc<ReservedTicket<K, V>>>,
    /// From the first wait on.
    wait: Mutex<Option<LeaseWait>>,
}

/// The ticket of one of them.
struct BusyTicket<K: Key, V: Value> {
    batch: Arc<Busy<K, V>>,
    one: Arc<ReservedTicket<K, V>>,
    at: usize,
}

impl<K: Key, V: Value> Busy<K, V> {
    // 1
    /// The tickets of these keys.
    pub(crate) fn tickets(
        remote: &Arc<Remote<K, V>>,
        leads: Vec<(usize, TicketToCome<'_, K, V>)>,
    ) -> impl Iterator<Item = (usize, LoadTicket<V>)> {
        let (of, each): (Vec<_>, _) =
            leads.into_iter().map(|(i, leads)| (i, Arc::new(leads.into_reserved(None)))).unzip();
        let batch = Arc::new(Self { remote: remote.clone(), each, wait: Mutex::new(None) });
        of.into_iter().enumerate().map(move |(at, i)| {
            let one = batch.each[at].clone();
            (i, LoadTicket::new(Arc::new(BusyTicket { batch: batch.clone(), one, at })))
        })
    }

    fn waits<T>(&self, with: impl FnOnce(&mut LeaseWait) -> T) -> T {
        with(lock(&self.wait).get_or_insert_with(|| LeaseWait::new(self.remote.local.policy.lease_wait)))
    }

    // 2
    async fn look(&self, places: &[usize]) -> Vec<(usize, Begin<V>)> {
        let mut looked = false;
        loop {
            let pause = self.waits(LeaseWait::pause);
            match pause.and_then(|pause| self.remote.local.tasks.timer(pause)) {
                Some(timer) => {
                    self.remote.local.counters.one(Count::LeaseWait);
                    timer.await;
                }
                None if looked => {
                    return places.iter().filter_map(|&at| Some((at, self.take(at)?.begin(None)))).collect();
                }
                // The time was over before: a body has run meanwhile.
                None => {}
            }
            looked = true;
            let known = self.look_once(places).await;
            if !known.is_empty() {
                return known;
            }
        }
    }

    // 3
    async fn look_once(&self, places: &[usize]) -> Vec<(usize, Begin<V>)> {
        let remote = &self.remote;
        let policy = &remote.local.policy;
        let mut limit = policy.l2_read_timeout;
        for chunk in places.chunks(policy.max_batch) {
            let keys = || chunk.iter().map(|&at| &self.each[at].key);
            let names = remote.wire.names(keys());
            let mut looks = remote.look_many(keys(), &names, policy.lease, limit, L2Use::Read).await;
            if looks.gave_up {
                limit = policy.later_chunk();
            }
            let mut found = Vec::new();
            for (n, &at) in chunk.iter().enumerate() {
                let leased = match looks.next_answer() {
                    Leased::Busy => {
                        self.waits(LeaseWait::sees_it);
                        continue;
                    }
                    Leased::Failed if self.waits(|wait| wait.may_stand(policy.lease)) => continue,
                    other => other,
                };
                let look = remote.look(names.name(n), leased);
                // Without a ticket nobody waits for it any more; a lease goes back.
                found.extend(self.take(at).map(|leads| (at, leads, look)));
            }
            if !found.is_empty() {
                // Before the next chunk is waited for: what was taken from its ticket must not be lost with this future.
                remote.keep_alive(found.iter_mut().map(|(.., look)| &mut look.permit), policy.longest_ticket());
                let now = remote.local.now();
                let begin =
                    |(at, leads, look): (_, TicketToCome<'_, K, V>, _)| (at, leads.begin(Some((remote, look, now))));
                return found.into_iter().map(begin).collect();
            }
        }
        Vec::new()
    }

    /// The key, if its ticket was not used.
    fn take(&self, at: usize) -> Option<TicketToCome<'_, K, V>> {
        Some(self.each[at].leads()).filter(TicketToCome::leads)
    }
}

impl<K: Key, V: Value> BusyOps<V> for Busy<K, V> {
    fn wait(self: Arc<Self>, places: Vec<usize>) -> CacheFuture<'static, Vec<(usize, Begin<V>)>> {
        CacheFuture::boxed(async move {
            let mut looking = pin!(self.remote.local.tasks.inside(self.look(&places)));
            // Others of this process may wait for these tickets, for longer than their patience.
            let mut pulse = Pulse::default();
            let points = || places.iter().filter_map(|&at| self.each[at].pulse_point());
            let known = poll_fn(|cx| pulse.poll(looking.as_mut(), points, cx)).await;
            let misses = known.iter().filter(|(_, begin)| matches!(begin, Begin::Lead(_))).count();
            self.remote.count_missed(L2Use::Read, misses);
            known
        })
    }
}

impl<K: Key, V: Value> FlightOps<V> for BusyTicket<K, V> {
    fn complete(self: Arc<Self>, loaded: Loaded<V>) {
        self.batch.remote.count_missed(L2Use::Read, 1);
        self.one.clone().complete(loaded);
    }

    fn fail(self: Arc<Self>, error: CacheError) {
        self.batch.remote.count_missed(L2Use::Read, 1);
        self.one.clone().fail(error);
    }

    fn hand_over(self: Arc<Self>) {
        // After a wait that answered there is nothing left to hand over.
        if self.one.is_held() {
            self.batch.remote.count_missed(L2Use::Read, 1);
        }
        self.one.clone().hand_over();
    }

    fn stale(&self) -> Lookup<V> {
        self.one.stale()
    }

    fn pulse_point(&self) -> Option<PulsePoint> {
        self.one.pulse_point()
    }

    fn busy(&self) -> Option<(Arc<dyn BusyOps<V>>, usize)> {
        Some((self.batch.clone(), self.at))
    }
}
