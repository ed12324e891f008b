//! Read: one key.
//!
//! 1. probe L1
//! 2. fresh: answer; inside the refresh window also start a refresh
//! 3. join the key's flight, or lead a new one
//! 4. (under the table's lock) probe L1 again
//! 5. leading: the work of `load/one.rs`, polled in place
//! 6. following: wait; if the leader disappears, take over; if it is late and gives no sign of life, lead beside it

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{CacheError, CacheResult};
use crate::level::bounds::{Key, Value};
use crate::level::drive::wait::LoadsWith;
use crate::level::engine::Engine;
use crate::level::flight::join::Join;
use crate::level::flight::reservation::LedBy;
use crate::level::load::one::{LoadMode, launch, lead_in_place, load_alone};
use crate::level::load::one_inline::launch_reserved;
use crate::level::local::Flight;
use crate::level::local::host::{InPlace, Led, Step};
use crate::level::local::outcome::{End, Outcome, no_answer};
use crate::level::read::follow::{Followed, Follower, Stage};
use crate::level::read::forced::get_forced;
use crate::level::read::pass::forces;
use crate::level::remote::interpret::Found;
use crate::level::remote::permit::L2Use;
use crate::options::ReadOptions;

/// A `get` that L1 could not answer. The first poll joins or leads; who leads a load goes on in place, anybody else in
/// a box.
pub(crate) async fn get_missed<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    options: ReadOptions,
) -> CacheResult<Option<V>> {
    let first = std::future::poll_fn(|cx| Poll::Ready(get_first(engine, key, options, cx)));
    let rest = match first.await {
        Ok(answer) => return answer,
        Err(rest) => rest,
    };
    let stage = match rest {
        AfterFirstPoll::TicketToCome(in_place) => match in_place.await {
            Ok(outcome) => return engine.local.led_answer(outcome, options.allow_stale, true),
            Err(flight) => Stage::Moved(flight),
        },
        AfterFirstPoll::Reads(led) => Stage::Joined(Step::Lead(led)),
        AfterFirstPoll::Follows(flight) => Stage::Joined(Step::Follow(flight)),
        AfterFirstPoll::Forced => return Box::pin(get_forced(engine, key, options)).await,
    };
    Box::pin(get_on(engine, key, options, stage)).await
}

/// Step 3 and, where it can end there, the first poll of step 5.
#[cold]
#[inline(never)]
fn get_first<'e, K: Key, V: Value>(
    engine: &'e Arc<Engine<K, V>>,
    key: &K,
    options: ReadOptions,
    cx: &mut Context<'_>,
) -> Result<CacheResult<Option<V>>, AfterFirstPoll<'e, K, V>> {
    if engine.local.is_closed() {
        return Ok(Err(CacheError::shutdown()));
    }
    engine.tend();
    let loads = engine.sources.exist() && !options.disable_load;
    if forces(engine, options) {
        return Err(AfterFirstPoll::Forced);
    }
    let fresh = !options.force_refresh;
    let leads = |flight| AfterFirstPoll::TicketToCome(InPlace::new(&engine.local, flight));
    if loads && engine.remote.is_none() {
        return match engine.local.join_reserved(key, LedBy::Leader, fresh) {
            Join::Hit(value) => Ok(Ok(value)),
            Join::Lead(reserved) => launch_reserved(engine, key, reserved, options.allow_stale, cx).map_err(leads),
            Join::Follow(flight) => Err(AfterFirstPoll::Follows(flight)),
        };
    }
    let launched = match engine.local.join(key, !loads, fresh) {
        Join::Hit(value) => return Ok(Ok(value)),
        Join::Lead(flight) if loads => launch(engine, flight, LoadMode::refresh(options.force_refresh), cx),
        // A miss with nothing to ask is over.
        Join::Lead(flight) if engine.remote.is_none() => {
            engine.local.finish(flight, End::Missed);
            return Ok(Ok(None));
        }
        Join::Lead(flight) => return Err(AfterFirstPoll::Reads(Led::new(flight))),
        Join::Follow(flight) => return Err(AfterFirstPoll::Follows(flight)),
    };
    let outcome = launched.map_err(leads)?;
    Ok(engine.local.led_answer(outcome, options.allow_stale, true))
}

/// How a read goes on that its first poll did not end.
enum AfterFirstPoll<'e, K: Key, V: Value> {
    /// Its own work suspended.
    TicketToCome(InPlace<'e, K, V>),
    /// It leads, and has no loader.
    Reads(Led<K, V>),
    Follows(Arc<Flight<K, V>>),
    /// It accepts nothing that is cached.
    Forced,
}

/// Steps 3 to 6 of a read that could not end in its first poll.
pub(crate) async fn get_on<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    options: ReadOptions,
    mut stage: Stage<K, V>,
) -> CacheResult<Option<V>> {
    let loads = engine.sources.exist() && !options.disable_load;
    let how = LoadMode::refresh(options.force_refresh);
    let heir = if loads { LoadsWith::Loader } else { LoadsWith::Nothing };
    let mut follower = Follower::new(&engine.local, key, heir, !options.force_refresh, how.l2);
    loop {
        let led = match follower.follow(stage).await {
            Followed::Hit(value) => return Ok(value),
            Followed::Failed { error, stale } => return engine.local.served(stale, options.allow_stale).ok_or(error),
            Followed::Stuck => return load_alone(engine, key).await,
            Followed::Nothing => return Ok(None),
            Followed::Lead(led) => led,
        };
        if !loads {
            let outcome = engine.local.tasks.inside(read_only(engine, led)).await;
            return engine.local.led_answer(outcome, options.allow_stale, false);
        }
        let how = LoadMode { l2: follower.l2.led(led.is_beside()), ..how };
        match lead_in_place(engine, led, how).await {
            Ok(outcome) => return engine.local.led_answer(outcome, options.allow_stale, true),
            Err(flight) => stage = Stage::Moved(flight),
        }
    }
}

/// A flight without a loader: what L2 has, or nothing.
async fn read_only<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, led: Led<K, V>) -> Outcome<V> {
    let mut end = End::Missed;
    if let (Some(flight), Some(remote)) = (led.flight(), &engine.remote) {
        let name = remote.wire.name(flight.key());
        match remote.get_for_read(flight.key(), &name).await {
            Found::Hit(found) if found.until.is_fresh(engine.local.now(), 0) => end = End::Found(found),
            Found::Hit(_) | Found::Nothing { .. } => remote.count_missed(L2Use::Read, 1),
        }
    }
    match led.take() {
        Some(flight) => engine.local.finish(flight, end),
        None => Outcome::failed(no_answer()),
    }
}
