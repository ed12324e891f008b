//! Load: from a led flight to its end.
//!
//! 1. read L2, unless the key is bypassed
//! 2. a hit ends the flight
//! 3. ask the source, under `loader_timeout`
//! 4. store the answer in L2
//! 5. commit to L1 under the fence and tell all who wait (`Local::finish`)
//!
//! Without L2 only 3 and 5 are left, and the loader's own box is the work.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Context;

use crate::error::{CacheError, CacheResult};
use crate::level::bounds::{Key, Value};
use crate::level::drive::in_place;
use crate::level::engine::Engine;
use crate::level::local::Flight;
use crate::level::local::host::Led;
use crate::level::local::outcome::{End, Outcome, no_answer};
use crate::level::local::work::{Limited, Work};
use crate::level::remote::Remote;
use crate::level::remote::fill::Fill;
use crate::level::remote::look::Look;
use crate::level::remote::permit::L2Use;
use crate::level::stats::counters::Count;
use crate::traits::loader::Loaded;
use futures_util::FutureExt;

/// What a flight makes of L2, and of the source.
#[derive(Clone, Copy)]
pub(crate) struct LoadMode {
    pub(crate) l2: L2Use,
    /// Whether the source is asked for what L2 has not. (One flight without a loader is `read_only`.)
    pub(crate) loads: bool,
    /// A value in L2 is only good enough if it has more than this many milliseconds to live (refresh-ahead).
    pub(crate) min_fresh: u64,
}

/// The work of a flight that was just led; or its end, where there is nothing to load with. A panic of the loader's first,
/// synchronous part is caught.
fn work<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    flight: &Arc<Flight<K, V>>,
    how: LoadMode,
) -> Result<Work<V>, End<V>> {
    if engine.remote.is_some() {
        return Ok(Work::Full(Box::pin(run_flight(engine.clone(), flight.clone(), how))));
    }
    let _inside = engine.local.tasks.enter();
    let failed = |error| End::Failed { error, stale: None };
    match catch_unwind(AssertUnwindSafe(|| engine.sources.start(flight.key().clone()))) {
        Ok(Some(load)) => Ok(Work::Load(Limited::new(load))),
        Ok(None) => Err(failed(no_loader())),
        Err(payload) => Err(failed(CacheError::panic("the loader", &*payload))),
    }
}

/// Loads one key: limits and panics included, flights and levels left out.
pub(crate) async fn load_one<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, key: K) -> CacheResult<Loaded<V>> {
    let load = async {
        let Some(load) = engine.sources.start(key) else {
            return Err(no_loader());
        };
        let mut load = Limited::new(load);
        std::future::poll_fn(|cx| load.poll(&engine.local.tasks, &engine.local.overdue, cx)).await
    };
    AssertUnwindSafe(load).catch_unwind().await.unwrap_or_else(|p| Err(CacheError::panic("the loader", &*p)))
}

/// A load for one caller alone, where the work of others is stuck: no flight, no fill.
pub(crate) async fn load_alone<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, key: &K) -> CacheResult<Option<V>> {
    let answer = engine.local.tasks.inside(load_one(engine, key.clone())).await;
    match &answer {
        Ok(_) => engine.local.counters.one(Count::LoadOk),
        Err(e) => engine.local.counters.load_failed(e.kind()),
    }
    answer.map(|loaded| loaded.value)
}

/// Polls the work of a flight in place for the first time. `Err`: it goes on; wait for it.
pub(crate) fn launch<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    flight: Arc<Flight<K, V>>,
    how: LoadMode,
    cx: &mut Context<'_>,
) -> Result<Outcome<V>, Arc<Flight<K, V>>> {
    in_place::launch(&engine.local, flight, |flight| work(engine, flight, how), cx)
}

/// Polls the work in place until it is over (`Ok`) or has moved into a task (`Err`).
pub(crate) async fn lead_in_place<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    led: Led<K, V>,
    how: LoadMode,
) -> Result<Outcome<V>, Option<Arc<Flight<K, V>>>> {
    in_place::lead_in_place(&engine.local, led, |flight| work(engine, flight, how)).await
}

pub(crate) fn no_loader() -> CacheError {
    CacheError::new(crate::ErrorKind::InvalidConfig, "the cache has no loader")
}

impl LoadMode {
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
pub(crate) async fn run_flight<K: Key, V: Value>(
    engine: Arc<Engine<K, V>>,
    flight: Arc<Flight<K, V>>,
    how: LoadMode,
) -> End<V> {
    let Some(remote) = &engine.remote else { return End::Failed { error: no_answer(), stale: None } };
    let key = flight.key();
    // 1
    let mut look = remote.look_to_load(key, how.l2).await;
    // 2
    if let Some(found) = look.take_fresh(engine.local.now(), how.min_fresh) {
        return End::Found(found);
    }
    // In a box of its own: a hit of L2 has no need for its room.
    Box::pin(load_and_fill(&engine, remote, &flight, look, how)).await
}

/// Steps 3 and 4 of one flight with an L2, which had nothing fresh.
async fn load_and_fill<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    remote: &Arc<Remote<K, V>>,
    flight: &Flight<K, V>,
    look: Look<K, V>,
    how: LoadMode,
) -> End<V> {
    let (local, key) = (&engine.local, flight.key());
    let throttled = remote.missed(key, how.l2, &look);
    let Look { found: stale, mut permit, held, .. } = look;
    if let Some(error) = throttled {
        return End::Throttled { error, stale };
    }
    // 3
    let mut load = std::pin::pin!(load_one(engine, key.clone()));
    let mut kept = false;
    let answer = std::future::poll_fn(|cx| {
        let answer = load.as_mut().poll(cx);
        // A load that is ready at once pays for no renewal.
        if answer.is_pending() && !std::mem::replace(&mut kept, true) {
            remote.keep_alive([&mut permit].into_iter(), local.policy.longest_load(1));
        }
        answer
    });
    let mut loaded = match answer.await {
        Ok(loaded) => local.with_lives(loaded).unless(held),
        Err(error) => return End::Failed { error, stale },
    };
    // 4
    let fill = Fill::of(key, flight.hash(), flight.token(), permit, &loaded);
    // In a box of its own, which is not there while the source is asked. `false`: somebody was faster, and L1 must not
    // keep the value.
    if fill.matters() && !Box::pin(remote.fill(fill)).await {
        loaded.lives = None;
    }
    End::Loaded(loaded)
}
