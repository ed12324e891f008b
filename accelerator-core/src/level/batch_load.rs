//! Load for a batch: the steps of `load.rs`, one L2 read, one call of the batch loader and one fill per chunk.
//!
//! The flights of a batch share one run. It is polled in place by the caller, and moves into a task as a whole when
//! anybody follows one of its flights.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::{FutureExt, StreamExt, stream};

use crate::cache::BoxFuture;
use crate::error::{CacheError, CacheResult};
use crate::level::engine::{End, Engine, Flight, Key, Value};
use crate::level::load::{How, Limited, not_loaded};
use crate::level::place::Place;
use crate::level::policy::{BATCH_CONCURRENCY, Life};
use crate::level::remote::{Fill, Found, Name, Remote};
use crate::sync::{Mutex, lock};
use crate::traits::loader::Loaded;

/// The shared work of a batch.
pub(crate) struct BatchRun {
    place: Mutex<Place<BoxFuture<'static, ()>>>,
}

impl BatchRun {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(Place::polling()) })
    }

    /// The work is ready to be polled, by the leader or, if somebody followed meanwhile, in a task.
    pub(crate) fn begin<K: Key, V: Value>(&self, work: BoxFuture<'static, ()>, engine: &Engine<K, V>) {
        let detached = lock(&self.place).park(work, Waker::noop());
        if let Some(work) = detached {
            engine.spawn(work);
        }
    }

    /// The leader polls; ready when the work is over or in a task.
    pub(crate) fn poll<K: Key, V: Value>(&self, engine: &Arc<Engine<K, V>>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut work) = lock(&self.place).unpark() else { return Poll::Ready(()) };
        if work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let detached = lock(&self.place).park(work, cx.waker());
        if let Some(work) = detached {
            engine.spawn(work);
            return Poll::Ready(());
        }
        Poll::Pending
    }

    pub(crate) fn move_to_task<K: Key, V: Value>(&self, engine: &Arc<Engine<K, V>>) {
        let work = lock(&self.place).detach();
        if let Some((work, leader)) = work {
            leader.wake();
            // Without a runtime the guard inside passes the flights on.
            engine.spawn(work);
        }
    }
}

/// The flights of a batch that are not over. Dropped, it passes them on.
struct Fleet<K: Key, V: Value> {
    engine: Arc<Engine<K, V>>,
    flights: Vec<Arc<Flight<K, V>>>,
}

impl<K: Key, V: Value> Drop for Fleet<K, V> {
    fn drop(&mut self) {
        for flight in &self.flights {
            self.engine.give_up(flight);
        }
    }
}

/// A flight waiting for the source, with what L2 said.
struct Wanted<K, V> {
    flight: Arc<Flight<K, V>>,
    name: Option<Name>,
    fill: bool,
    stale: Option<Option<V>>,
}

/// The work of a batch of flights that were just led.
pub(crate) fn batch_work<K: Key, V: Value>(
    engine: Arc<Engine<K, V>>,
    flights: Vec<Arc<Flight<K, V>>>,
    how: How,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let mut fleet = Fleet { engine, flights };
        let steps = AssertUnwindSafe(steps(&mut fleet, how)).catch_unwind();
        if let Err(payload) = steps.await {
            let error = CacheError::panic("a batch load", &*payload);
            for flight in std::mem::take(&mut fleet.flights) {
                if flight.result().is_none() {
                    fleet.engine.finish(flight, End::Failed { error: error.clone(), stale: None });
                }
            }
        }
    })
}

async fn steps<K: Key, V: Value>(fleet: &mut Fleet<K, V>, how: How) {
    let engine = fleet.engine.clone();
    let chunk = engine.policy.max_batch;
    // The fleet keeps every flight until all are over; `finish` makes the later `give_up` do nothing.
    let all = fleet.flights.clone();
    for flights in all.chunks(chunk) {
        let wanted = read_chunk(&engine, flights, how).await;
        load_chunk(&engine, wanted).await;
    }
    fleet.flights.clear();
}

/// Steps 1 and 2.
async fn read_chunk<K: Key, V: Value>(
    engine: &Engine<K, V>,
    flights: &[Arc<Flight<K, V>>],
    how: How,
) -> Vec<Wanted<K, V>> {
    let want = |flight: &Arc<Flight<K, V>>, name, fill, stale| Wanted { flight: flight.clone(), name, fill, stale };
    let Some(remote) = &engine.remote else {
        return flights.iter().map(|flight| want(flight, None, false, None)).collect();
    };
    let asked: Vec<(&K, Name)> = flights.iter().map(|flight| (flight.key(), remote.name(flight.key()))).collect();
    if how.skip_l2 {
        let now = engine.now();
        let fill = |key: &K| remote.bypass.get(key, now).is_none();
        let names = asked.into_iter().zip(flights);
        return names.map(|((key, name), flight)| want(flight, Some(name), fill(key), None)).collect();
    }
    let found = engine.l2_mget(remote, &asked).await;
    let mut wanted = Vec::new();
    for ((flight, (key, name)), found) in flights.iter().zip(asked).zip(found) {
        let (fill, stale) = match found {
            Found::Hit { value, left } if left.fresh > how.min_fresh => {
                engine.finish(flight.clone(), End::Found { value, left });
                continue;
            }
            Found::Hit { value, .. } => (true, Some(value)),
            Found::Nothing { fill } => (fill, None),
        };
        let throttled = if stale.is_some() && engine.policy.stale > 0 {
            engine.throttle.get(key, engine.now()).flatten()
        } else {
            None
        };
        match throttled {
            Some(error) => drop(engine.finish(flight.clone(), End::Failed { error, stale })),
            None => wanted.push(want(flight, Some(name), fill, stale)),
        }
    }
    wanted
}

/// Steps 3 to 5.
async fn load_chunk<K: Key, V: Value>(engine: &Engine<K, V>, wanted: Vec<Wanted<K, V>>) {
    if wanted.is_empty() {
        return;
    }
    if !engine.sources.exist() {
        for one in wanted {
            engine.finish(one.flight, End::Missed);
        }
    } else if engine.sources.many.is_some() {
        let answer = load_many(engine, wanted.iter().map(|w| w.flight.key().clone()).collect()).await;
        let at = engine.now();
        let mut done = Vec::with_capacity(wanted.len());
        match answer {
            Ok(mut found) => {
                for one in wanted {
                    match found.remove(one.flight.key()) {
                        Some(loaded) => done.push((one, loaded)),
                        None => drop(engine.finish(one.flight, End::Failed { error: not_loaded(), stale: one.stale })),
                    }
                }
            }
            Err(error) => {
                for one in wanted {
                    engine.finish(one.flight, End::Failed { error: error.clone(), stale: one.stale });
                }
            }
        }
        if let Some(remote) = &engine.remote {
            fill_many(engine, remote, &done).await;
        }
        for (one, loaded) in done {
            engine.finish(one.flight, End::Loaded { loaded, at });
        }
    } else {
        let each = |one: Wanted<K, V>| async move {
            let end = match engine.load_one(one.flight.key().clone()).await {
                Ok(loaded) => {
                    let at = engine.now();
                    if let (true, Some(name)) = (one.fill, &one.name) {
                        engine.fill_one(&one.flight, name, &loaded).await;
                    }
                    End::Loaded { loaded, at }
                }
                Err(error) => End::Failed { error, stale: one.stale },
            };
            engine.finish(one.flight, end);
        };
        stream::iter(wanted).map(each).buffer_unordered(BATCH_CONCURRENCY).collect::<()>().await;
    }
}

async fn load_many<K: Key, V: Value>(engine: &Engine<K, V>, keys: Vec<K>) -> CacheResult<HashMap<K, Loaded<V>>> {
    let load = async {
        let Some(many) = &engine.sources.many else { return Ok(HashMap::new()) };
        let mut load = Limited::new(many.clone().mload_owned(keys));
        std::future::poll_fn(|cx| load.poll(engine, cx)).await
    };
    AssertUnwindSafe(load).catch_unwind().await.unwrap_or_else(|p| Err(CacheError::panic("the batch loader", &*p)))
}

async fn fill_many<K: Key, V: Value>(engine: &Engine<K, V>, remote: &Remote<K, V>, done: &[(Wanted<K, V>, Loaded<V>)]) {
    let fill = |(one, loaded): &'_ (Wanted<K, V>, Loaded<V>)| -> Option<Life> {
        if one.fill { engine.policy.lives(loaded.value.is_none(), loaded.ttl).map(|(_, l2)| l2) } else { None }
    };
    let fills = done.iter().filter_map(|pair| {
        let (life, name) = (fill(pair)?, pair.0.name.as_ref()?);
        let flight = &pair.0.flight;
        let (key, hash, token) = (flight.key(), flight.hash(), flight.token());
        Some(Fill { key, hash, token, name, value: pair.1.value.as_ref(), life })
    });
    engine.l2_fill(remote, fills.collect()).await;
}
