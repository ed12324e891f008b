//! Load for a batch: the steps of `load.rs`, one L2 read, one call of the batch loader and one fill per chunk.
//!
//! The flights of a batch share one run. It is polled in place by the caller, and moves into a task as a whole when
//! anybody follows one of its flights.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use hashbrown::HashTable;

use crate::cache::BoxFuture;
use crate::error::{CacheError, CacheResult};
use crate::level::engine::{Arrived, End, Engine, Flight, Key, Stale, Value};
use crate::level::fill::Fill;
use crate::level::finish::{Ending, Held};
use crate::level::lease::{L2Use, Permit};
use crate::level::load::{How, Limited};
use crate::level::place::Place;
use crate::level::policy::BATCH_CONCURRENCY;
use crate::level::remote::{Name, Remote};
use crate::level::sources::not_loaded;
use crate::level::stats::Count;
use crate::sync::{Mutex, lock};
use crate::traits::loader::Loaded;

/// A call of the batch loader.
pub(crate) type BatchLoad<K, V> = Limited<Vec<(K, Loaded<V>)>>;

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

/// A flight of a batch that is not over, with what L2 said. Dropped by a panic it fails, dropped otherwise (the runtime
/// ends) it is passed on.
pub(crate) struct Wanted<K: Key, V: Value> {
    flight: Option<Arc<Flight<K, V>>>,
    permit: Option<Permit<K, V>>,
    /// A writer holds the key: what is loaded goes into neither level.
    held: bool,
    stale: Option<Stale<V>>,
}

impl<K: Key, V: Value> Wanted<K, V> {
    pub(crate) fn new(flight: Arc<Flight<K, V>>) -> Self {
        Self { flight: Some(flight), permit: None, held: false, stale: None }
    }

    /// What the source answered, and until when it may be cached.
    fn arrived(&self, engine: &Engine<K, V>, loaded: Loaded<V>) -> Arrived<V> {
        let mut loaded = engine.arrived(loaded);
        if self.held {
            loaded.lives = None;
        }
        loaded
    }

    fn end(mut self, end: End<V>) {
        if let Some(flight) = self.flight.take() {
            let engine = flight.context.clone();
            engine.finish(flight, end);
        }
    }

    fn fail(mut self, error: CacheError) {
        let stale = self.stale.take();
        self.end(End::Failed { error, stale });
    }
}

impl<K: Key, V: Value> Drop for Wanted<K, V> {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        let engine = flight.context.clone();
        if std::thread::panicking() {
            drop(Ending::new(&engine, Held::Flight(flight)));
        } else {
            engine.give_up(&flight);
        }
    }
}

/// The work of a batch of flights that were just led. `begun`: the batch load of them all, where it has begun.
pub(crate) fn batch_work<K: Key, V: Value>(
    engine: Arc<Engine<K, V>>,
    mut wanted: Vec<Wanted<K, V>>,
    how: How,
    mut begun: Option<BatchLoad<K, V>>,
) -> BoxFuture<'static, ()> {
    let steps = async move {
        let size = engine.policy.max_batch;
        while !wanted.is_empty() {
            let rest = wanted.split_off(wanted.len().min(size));
            let chunk = read_chunk(&engine, std::mem::replace(&mut wanted, rest), how).await;
            load_chunk(&engine, chunk, begun.take()).await;
        }
    };
    // What panicked has failed its flights while it unwound.
    Box::pin(AssertUnwindSafe(steps).catch_unwind().map(drop))
}

/// Steps 1 and 2: what is still wanted after the look into L2.
async fn read_chunk<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    chunk: Vec<Wanted<K, V>>,
    how: How,
) -> Vec<Wanted<K, V>> {
    let Some(remote) = &engine.remote else { return chunk };
    let keys: Vec<K> = chunk.iter().flat_map(|w| &w.flight).map(|flight| flight.key().clone()).collect();
    let asked: Vec<(&K, Name)> = keys.iter().map(|key| (key, remote.name(key))).collect();
    let looks = engine.l2_mlook(remote, asked, engine.lease_of_chunk(keys.len()), how.l2).await;
    let mut left = Vec::new();
    for ((mut wanted, key), mut look) in chunk.into_iter().zip(&keys).zip(looks) {
        if let Some(Stale { value, until }) = look.take_fresh(engine.now(), how.min_fresh) {
            wanted.end(End::Found { value, until });
            continue;
        }
        if how.l2 == L2Use::Read {
            engine.counters.one(Count::L2Miss);
        }
        let may_be_stale = look.found.is_some() && engine.policy.stale > 0;
        let failed = if may_be_stale { engine.throttle.get(key, engine.now()).flatten() } else { None };
        match failed {
            Some(error) => wanted.end(End::Throttled { error, stale: look.found }),
            None => {
                (wanted.stale, wanted.permit, wanted.held) = (look.found, Some(look.permit), look.held);
                left.push(wanted);
            }
        }
    }
    left
}

impl<K: Key, V: Value> Engine<K, V> {
    /// How long a lease of a chunk of so many keys lasts: single loads run side by side, but not all at once.
    fn lease_of_chunk(&self, keys: usize) -> Duration {
        let rounds = if self.sources.many.is_some() { 1 } else { keys.div_ceil(BATCH_CONCURRENCY).max(1) };
        let more = u32::try_from(rounds - 1).unwrap_or(u32::MAX);
        self.policy.lease.saturating_add(self.policy.loader_timeout.saturating_mul(more))
    }
}

/// Steps 3 to 5.
async fn load_chunk<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    wanted: Vec<Wanted<K, V>>,
    begun: Option<BatchLoad<K, V>>,
) {
    if wanted.is_empty() {
        return;
    }
    if !engine.sources.exist() {
        wanted.into_iter().for_each(|one| one.end(End::Missed));
    } else if engine.sources.many.is_some() {
        let keys = || wanted.iter().flat_map(|w| &w.flight).map(|flight| flight.key().clone()).collect();
        let answer = load_many(engine, keys, begun).await;
        match answer {
            Ok(found) => {
                let mut done = matched(engine, wanted, found);
                if let Some(remote) = &engine.remote {
                    fill_many(engine, remote, &mut done).await;
                }
                for (one, loaded) in done {
                    one.end(End::Loaded(loaded));
                }
            }
            Err(error) => wanted.into_iter().for_each(|one| one.fail(error.clone())),
        }
    } else {
        let each = |mut one: Wanted<K, V>| async move {
            let Some(flight) = one.flight.clone() else { return };
            match engine.load_one(flight.key().clone()).await {
                Ok(loaded) => {
                    let loaded = one.arrived(engine, loaded);
                    if let Some(permit) = one.permit.take() {
                        engine.fill_one(&flight, permit, &loaded).await;
                    }
                    one.end(End::Loaded(loaded));
                }
                Err(error) => one.fail(error),
            }
        };
        stream::iter(wanted).map(each).buffer_unordered(BATCH_CONCURRENCY).collect::<()>().await;
    }
}

/// Each answer with who wants it. What is left out fails; what nobody asked for is dropped.
fn matched<K: Key, V: Value>(
    engine: &Engine<K, V>,
    wanted: Vec<Wanted<K, V>>,
    found: Vec<(K, Loaded<V>)>,
) -> Vec<(Wanted<K, V>, Arrived<V>)> {
    let mut wanted: Vec<Option<Wanted<K, V>>> = wanted.into_iter().map(Some).collect();
    let mut done = Vec::with_capacity(found.len());
    // The usual answer is as long as the question; the index is over the hashes that the flights carry anyway.
    let mut index = HashTable::with_capacity(wanted.len());
    for (i, flight) in wanted.iter().enumerate().filter_map(|(i, w)| Some((i, w.as_ref()?.flight.as_ref()?))) {
        index.insert_unique(flight.hash(), (flight.hash(), i), |entry: &(u64, usize)| entry.0);
    }
    for (key, loaded) in found {
        let hash = engine.table.hash(&key);
        let is_it =
            |w: &Option<Wanted<K, V>>| w.as_ref().and_then(|w| w.flight.as_ref()).is_some_and(|f| *f.key() == key);
        let at = index.find(hash, |&(_, i)| is_it(&wanted[i])).map(|entry| entry.1);
        if let Some(one) = at.and_then(|i| wanted[i].take()) {
            let loaded = one.arrived(engine, loaded);
            done.push((one, loaded));
        }
    }
    wanted.into_iter().flatten().for_each(|one| one.fail(not_loaded()));
    done
}

async fn load_many<K: Key, V: Value>(
    engine: &Engine<K, V>,
    keys: impl FnOnce() -> Vec<K>,
    begun: Option<BatchLoad<K, V>>,
) -> CacheResult<Vec<(K, Loaded<V>)>> {
    let load = async {
        let Some(many) = &engine.sources.many else { return Ok(Vec::new()) };
        let mut load = begun.unwrap_or_else(|| Limited::new(many.mload_owned(keys())));
        std::future::poll_fn(|cx| load.poll(engine, cx)).await
    };
    AssertUnwindSafe(load).catch_unwind().await.unwrap_or_else(|p| Err(CacheError::panic("the batch loader", &*p)))
}

async fn fill_many<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    remote: &Remote<K, V>,
    done: &mut [(Wanted<K, V>, Arrived<V>)],
) {
    let fills = done.iter_mut().filter_map(|(one, loaded)| {
        let (flight, permit) = (one.flight.as_ref()?, one.permit.take()?);
        Some(Fill::of(flight, permit, loaded))
    });
    engine.l2_fill(remote, fills.collect()).await;
}
