//! Ready at once, one key: serves the leader of a miss without L2 whose load is over in its first poll (a map, a
//! computation, a client with the answer at hand). Nobody can have followed, so no flight is made (ADR 0039).
//! `read/many_inline.rs` is the same for many keys.
//!
//! ```text
//! lead    the missing key, reserved (`flight/reservation.rs`)
//! load    polled once, in place
//! ready   the key ends; those who followed in that moment hear of it
//! else    the load goes on as the work of a flight (`flight/handoff.rs`)
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{CacheError, CacheResult};
use crate::level::bounds::{Key, Value};
use crate::level::drive::in_task::run_in_task;
use crate::level::engine::Engine;
use crate::level::flight::token::Reservation;
use crate::level::load::one::no_loader;
use crate::level::local::outcome::{End, Outcome, no_answer};
use crate::level::local::registration::ReservedKey;
use crate::level::local::work::{Limited, Work};
use crate::level::local::{Flight, Local};
use crate::level::stats::counters::Count;
use crate::traits::loader::Loaded;

/// `launch` of `one.rs`, for a flight that is made only if the load is not ready at once.
pub(crate) fn launch_reserved<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    reserved: Reservation,
    allow_stale: bool,
    cx: &mut Context<'_>,
) -> Result<CacheResult<Option<V>>, Arc<Flight<K, V>>> {
    let mut led = ReservedKey::failing(&engine.local, key, Some(reserved));
    let (mut answer, mut unfinished, mut landing, mut landed) = (None, None, false, None);
    let _inside = engine.local.tasks.enter();
    // A load that is over is dropped in here too: its own code may panic then, and has answered nevertheless.
    let polled = catch_unwind(AssertUnwindSafe(|| match engine.sources.start(key.clone()) {
        None => answer = Some(Err(no_loader())),
        Some(load) => {
            let mut load = Limited::new(load);
            match load.poll(&engine.local.tasks, &engine.local.overdue, cx) {
                Poll::Ready(ready) => {
                    answer = Some(ready);
                    drop(load);
                    // In here, so that user code that panics on the way into L1 is this caller's answer.
                    if let Some(Ok(loaded)) = answer.take_if(|ready| ready.is_ok()) {
                        landing = true;
                        landed = Some(commit_counted(&engine.local, &mut led, loaded));
                    }
                }
                Poll::Pending => unfinished = Some(load),
            }
        }
    }));
    if let Some(value) = landed {
        return Ok(Ok(value));
    }
    if landing {
        // `led` and what was about to be told tell those who wait.
        let panicked = |payload: Box<_>| CacheError::panic("a Clone, a weigher or the L1 store", &*payload);
        return Ok(Err(polled.map_or_else(panicked, |()| no_loader())));
    }
    let error = match (answer, unfinished, polled) {
        (Some(Ok(loaded)), ..) => return Ok(Ok(commit_after_panic(&engine.local, &mut led, loaded))),
        (None, Some(load), _) => {
            let make = || Flight::new(key.clone(), reserved.hash, reserved.token, false, engine.local.clone());
            let (flight, _) = engine.local.table.make(key, &reserved, make);
            led.take();
            if let Some(hand) = flight.park(Work::Load(load), cx.waker()) {
                run_in_task(flight.clone(), hand);
            }
            return Err(flight);
        }
        (Some(Err(error)), ..) => error,
        (None, None, Err(payload)) => CacheError::panic("the loader", &*payload),
        (None, None, Ok(())) => no_loader(),
    };
    let outcome = led.end(End::Failed { error, stale: None }).unwrap_or_else(|| Outcome::failed(no_answer()));
    Ok(engine.local.led_answer(outcome, allow_stale, true))
}

/// The load has answered, and its own code panicked as it was dropped.
#[cold]
#[inline(never)]
fn commit_after_panic<K: Key, V: Value>(
    local: &Local<K, V>,
    led: &mut ReservedKey<'_, K, V>,
    loaded: Loaded<V>,
) -> Option<V> {
    commit_counted(local, led, loaded)
}

#[inline(always)]
fn commit_counted<K: Key, V: Value>(
    local: &Local<K, V>,
    led: &mut ReservedKey<'_, K, V>,
    loaded: Loaded<V>,
) -> Option<V> {
    local.counters.one(Count::LoadOk);
    led.commit_value(local.with_lives(loaded))
}
