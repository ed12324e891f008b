//! Read: many keys.
//!
//! 1. probe L1 for all in one pass; where keys are missing, note the others' places in the slot table before each look
//! 2. the missing keys: lead or follow, each its own flight; L1 is probed again, but where nothing can have come meanwhile
//! 3. load all that are led, as one run (`batch_load.rs`)
//! 4. only then wait for those that others lead
//! 5. each key has its own outcome

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::cache::{Batch, Begin, CacheFuture, LoadTicket};
use crate::error::{CacheError, CacheResult};
use crate::level::LevelCache;
use crate::level::answers::Answers;
use crate::level::batch_latent::Begun;
use crate::level::batch_load::{BatchRun, Wanted, batch_work};
use crate::level::engine::{End, Engine, Flight, Key, Value};
use crate::level::join::{Join, Seen};
use crate::level::lease::{L2Use, Look};
use crate::level::load::{How, Work};
use crate::level::read::{Stage, Step};
use crate::level::remote::{Name, Remote};
use crate::level::stats::Count;
use crate::level::wait::Led;
use crate::options::ReadOptions;
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
            if self.engine.leads_latent(options) {
                self.pass::<true>(keys, &mut pass, options);
            } else {
                self.pass::<false>(keys, &mut pass, options);
            }
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
            match self.l1.get(key) {
                Some(entry)
                    if entry.is_calm(pass.now) && entry.generation() == pass.generation && !options.force_refresh =>
                {
                    let value = entry.into_value();
                    pass.absent += u64::from(value.is_none());
                    pass.values.push(Ok(value));
                }
                other => {
                    let found = other.filter(|_| !options.force_refresh);
                    let found = found
                        .and_then(|entry| self.engine.uneasy(key, entry, options.allow_stale, !options.disable_load));
                    pass.uneasy += 1;
                    let is_missing = found.is_none();
                    pass.values.push(Ok(found.flatten()));
                    if is_missing && pass.first.is_some() {
                        pass.more.push(Missing { at: i, seen });
                    } else if is_missing {
                        pass.first = Some(i);
                        return;
                    }
                }
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
    /// Whether the keys of a batch (of one call) are led without flights: see `batch_latent.rs`.
    fn leads_latent(&self, options: ReadOptions) -> bool {
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
        let loads = self.sources.exist() && !options.disable_load;
        if self.leads_latent(options) && missing.len() <= self.policy.max_batch {
            let mut missing = Some(missing);
            let begun = std::future::poll_fn(|cx| {
                let missing = missing.take().unwrap_or_default();
                Poll::Ready(self.begin_latent(keys, &mut values, missing, options, cx))
            })
            .await;
            return self.read_begun(keys, values, begun, options).await;
        }
        // 2
        let run = BatchRun::new();
        let make = |key, hash, token| match loads {
            true => Flight::parked(key, hash, token, Work::Batch(run.clone()), self.clone()),
            false => Flight::new(key, hash, token, true, self.clone()),
        };
        let mut led = Vec::with_capacity(missing.len());
        let mut followed = Vec::new();
        for Missing { at: i, .. } in missing {
            match self.join_as(&keys[i], !options.force_refresh, make) {
                Join::Hit(value) => values[i] = Ok(value),
                Join::Lead(flight) => led.push((i, Led::new(flight))),
                Join::Follow(flight) => followed.push((i, flight)),
            }
        }
        // Until here a panic of a key's or value's own code passes the led flights on; from here the run has them.
        let led: Vec<_> = led.into_iter().filter_map(|(i, led)| Some((i, led.take()?))).collect();
        // 3
        let flights = led.iter().map(|(_, flight)| flight.clone());
        if !loads {
            self.move_foreign_to_tasks(&led, &followed);
            self.read_only_many(flights.collect()).await;
            return self.read_begun(keys, values, Begun { run: None, led, followed }, options).await;
        }
        let how = How::refresh(options.force_refresh);
        let wanted: Vec<_> = flights.map(Wanted::new).collect();
        let run = (!wanted.is_empty()).then_some(run);
        if let Some(run) = &run {
            run.begin(batch_work(self.clone(), wanted, how, None), self);
        }
        self.read_begun(keys, values, Begun { run, led, followed }, options).await
    }

    /// The rest of step 3, and steps 4 and 5.
    async fn read_begun(
        self: &Arc<Self>,
        keys: &[K],
        mut values: Values<V>,
        begun: Begun<K, V>,
        options: ReadOptions,
    ) -> Values<V> {
        let loads = self.sources.exist() && !options.disable_load;
        let Begun { run, led, followed } = begun;
        self.move_foreign_to_tasks(&led, &followed);
        // 3
        Leading { engine: self.clone(), run }.await;
        // 4 and 5: together, so that the limits of all waits begin now.
        let mut waits = Vec::new();
        for (i, flight) in led.into_iter().chain(followed) {
            let over = flight.result().cloned().and_then(|outcome| self.answer(outcome, options.allow_stale));
            match over {
                Some(answer) => values[i] = answer,
                None if !loads && flight.result().is_some() => values[i] = Ok(None),
                None => {
                    let stage = Stage::Joined(Step::Follow(flight));
                    waits.push(self.get_on(&keys[i], options, stage).map(move |answer| (i, answer)));
                }
            }
        }
        if !waits.is_empty() {
            for (i, answer) in join_all(waits).await {
                values[i] = answer;
            }
        }
        values
    }

    /// A key that occurs twice follows our own flight: it needs no task, the flight is over after step 3.
    fn move_foreign_to_tasks(
        self: &Arc<Self>,
        led: &[(usize, Arc<Flight<K, V>>)],
        followed: &[(usize, Arc<Flight<K, V>>)],
    ) {
        if followed.is_empty() {
            return;
        }
        let own: HashSet<_> = led.iter().map(|(_, flight)| Arc::as_ptr(flight)).collect();
        for (_, flight) in followed.iter().filter(|(_, flight)| !own.contains(&Arc::as_ptr(flight))) {
            self.move_to_task(flight);
        }
    }

    /// Step 3 without a loader: what L2 has, or nothing; in chunks of one call each.
    async fn read_only_many(&self, flights: Vec<Arc<Flight<K, V>>>) {
        let led: Vec<_> = flights.into_iter().map(Led::new).collect();
        let Some(remote) = &self.remote else {
            led.into_iter().filter_map(Led::take).for_each(|flight| drop(self.finish(flight, End::Missed)));
            return;
        };
        let mut found = Vec::with_capacity(led.len());
        for chunk in led.chunks(self.policy.max_batch) {
            found.extend(self.l2_mget(remote, &asked(remote, chunk)).await);
        }
        for (led, found) in led.into_iter().zip(found) {
            let end = self.found_or_missed(Some(found));
            if let Some(flight) = led.take() {
                self.finish(flight, end);
            }
        }
    }

    /// Reads L2 for many tickets, in chunks of one call each.
    async fn look_for_tickets(self: &Arc<Self>, remote: &Remote<K, V>, led: &[Led<K, V>]) -> Vec<Look<K, V>> {
        let mut looks = Vec::with_capacity(led.len());
        for chunk in led.chunks(self.policy.max_batch) {
            looks.extend(self.l2_mlook(remote, asked(remote, chunk), self.policy.lease, L2Use::Read).await);
        }
        looks
    }

    /// `begin_many`: probes are done; `missing` are indices of `keys`.
    pub(crate) fn begin_missing<'a>(
        self: &'a Arc<Self>,
        keys: &'a [K],
        mut batch: Batch<'a, V>,
        missing: Vec<usize>,
        allow_stale: bool,
    ) -> CacheFuture<'a, Batch<'a, V>> {
        if self.is_closed() {
            batch.unavailable = Some(CacheError::shutdown());
            batch.led.extend(missing.into_iter().map(|i| (i, LoadTicket::detached())));
            return CacheFuture::ready(batch);
        }
        let mut led: Vec<(usize, Led<K, V>)> = Vec::new();
        let mut followed = Vec::new();
        for i in missing {
            match Step::new(self.join(&keys[i], true, true)) {
                Step::Hit(value) => batch.hits.push((i, value)),
                Step::Lead(ticket) => led.push((i, ticket)),
                Step::Follow(flight) => followed.push((i, flight)),
            }
        }
        if !followed.is_empty() {
            // A key that occurs twice is in the answer once.
            let own: HashSet<_> = led.iter().filter_map(|(_, l)| l.flight()).map(Arc::as_ptr).collect();
            let mut seen = HashSet::new();
            followed.retain(|(_, f)| !own.contains(&Arc::as_ptr(f)) && seen.insert(Arc::as_ptr(f)));
        }
        for (i, flight) in followed {
            let wait = CacheFuture::boxed(self.begin_on(&keys[i], Step::Follow(flight), allow_stale));
            batch.followed.push((i, wait));
        }
        let Some(remote) = &self.remote else {
            batch.led.extend(led.into_iter().map(|(i, led)| (i, ticket_of(self.begin_with(led, None)))));
            return CacheFuture::ready(batch);
        };
        CacheFuture::boxed(async move {
            let (at, led): (Vec<_>, Vec<_>) = led.into_iter().unzip();
            let looks = self.look_for_tickets(remote, &led).await;
            for ((i, led), look) in at.into_iter().zip(led).zip(looks) {
                match self.begin_with(led, Some(look)) {
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

/// The keys of these flights, and their names in L2.
fn asked<'a, K: Key, V: Value>(remote: &Remote<K, V>, led: &'a [Led<K, V>]) -> Vec<(&'a K, Name)> {
    led.iter().filter_map(Led::flight).map(|flight| (flight.key(), remote.name(flight.key()))).collect()
}

fn ticket_of<V>(begin: Begin<V>) -> LoadTicket<V> {
    match begin {
        Begin::Lead(ticket) => ticket,
        _ => LoadTicket::detached(),
    }
}

/// Leads the run of a batch in place until it is over or in a task. Dropped before, it moves into a task.
struct Leading<K: Key, V: Value> {
    engine: Arc<Engine<K, V>>,
    run: Option<Arc<BatchRun>>,
}

impl<K: Key, V: Value> Future for Leading<K, V> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(run) = &this.run else { return Poll::Ready(()) };
        std::task::ready!(run.poll(&this.engine, cx));
        this.run = None;
        Poll::Ready(())
    }
}

impl<K: Key, V: Value> Drop for Leading<K, V> {
    fn drop(&mut self) {
        if let Some(run) = &self.run {
            run.move_to_task(&self.engine);
        }
    }
}
