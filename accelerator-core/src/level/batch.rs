//! Read: many keys.
//!
//! 1. probe L1 for all in one pass; where keys are missing, note the others' places in the slot table before each look
//! 2. the missing keys: lead or follow, each its own flight; L1 is probed again, but where nothing can have come meanwhile
//! 3. load all that are led, as one run (`batch_load.rs`)
//! 4. only then wait for those that others lead
//! 5. each key has its own outcome

use std::collections::{HashMap, HashSet, hash_map};
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;

use crate::cache::{Batch, Begin, CacheFuture, LoadTicket};
use crate::entry::Entry;
use crate::error::{CacheError, CacheResult};
use crate::level::LevelCache;
use crate::level::answers::Answers;
use crate::level::batch_latent::Begun;
use crate::level::batch_load::batch_work;
use crate::level::batch_run::{BatchRun, Wanted, Wants};
use crate::level::engine::{Engine, Flight, Key, Value};
use crate::level::finish::{Ending, Held};
use crate::level::join::{Join, Seen};
use crate::level::latent::By;
use crate::level::lease::{L2Use, Look};
use crate::level::load::How;
use crate::level::read::{Stage, Step};
use crate::level::remote::Remote;
use crate::level::rouse::join_parts;
use crate::level::stats::Count;
use crate::level::ticket::Leads;
use crate::options::ReadOptions;
use crate::pulse::waits_for_the_cache;
use crate::traits::l1::L1Store;

pub(crate) type Values<V> = Vec<CacheResult<Option<V>>>;

/// A key that L1 could not answer: its index, and its place in the slot table as it was before L1 was asked,
/// where that was noted.
pub(crate) struct Missing {
    pub(crate) at: usize,
    pub(crate) seen: Option<Seen>,
}

impl<K: Key, V: Value, L1: L1Store<K, V>> LevelCache<K, V, L1> {
    /// Steps 1 to 5.
    pub(crate) async fn read_many<'k>(&self, keys: &'k [K], options: ReadOptions) -> Answers<'k, K, V> {
        // 1: one clock, and the counters once.
        let mut pass = Pass::new(keys.len(), self.engine.clock.now(), self.engine.generation());
        self.pass::<false>(keys, &mut pass, options);
        if pass.first.is_some() {
            // Where one key is missing, others are likely to be.
            self.pass::<true>(keys, &mut pass, options);
        }
        let Pass { mut values, first, mut more, absent, uneasy, .. } = pass;
        let hits = keys.len() as u64 - uneasy - absent;
        self.engine.counters.add(Count::L1Hit, hits);
        self.engine.counters.add(Count::L1Absent, absent);
        match first {
            None => {}
            Some(only) if more.is_empty() => values[only] = self.engine.get_missed(&keys[only], options).await,
            Some(first) => {
                more.insert(0, Missing { at: first, seen: None });
                values = Box::pin(self.engine.read_missing(keys, values, more, options)).await;
            }
        }
        Answers { keys, values }
    }

    /// Step 1, from the first key that has no answer yet to the first missing one, or, after that, to the end. `SEEING`:
    /// with the places of the keys in the slot table, which hits have no use for.
    #[inline(always)]
    fn pass<const SEEING: bool>(&self, keys: &[K], pass: &mut Pass<V>, options: ReadOptions) {
        for (i, key) in keys.iter().enumerate().skip(pass.values.len()) {
            let seen = SEEING.then(|| self.engine.table.see(key));
            let found = self.l1.get(key);
            if let Some(entry) = &found
                && entry.is_calm(pass.now)
                && entry.generation() == pass.generation
                && !options.force_refresh
            {
                pass.absent += u64::from(entry.value().is_none());
                pass.values.push(Ok(found.and_then(Entry::into_value)));
                continue;
            }
            let found = found
                .filter(|_| !options.force_refresh)
                .and_then(|entry| self.engine.uneasy(key, entry, options.allow_stale, !options.disable_load));
            pass.uneasy += 1;
            let is_missing = found.is_none();
            pass.values.push(Ok(found.flatten()));
            if is_missing && pass.first.is_some() {
                if pass.more.is_empty() {
                    // The first one comes in front.
                    pass.more.reserve(keys.len() - i + 1);
                }
                pass.more.push(Missing { at: i, seen });
            } else if is_missing {
                pass.first = Some(i);
                return;
            }
        }
    }
}

/// What one pass over L1 finds.
struct Pass<V> {
    now: u64,
    generation: u32,
    values: Values<V>,
    // The first missing key apart: a single one goes the way of `get`, and costs what that costs.
    first: Option<usize>,
    more: Vec<Missing>,
    absent: u64,
    uneasy: u64,
}

impl<V> Pass<V> {
    fn new(keys: usize, now: u64, generation: u32) -> Self {
        let values = Vec::with_capacity(keys);
        Self { now, generation, values, first: None, more: Vec::new(), absent: 0, uneasy: 0 }
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Whether the load of a batch (of one call) may be over in one poll: see `batch_latent.rs`.
    fn leads_in_place(&self, options: ReadOptions) -> bool {
        self.remote.is_none() && self.sources.many.is_some() && !options.disable_load
    }

    async fn read_missing(
        self: &Arc<Self>,
        keys: &[K],
        mut values: Values<V>,
        missing: Vec<Missing>,
        options: ReadOptions,
    ) -> Values<V> {
        if self.is_closed() {
            missing.into_iter().for_each(|missing| values[missing.at] = Err(CacheError::shutdown()));
            return values;
        }
        let mut missing = missing;
        let forced = self.forces(options);
        let again = if forced { Self::apart(keys, &mut missing) } else { Vec::new() };
        let mut missing = Some(missing);
        let begun = std::future::poll_fn(|cx| {
            let missing = missing.take().unwrap_or_default();
            Poll::Ready(match self.leads_in_place(options) && missing.len() <= self.policy.max_batch {
                true => self.begin_latent(keys, &mut values, missing, options, cx),
                false => self.begin_run(keys, &mut values, missing, options),
            })
        })
        .await;
        // The rest of 3
        if let Some(leading) = &begun.leading {
            self.move_foreign_to_tasks(leading.run(), &begun.followed);
        }
        let led = match begun.leading {
            Some(leading) => leading.await,
            None => Vec::new(),
        };
        // 4 and 5: together, so that the limits of all waits begin now.
        let loads = self.sources.exist() && !options.disable_load;
        let mut waits = Vec::new();
        for Wanted { at, outcome, .. } in led {
            // What was given up, as its runtime has ended, begins anew.
            let Some(outcome) = outcome else {
                if forced {
                    values[at] = Box::pin(self.get_forced(&keys[at], options)).await;
                    continue;
                }
                let again = Step::new(self.join_again(&keys[at], !loads, !options.force_refresh));
                waits.push(self.wait_for(at, &keys[at], options, again));
                continue;
            };
            values[at] = self.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
        }
        for (at, flight) in begun.followed {
            let over = flight.result().cloned().and_then(|outcome| self.answer(outcome, options.allow_stale));
            match over {
                Some(answer) => values[at] = answer,
                None if !loads && flight.result().is_some() => values[at] = Ok(None),
                None => waits.push(self.wait_for(at, &keys[at], options, Step::Follow(flight))),
            }
        }
        if !waits.is_empty() {
            // Not each of them is polled each time.
            let mut waits = std::pin::pin!(join_parts(waits));
            let answers = std::future::poll_fn(|cx| {
                let polled = waits.as_mut().poll(cx);
                if polled.is_pending() {
                    waits_for_the_cache();
                }
                polled
            });
            for (at, answer) in answers.await {
                values[at] = answer;
            }
        }
        for (at, first) in again {
            values[at] = values[first].clone();
        }
        values
    }

    /// Of the keys of a forced batch, those that come again with the index of the first one: a key is loaded once.
    fn apart(keys: &[K], missing: &mut Vec<Missing>) -> Vec<(usize, usize)> {
        let mut first = HashMap::with_capacity(missing.len());
        let mut again = Vec::new();
        missing.retain(|one| match first.entry(&keys[one.at]) {
            hash_map::Entry::Vacant(place) => {
                place.insert(one.at);
                true
            }
            hash_map::Entry::Occupied(known) => {
                again.push((one.at, *known.get()));
                false
            }
        });
        again
    }

    /// Whether nothing that is cached is accepted.
    pub(crate) fn forces(&self, options: ReadOptions) -> bool {
        options.force_refresh && !options.disable_load && self.sources.exist()
    }

    fn wait_for<'a>(
        self: &'a Arc<Self>,
        at: usize,
        key: &'a K,
        options: ReadOptions,
        step: Step<K, V>,
    ) -> impl Future<Output = (usize, CacheResult<Option<V>>)> + Send + 'a {
        self.get_on(key, options, Stage::Joined(step)).map(move |answer| (at, answer))
    }

    /// Steps 2 and 3, for a load that is not tried in place first.
    fn begin_run(
        self: &Arc<Self>,
        keys: &[K],
        values: &mut Values<V>,
        missing: Vec<Missing>,
        options: ReadOptions,
    ) -> Begun<K, V> {
        let loads = self.sources.exist() && !options.disable_load;
        let (run, mut wants) = (BatchRun::new(), Wants::new(self, missing.len()));
        // Whatever panics, a key or a value: what is led fails, and is left to nobody.
        let followed = self.join_missing(keys, values, missing, options, By::Run(&run), |at, latent| {
            let led = Ending::new(self, Held::Latent(&keys[at], latent));
            let key = keys[at].clone();
            led.keep();
            wants.keys.push(Wanted::new(at, key, latent));
        });
        let how = How { loads, ..How::refresh(options.force_refresh) };
        let leading = (!wants.keys.is_empty()).then(|| wants.lead(run, |wants| batch_work(wants, how, None)));
        Begun { leading, followed }
    }

    /// Somebody else's flights must not depend on us, nor we on who leads them: they move into tasks. A key that occurs
    /// twice follows our own run, which needs none: it is over before we wait.
    fn move_foreign_to_tasks(self: &Arc<Self>, run: &Arc<BatchRun>, followed: &[(usize, Arc<Flight<K, V>>)]) {
        for (_, flight) in followed.iter().filter(|(_, flight)| !flight.is_part_of(run)) {
            self.move_to_task(flight);
        }
    }

    /// Reads L2 for many tickets, in chunks of one call each.
    async fn look_for_tickets(
        self: &Arc<Self>,
        remote: &Remote<K, V>,
        led: &[(usize, Leads<'_, K, V>)],
    ) -> Vec<Look<K, V>> {
        let mut found = Vec::with_capacity(led.len());
        let mut limit = self.policy.l2_read_timeout;
        for chunk in led.chunks(self.policy.max_batch) {
            let keys = || chunk.iter().map(|(_, leads)| leads.key());
            let names = remote.names(keys());
            let mut looks = self.l2_mlook(remote, keys(), &names, self.policy.lease, limit, L2Use::Read).await;
            if looks.gave_up {
                limit = self.policy.later_chunk();
            }
            found.extend((0..names.len()).map(|_| looks.next_look()));
        }
        found
    }

    /// `begin_many`: probes are done.
    pub(crate) fn begin_missing<'a>(
        self: &'a Arc<Self>,
        keys: &'a [K],
        mut batch: Batch<'a, V>,
        missing: Vec<Missing>,
        allow_stale: bool,
    ) -> CacheFuture<'a, Batch<'a, V>> {
        if self.is_closed() {
            batch.unavailable = Some(CacheError::shutdown());
            batch.led.extend(missing.into_iter().map(|missing| (missing.at, LoadTicket::detached())));
            return CacheFuture::ready(batch);
        }
        let (mut led, mut followed) = (Vec::with_capacity(missing.len()), Vec::new());
        for Missing { at, seen } in missing {
            match self.join_latent_uncounted(&keys[at], seen, By::Ticket, true) {
                Join::Hit(value) => {
                    self.counters.l1_hit(value.is_none());
                    batch.hits.push((at, value));
                }
                Join::Lead(latent) => led.push((at, Leads::new(self, &keys[at], latent))),
                Join::Follow(flight) => followed.push((at, flight)),
            }
        }
        self.counters.add(Count::Miss, (led.len() + followed.len()) as u64);
        self.counters.add(Count::Joined, followed.len() as u64);
        if !followed.is_empty() {
            // A key that occurs twice is in the answer once.
            let own: HashSet<_> = led.iter().map(|(_, leads)| leads.key()).collect();
            let mut seen = HashSet::new();
            followed.retain(|(i, flight)| !own.contains(&keys[*i]) && seen.insert(Arc::as_ptr(flight)));
        }
        for (i, flight) in followed {
            let wait = CacheFuture::boxed(self.begin_on(&keys[i], Step::Follow(flight), allow_stale, false));
            batch.followed.push((i, wait));
        }
        let Some(remote) = &self.remote else {
            batch.led.reserve_exact(led.len());
            batch.led.extend(led.into_iter().map(|(i, leads)| (i, ticket_of(leads.begin(None)))));
            return CacheFuture::ready(batch);
        };
        CacheFuture::boxed(async move {
            let mut looks = self.inside(self.look_for_tickets(remote, &led)).await;
            self.keep_alive(looks.iter_mut().map(|look| &mut look.permit), self.longest_ticket());
            let now = self.now();
            for ((i, leads), look) in led.into_iter().zip(looks) {
                match leads.begin(Some((look, now))) {
                    Begin::Hit(value) => batch.hits.push((i, value)),
                    begin => {
                        self.counters.one(Count::L2Miss);
                        batch.led.push((i, ticket_of(begin)));
                    }
                }
            }
            batch
        })
    }
}

fn ticket_of<V>(begin: Begin<V>) -> LoadTicket<V> {
    match begin {
        Begin::Lead(ticket) => ticket,
        _ => LoadTicket::detached(),
    }
}
