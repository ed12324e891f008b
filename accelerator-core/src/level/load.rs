//! Load: from a led flight to its end.
//!
//! 1. read L2, unless the key is bypassed
//! 2. a hit ends the flight
//! 3. ask the source, under `loader_timeout`
//! 4. store the answer in L2
//! 5. commit to L1 under the fence and tell all who wait (`Engine::finish`)
//!
//! Without L2 only 3 and 5 are left, and the loader's own box is the work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cache::BoxFuture;
use crate::error::{CacheError, CacheResult};
use crate::level::batch_run::BatchRun;
use crate::level::engine::{End, Engine, Flight, Key, Outcome, Stale, Value};
use crate::level::fill::Fill;
use crate::level::finish::{Ending, Held};
use crate::level::flight::Parked;
use crate::level::lease::{L2Use, Look};
use crate::level::sources::LoadFuture;
use crate::level::stats::Count;
use crate::level::ticker::{Limit, NoRuntime};
use crate::traits::loader::Loaded;
use futures_util::FutureExt;

/// A load under `loader_timeout`. The limit begins when the load first suspends, so a load that is ready at once pays
/// for none.
pub(crate) struct Limited<T> {
    load: LoadFuture<T>,
    limit: Option<Limit>,
}

impl<T> Limited<T> {
    pub(crate) fn new(load: LoadFuture<T>) -> Self {
        Self { load, limit: None }
    }

    /// Panics of the loader are caught by the caller.
    pub(crate) fn poll<K: Key, V: Value>(
        &mut self,
        engine: &Engine<K, V>,
        cx: &mut Context<'_>,
    ) -> Poll<CacheResult<T>> {
        if let Poll::Ready(answer) = self.load.as_mut().poll(cx) {
            return Poll::Ready(answer);
        }
        let timeout = engine.policy.loader_timeout;
        let limit = self.limit.get_or_insert_with(|| Limit::new(engine.ticker.clone(), timeout));
        engine.poll_limit(limit, cx).map(|over| match over {
            Ok(()) => Err(engine.overdue.error(timeout)),
            Err(NoRuntime) => Err(CacheError::no_runtime("a load that suspends")),
        })
    }
}

/// What a flight is doing; polled by its leader or in a task.
pub(crate) enum Work<V> {
    /// Only the loader.
    Load(Limited<Loaded<V>>),
    /// L2, and the loader if need be.
    Full(BoxFuture<'static, End<V>>),
}

impl<V> Parked for Work<V> {
    type Run = Arc<BatchRun>;

    fn is_same(one: &Arc<BatchRun>, other: &Arc<BatchRun>) -> bool {
        Arc::ptr_eq(one, other)
    }
}

/// What a flight makes of L2, and of the source.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) l2: L2Use,
    /// Whether the source is asked for what L2 has not. (One flight without a loader is `read_only`.)
    pub(crate) loads: bool,
    /// A value in L2 is only good enough if it has more than this many milliseconds to live (refresh-ahead).
    pub(crate) min_fresh: u64,
}

impl<V: Value> Work<V> {
    /// Drops it. A load that timed out is unfinished: user code, whose panic is nobody's any more.
    pub(crate) fn end(self) {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
    }

    /// One poll; a panic of user code becomes the end of this flight.
    pub(crate) fn poll<K: Key>(&mut self, engine: &Engine<K, V>, cx: &mut Context<'_>) -> Poll<End<V>> {
        let polled = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Load(load) => load.poll(engine, cx).map(|answer| engine.end(answer)),
            Self::Full(work) => work.as_mut().poll(cx),
        }));
        polled.unwrap_or_else(|payload| {
            Poll::Ready(End::Failed { error: CacheError::panic("the loader", &*payload), stale: None })
        })
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    pub(crate) fn end(&self, answer: CacheResult<Loaded<V>>) -> End<V> {
        match answer {
            Ok(loaded) => End::Loaded(self.arrived(loaded)),
            Err(error) => End::Failed { error, stale: None },
        }
    }

    /// The work of a flight that was just led.
    pub(crate) fn work(self: &Arc<Self>, flight: &Arc<Flight<K, V>>, how: How) -> Result<Work<V>, CacheError> {
        if self.remote.is_some() {
            return Ok(Work::Full(Box::pin(fly(flight.clone(), how))));
        }
        self.work_without_l2(flight.key())
    }

    /// Only the loader; a panic of its first, synchronous part is caught.
    fn work_without_l2(&self, key: &K) -> Result<Work<V>, CacheError> {
        match catch_unwind(AssertUnwindSafe(|| self.sources.start(key.clone()))) {
            Ok(Some(load)) => Ok(Work::Load(Limited::new(load))),
            Ok(None) => Err(no_loader()),
            Err(payload) => Err(CacheError::panic("the loader", &*payload)),
        }
    }

    /// Loads one key: limits and panics included, flights and levels left out.
    pub(crate) async fn load_one(&self, key: K) -> CacheResult<Loaded<V>> {
        let load = async {
            let Some(load) = self.sources.start(key) else {
                return Err(no_loader());
            };
            let mut load = Limited::new(load);
            std::future::poll_fn(|cx| load.poll(self, cx)).await
        };
        AssertUnwindSafe(load).catch_unwind().await.unwrap_or_else(|p| Err(CacheError::panic("the loader", &*p)))
    }

    /// A load for one caller alone, where the work of others is stuck: no flight, no fill.
    pub(crate) async fn load_alone(&self, key: &K) -> CacheResult<Option<V>> {
        let answer = self.inside(self.load_one(key.clone())).await;
        match &answer {
            Ok(_) => self.counters.one(Count::LoadOk),
            Err(e) => self.counters.load_failed(e.kind()),
        }
        answer.map(|loaded| loaded.value)
    }

    /// Polls the work of a flight in place for the first time. `Err`: it goes on; wait for it.
    pub(crate) fn launch(
        self: &Arc<Self>,
        flight: Arc<Flight<K, V>>,
        how: How,
        cx: &mut Context<'_>,
    ) -> Result<Outcome<V>, Arc<Flight<K, V>>> {
        let _inside = self.enter();
        let mut work = match self.work(&flight, how) {
            Ok(work) => work,
            Err(error) => return Ok(self.finish(flight, End::Failed { error, stale: None })),
        };
        match work.poll(self, cx) {
            Poll::Ready(end) => {
                let ending = Ending::new(self, Held::Flight(flight));
                work.end();
                Ok(ending.end_alone(end))
            }
            Poll::Pending => {
                if let Some(hand) = flight.park(work, cx.waker()) {
                    self.run_in_task(flight.clone(), hand);
                }
                Err(flight)
            }
        }
    }
}

pub(crate) fn no_loader() -> CacheError {
    CacheError::new(crate::ErrorKind::InvalidConfig, "the cache has no loader")
}

impl How {
    /// Whether it waits for what another process loads: who wants what is newer than L2 doesn't.
    pub(crate) fn waits(self) -> bool {
        self.loads && self.l2 != L2Use::Refresh
    }

    /// Whatever is cached is not wanted (`yes`), or read first.
    pub(crate) fn refresh(yes: bool) -> Self {
        Self { l2: if yes { L2Use::Refresh } else { L2Use::Read }, loads: true, min_fresh: 0 }
    }
}

/// Steps 1 to 4 of one flight with an L2.
pub(crate) async fn fly<K: Key, V: Value>(flight: Arc<Flight<K, V>>, how: How) -> End<V> {
    let engine = &flight.context;
    let Some(remote) = &engine.remote else { return End::Missed };
    let key = flight.key();
    // 1
    let mut look = engine.l2_look(remote, key, remote.name(key), how.l2).await;
    // 2
    if let Some(Stale { value, until }) = look.take_fresh(engine.now(), how.min_fresh) {
        return End::Found { value, until };
    }
    // In a box of its own: a hit of L2 has no need for its room.
    Box::pin(load_and_fill(engine, &flight, look, how)).await
}

/// Steps 3 and 4 of one flight with an L2, which had nothing fresh.
async fn load_and_fill<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    flight: &Flight<K, V>,
    look: Look<K, V>,
    how: How,
) -> End<V> {
    let key = flight.key();
    if how.l2.is_first() {
        engine.counters.one(Count::L2Miss);
    }
    let Look { found: stale, mut permit, held } = look;
    if stale.is_some()
        && engine.policy.stale > 0
        && let Some(Some(error)) = engine.throttle.get(key, engine.now())
    {
        return End::Throttled { error, stale };
    }
    if !engine.sources.exist() {
        return End::Missed;
    }
    // 3
    let mut load = std::pin::pin!(engine.load_one(key.clone()));
    let mut kept = false;
    let answer = std::future::poll_fn(|cx| {
        let answer = load.as_mut().poll(cx);
        // A load that is ready at once pays for no renewal.
        if answer.is_pending() && !std::mem::replace(&mut kept, true) {
            engine.keep_alive([&mut permit].into_iter(), engine.longest_load(1));
        }
        answer
    });
    let mut loaded = match answer.await {
        Ok(loaded) => engine.arrived(loaded),
        Err(error) => return End::Failed { error, stale },
    };
    // 4
    if held {
        loaded.lives = None;
    }
    if !engine.fill_one(Fill::of(key, flight.hash(), flight.token(), permit, &loaded)).await {
        loaded.lives = None;
    }
    End::Loaded(loaded)
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Step 4 for one key. `false`: somebody was faster, and L1 must not keep the value.
    pub(crate) async fn fill_one(self: &Arc<Self>, fill: Fill<'_, K, V>) -> bool {
        let Some(remote) = &self.remote else { return true };
        // In a box of its own, which is not there while the source is asked.
        !fill.matters() || Box::pin(self.l2_fill(remote, fill)).await
    }
}
