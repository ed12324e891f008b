//! Read: many keys without L2, by a batch loader: no flight is made for a load that is ready at once.
//!
//! ```text
//! lead    each missing key, latent (`latent.rs`)
//! load    polled once, in place
//! ready   each key ends; those who followed hear of it
//! else    the flights are made, and the load goes on as a run (`batch_load.rs`)
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hashbrown::HashTable;

use crate::error::CacheError;
use crate::level::batch::{Missing, Values};
use crate::level::batch_load::{BatchLoad, BatchRun, Wanted, batch_work};
use crate::level::engine::{End, Engine, Flight, Key, Value};
use crate::level::finish::{Ending, Held};
use crate::level::join::Join;
use crate::level::latent::Latent;
use crate::level::load::{How, Limited, Work};
use crate::level::sources::not_loaded;
use crate::level::stats::Count;
use crate::options::ReadOptions;
use crate::traits::loader::Loaded;

/// Flights and the indices of their keys.
pub(crate) type Indexed<K, V> = Vec<(usize, Arc<Flight<K, V>>)>;

/// What is still to be waited for.
pub(crate) struct Begun<K: Key, V: Value> {
    /// The load goes on.
    pub(crate) run: Option<Arc<BatchRun>>,
    pub(crate) led: Indexed<K, V>,
    pub(crate) followed: Indexed<K, V>,
}

/// Keys that are led, with their indices; what is left when this is dropped (by a panic) fails.
struct Led<'k, K: Key, V: Value> {
    engine: &'k Engine<K, V>,
    keys: &'k [K],
    left: Vec<(usize, Option<Latent>)>,
    // Keys that were answered: where these are all, none has to be looked for.
    answered: usize,
}

impl<'k, K: Key, V: Value> Led<'k, K, V> {
    fn take(&mut self, n: usize) -> Option<(usize, Ending<'k, K, V>)> {
        let (i, latent) = self.left.get_mut(n)?;
        let held = Held::Latent(&self.keys[*i], latent.take()?);
        Some((*i, Ending::new(self.engine, held)))
    }

    fn all(&mut self) -> impl Iterator<Item = (usize, Ending<'k, K, V>)> {
        let all = if self.answered < self.left.len() { self.left.len() } else { 0 };
        (0..all).filter_map(|n| self.take(n))
    }

    fn asks_for(&self, n: usize, key: &K) -> bool {
        matches!(self.left.get(n), Some((i, Some(_))) if self.keys[*i] == *key)
    }
}

impl<K: Key, V: Value> Drop for Led<'_, K, V> {
    fn drop(&mut self) {
        self.all().for_each(drop);
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Steps 2 and 3 of `batch.rs`; what is ready at once is in `values`.
    pub(crate) fn begin_latent(
        self: &Arc<Self>,
        keys: &[K],
        values: &mut Values<V>,
        missing: Vec<Missing>,
        options: ReadOptions,
        cx: &mut Context<'_>,
    ) -> Begun<K, V> {
        let mut led = Led { engine: self, keys, left: Vec::with_capacity(missing.len()), answered: 0 };
        let mut followed = Vec::new();
        for Missing { at: i, seen } in missing {
            match self.join_latent_uncounted(&keys[i], seen, !options.force_refresh) {
                Join::Hit(value) => {
                    self.counters.l1_hit(value.is_none());
                    values[i] = Ok(value);
                }
                Join::Lead(latent) => led.left.push((i, Some(latent))),
                Join::Follow(flight) => followed.push((i, flight)),
            }
        }
        self.counters.add(Count::Miss, (led.left.len() + followed.len()) as u64);
        self.counters.add(Count::Joined, followed.len() as u64);
        let Some(many) = self.sources.many.as_ref().filter(|_| !led.left.is_empty()) else {
            return Begun { run: None, led: Vec::new(), followed };
        };
        let asked = led.left.iter().map(|(i, _)| keys[*i].clone()).collect();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut load = Limited::new(many.mload_owned(asked));
            match load.poll(self, cx) {
                Poll::Ready(answer) => Ok(answer),
                Poll::Pending => Err(load),
            }
        }));
        let polled = polled.unwrap_or_else(|payload| Ok(Err(CacheError::panic("the batch loader", &*payload))));
        match polled {
            Ok(Ok(found)) => {
                self.end_latent(&mut led, found, values, options);
                Begun { run: None, led: Vec::new(), followed }
            }
            Ok(Err(error)) => {
                for (i, ending) in led.all() {
                    let outcome = ending.end(End::Failed { error: error.clone(), stale: None });
                    values[i] = self.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
                }
                Begun { run: None, led: Vec::new(), followed }
            }
            Err(load) => {
                let (run, led) = self.make_latent(&mut led, load);
                Begun { run: Some(run), led, followed }
            }
        }
    }

    /// Ends each key with its answer. What is left out fails; what nobody asked for is dropped.
    fn end_latent(
        &self,
        led: &mut Led<'_, K, V>,
        found: Vec<(K, Loaded<V>)>,
        values: &mut Values<V>,
        options: ReadOptions,
    ) {
        // Made when an answer first comes out of turn.
        let mut index = None;
        let now = self.now();
        for (at, (key, loaded)) in found.into_iter().enumerate() {
            let n = if led.asks_for(at, &key) {
                Some(at)
            } else {
                let index = index.get_or_insert_with(|| index_of(&led.left));
                let hash = self.table.hash(&key);
                index.find(hash, |&(own, n)| own == hash && led.asks_for(n, &key)).map(|&(_, n)| n)
            };
            let Some((i, latent)) = n.and_then(|n| led.left.get_mut(n)) else { continue };
            values[*i] = Ok(self.land(&led.keys[*i], latent, self.arrived_at(loaded, now)));
            led.answered += 1;
        }
        self.counters.add(Count::LoadOk, led.answered as u64);
        for (i, ending) in led.all() {
            let outcome = ending.end(End::Failed { error: not_loaded(), stale: None });
            values[i] = self.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
        }
    }

    /// The load goes on: makes the flights, and a run of them.
    fn make_latent(self: &Arc<Self>, led: &mut Led<'_, K, V>, load: BatchLoad<K, V>) -> (Arc<BatchRun>, Indexed<K, V>) {
        let run = BatchRun::new();
        let (mut wanted, mut flights) = (Vec::new(), Vec::new());
        // Somebody follows already, who has asked for a task.
        let mut awaited = false;
        for n in 0..led.left.len() {
            let (i, Some(latent)) = led.left[n] else { continue };
            let key = &led.keys[i];
            let work = || Work::Batch(run.clone());
            let make = || Flight::parked(key.clone(), latent.hash, latent.token, work(), self.clone());
            let (flight, known) = self.table.make(key, &latent, make);
            led.left[n].1 = None;
            awaited |= known && flight.park(work(), Waker::noop()).is_some();
            wanted.push(Wanted::new(flight.clone()));
            flights.push((i, flight));
        }
        run.begin(batch_work(self.clone(), wanted, How::default(), Some(load)), self);
        if awaited {
            run.move_to_task(self);
        }
        (run, flights)
    }
}

fn index_of(left: &[(usize, Option<Latent>)]) -> HashTable<(u64, usize)> {
    let mut index = HashTable::with_capacity(left.len());
    for (n, latent) in left.iter().enumerate().filter_map(|(n, led)| Some((n, led.1.as_ref()?))) {
        index.insert_unique(latent.hash, (latent.hash, n), |entry| entry.0);
    }
    index
}
