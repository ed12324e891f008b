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
use crate::level::drive::in_task::move_to_task;
use crate::level::drive::wait::LoadsWith;
use crate::level::engine::Engine;
use crate::level::flight::join::Join;
use crate::level::flight::reservation::LedBy;
use crate::level::load::one::{LoadMode, launch, lead_in_place, load_alone};
use crate::level::load::one_inline::launch_reserved;
use crate::level::local::Flight;
use crate::level::local::host::{Follow, InPlace, Led, Step, Waited};
use crate::level::local::outcome::{End, Outcome};
use crate::level::read::forced::get_forced;
use crate::level::read::pass::forces;
use crate::level::remote::interpret::Found;
use crate::level::stats::counters::Count;
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
            Ok(outcome) => return engine.local.answer(outcome, options.allow_stale).unwrap_or(Ok(None)),
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
    Ok(engine.local.answer(outcome, options.allow_stale).unwrap_or(Ok(None)))
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

/// Where a read stands that goes on in a box.
pub(crate) enum Stage<K: Key, V: Value> {
    Joined(Step<K, V>),
    /// Its own work has moved into a task; without a flight it starts again.
    Moved(Option<Arc<Flight<K, V>>>),
}

/// Steps 3 to 6 of a read that could not end in its first poll.
pub(crate) async fn get_on<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    options: ReadOptions,
    mut stage: Stage<K, V>,
) -> CacheResult<Option<V>> {
    let loads = engine.sources.exist() && !options.disable_load;
    let (mut how, mut stuck) = (LoadMode::refresh(options.force_refresh), false);
    let heir = if loads { LoadsWith::Loader } else { LoadsWith::Nothing };
    loop {
        let follow = match stage {
            Stage::Joined(Step::Hit(value)) => return Ok(value),
            Stage::Joined(Step::Lead(led)) if loads => {
                let how = LoadMode { l2: how.l2.led(led.is_beside()), ..how };
                match lead_in_place(engine, led, how).await {
                    Ok(outcome) => return engine.local.answer(outcome, options.allow_stale).unwrap_or(Ok(None)),
                    Err(flight) => flight,
                }
            }
            Stage::Joined(Step::Lead(led)) => {
                let outcome = engine.local.tasks.inside(read_only(engine, led)).await;
                return engine.local.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
            }
            Stage::Moved(flight) => flight,
            Stage::Joined(Step::Follow(flight)) => {
                move_to_task(&flight);
                Some(flight)
            }
        };
        let waited = match follow {
            Some(flight) => Follow::new(flight, heir).await,
            None => Waited::Restart,
        };
        stage = match waited {
            Waited::Over(outcome) => match engine.local.answer(outcome, options.allow_stale) {
                Some(answer) => return answer,
                None if !loads => return Ok(None),
                None => {
                    how.l2 = how.l2.after_miss();
                    Stage::Joined(Step::new(engine.local.join_again(key, false, !options.force_refresh)))
                }
            },
            Waited::Lead(led) if loads => Stage::Joined(Step::Lead(led)),
            Waited::Lead(led) => {
                let outcome = engine.local.tasks.inside(read_only(engine, led)).await;
                return engine.local.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
            }
            Waited::Restart => Stage::Joined(Step::new(engine.local.join_again(key, !loads, !options.force_refresh))),
            Waited::TooLong if !loads => return Ok(None),
            // The work of another is stuck in one poll; the second time nobody is waited for.
            Waited::TooLong if stuck => return load_alone(engine, key).await,
            Waited::TooLong => {
                stuck = true;
                Stage::Joined(Step::new(engine.local.join_again(key, false, !options.force_refresh)))
            }
        };
    }
}

/// A flight without a loader: what L2 has, or nothing.
async fn read_only<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, led: Led<K, V>) -> Outcome<V> {
    let found = match (led.flight(), &engine.remote) {
        (Some(flight), Some(remote)) => {
            let name = remote.wire.name(flight.key());
            Some(remote.get_for_read(flight.key(), &name).await)
        }
        _ => None,
    };
    let end = found_or_missed(engine, found);
    led.take().map_or(Outcome::Missed, |flight| engine.local.finish(flight, end))
}

/// The end of a flight without a loader.
pub(crate) fn found_or_missed<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, found: Option<Found<V>>) -> End<V> {
    match found {
        Some(Found::Hit { value, until }) if until.is_fresh(engine.local.now(), 0) => End::Found { value, until },
        Some(_) => {
            engine.local.counters.one(Count::L2Miss);
            End::Missed
        }
        None => End::Missed,
    }
}
