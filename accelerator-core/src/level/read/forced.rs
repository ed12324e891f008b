//! Read: a caller who accepts nothing that is cached (`force_refresh`).
//!
//! It gets an answer that the source was asked for after the call began.
//!
//! ```text
//! nobody loads for such a caller   lead; any other flight of the key goes on, for its own callers and for neither level
//! somebody does, begun before      wait until it is over, then look again
//! somebody does, begun since       follow
//! ```
//! So a crowd of such callers makes two loads at most, and still one flight can be joined at a time.

use std::sync::Arc;

use crate::error::CacheResult;
use crate::level::bounds::{Key, Value};
use crate::level::drive::in_task::move_to_task;
use crate::level::drive::wait::LoadsWith;
use crate::level::engine::Engine;
use crate::level::flight::forced::Forced;
use crate::level::load::one::{LoadMode, lead_in_place, load_alone};
use crate::level::local::Flight;
use crate::level::local::host::{Follow, Led, Waited};
use crate::level::stats::counters::Count;
use crate::options::ReadOptions;

fn join_forced<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, key: &K, since: u64) -> Forced<Arc<Flight<K, V>>> {
    engine.local.table.join_forced(key, since, &engine.local, || engine.local.generation())
}

/// A read that accepts nothing that is cached.
pub(crate) async fn get_forced<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    options: ReadOptions,
) -> CacheResult<Option<V>> {
    let since = engine.local.table.moment(key);
    engine.local.counters.one(Count::Miss);
    let (mut joined, mut late) = (false, false);
    loop {
        let (flight, counts) = match join_forced(engine, key, since) {
            Forced::Lead(flight) => match lead_in_place(engine, Led::new(flight), LoadMode::refresh(true)).await {
                Ok(outcome) => return engine.local.led_answer(outcome, options.allow_stale, true),
                Err(Some(flight)) => (flight, true),
                Err(None) => continue,
            },
            Forced::Follow(flight) => (flight, true),
            Forced::After(flight) => (flight, false),
        };
        if !std::mem::replace(&mut joined, true) {
            engine.local.counters.one(Count::Joined);
        }
        move_to_task(&flight);
        match Follow::new(flight, LoadsWith::Loader).await {
            Waited::Over(outcome) if counts => {
                if let Some(answer) = engine.local.answer(outcome, options.allow_stale) {
                    return answer;
                }
            }
            // Its leader disappeared: nothing was asked for yet, or is not any more.
            Waited::Lead(led) => {
                if let Ok(outcome) = lead_in_place(engine, led, LoadMode::refresh(true)).await {
                    return engine.local.led_answer(outcome, options.allow_stale, true);
                }
            }
            Waited::Over(_) | Waited::Restart => {}
            Waited::TooLong if !late => late = true,
            Waited::TooLong => return load_alone(engine, key).await,
        }
    }
}
