//! Read: many keys.
//!
//! 1. probe L1 for all in one pass; where keys are missing, note the others' places in the slot table before each look
//! 2. the missing keys: lead or follow, each its own flight; L1 is probed again, but where nothing can have come meanwhile
//! 3. load all that are led, as one run (`load/many.rs`)
//! 4. only then wait for those that others lead
//! 5. each key has its own outcome

use std::collections::{HashMap, hash_map};
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use futures_util::FutureExt;

use crate::cache::{Answers, CacheFuture};
use crate::error::{CacheError, CacheResult};
use crate::level::bounds::{Key, Value};
use crate::level::drive::in_task::move_to_task;
use crate::level::engine::Engine;
use crate::level::flight::reservation::LedBy;
use crate::level::load::many::batch_work;
use crate::level::load::one::LoadMode;
use crate::level::local::batch_run::{BatchKey, BatchKeys};
use crate::level::local::host::Step;
use crate::level::local::registration::ReservedKey;
use crate::level::local::work::BatchRun;
use crate::level::local::{Flight, Local};
use crate::level::read::follow::Stage;
use crate::level::read::forced::get_forced;
use crate::level::read::many_inline::begin_reserved;
use crate::level::read::one::{get_missed, get_on};
use crate::level::read::pass::{Begun, Missing, Values, forces, join_missing, probe_all};
use crate::level::time::join_parts::join_parts;
use crate::options::ReadOptions;
use crate::pulse::waits_for_the_cache;
use crate::traits::l1::L1Store;

/// Steps 1 to 5.
pub(crate) async fn read_many<'k, K: Key, V: Value, L1: L1Store<K, V>>(
    l1: &L1,
    local: &Local<K, V>,
    engine: &Arc<Engine<K, V>>,
    keys: &'k [K],
    options: ReadOptions,
) -> Answers<'k, K, V> {
    // 1
    let mut values = Vec::with_capacity(keys.len());
    let missing = probe_all(l1, local, engine, keys, options, &mut values);
    if let Some(only) = missing.only() {
        values[only] = get_missed(engine, &keys[only], options).await;
    } else if let Some(missing) = missing.all() {
        values = Box::pin(read_missing(engine, keys, values, missing, options)).await;
    }
    Answers { keys, values }
}

/// [`read_many`] for callers who want no future where L1 has all.
pub(crate) fn read_many_boxed<'a, K: Key, V: Value, L1: L1Store<K, V>>(
    l1: &L1,
    local: &Local<K, V>,
    engine: &'a Arc<Engine<K, V>>,
    keys: &'a [K],
    options: ReadOptions,
) -> CacheFuture<'a, Answers<'a, K, V>> {
    // 1
    let mut values = Vec::with_capacity(keys.len());
    let missing = probe_all(l1, local, engine, keys, options, &mut values);
    if missing.is_empty() {
        return CacheFuture::ready(Answers { keys, values });
    }
    CacheFuture::boxed(async move {
        if let Some(only) = missing.only() {
            values[only] = get_missed(engine, &keys[only], options).await;
        } else if let Some(missing) = missing.all() {
            values = read_missing(engine, keys, values, missing, options).await;
        }
        Answers { keys, values }
    })
}

/// Whether the load of a batch (of one call) may be over in one poll: see `many_inline.rs`.
fn leads_in_place<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, options: ReadOptions) -> bool {
    engine.remote.is_none() && engine.sources.many.is_some() && !options.disable_load
}

async fn read_missing<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    keys: &[K],
    mut values: Values<V>,
    missing: Vec<Missing>,
    options: ReadOptions,
) -> Values<V> {
    if engine.local.is_closed() {
        missing.into_iter().for_each(|missing| values[missing.at] = Err(CacheError::shutdown()));
        return values;
    }
    engine.tend();
    let mut missing = missing;
    let forced = forces(engine, options);
    let again = if forced { apart::<K>(keys, &mut missing) } else { Vec::new() };
    let mut missing = Some(missing);
    let begun = std::future::poll_fn(|cx| {
        // It is over with its first poll.
        let Some(missing) = missing.take() else { return Poll::Pending };
        Poll::Ready(match leads_in_place(engine, options) && missing.len() <= engine.local.policy.max_batch {
            true => begin_reserved(engine, keys, &mut values, missing, options, cx),
            false => begin_run(engine, keys, &mut values, missing, options),
        })
    })
    .await;
    // The rest of 3
    if let Some(leading) = &begun.leading {
        move_foreign_to_tasks(leading.run(), &begun.followed);
    }
    let led = match begun.leading {
        Some(leading) => leading.await,
        None => Vec::new(),
    };
    // 4 and 5: together, so that the limits of all waits begin now.
    let loads = engine.sources.exist() && !options.disable_load;
    let mut waits = Vec::new();
    for BatchKey { at, outcome, .. } in led {
        // What was given up, as its runtime has ended, begins anew.
        let Some(outcome) = outcome else {
            if forced {
                values[at] = Box::pin(get_forced(engine, &keys[at], options)).await;
                continue;
            }
            let again = Step::new(engine.local.join_again(&keys[at], !loads, !options.force_refresh));
            waits.push(wait_for(engine, at, &keys[at], options, again));
            continue;
        };
        values[at] = engine.local.led_answer(outcome, options.allow_stale, loads);
    }
    for (at, flight) in begun.followed {
        let over = flight.result().cloned().and_then(|outcome| engine.local.answer(outcome, options.allow_stale));
        match over {
            Some(answer) => values[at] = answer,
            None if !loads && flight.result().is_some() => values[at] = Ok(None),
            None => waits.push(wait_for(engine, at, &keys[at], options, Step::Follow(flight))),
        }
    }
    if !waits.is_empty() {
        // Not each of them is polled each time.
        let mut waits = std::pin::pin!(join_parts(waits));
        let answers = std::future::poll_fn(|cx| {
            let polled = waits.as_mut().poll(cx);
            if polled.is_pending() {
                waits_for_the_cache();
            }
            polled
        });
        for (at, answer) in answers.await {
            values[at] = answer;
        }
    }
    for (at, first) in again {
        values[at] = values[first].clone();
    }
    values
}

/// Of the keys of a forced batch, those that come again with the index of the first one: a key is loaded once.
fn apart<K: Key>(keys: &[K], missing: &mut Vec<Missing>) -> Vec<(usize, usize)> {
    let mut first = HashMap::with_capacity(missing.len());
    let mut again = Vec::new();
    missing.retain(|one| match first.entry(&keys[one.at]) {
        hash_map::Entry::Vacant(place) => {
            place.insert(one.at);
            true
        }
        hash_map::Entry::Occupied(known) => {
            again.push((one.at, *known.get()));
            false
        }
    });
    again
}

fn wait_for<'a, K: Key, V: Value>(
    engine: &'a Arc<Engine<K, V>>,
    at: usize,
    key: &'a K,
    options: ReadOptions,
    step: Step<K, V>,
) -> impl Future<Output = (usize, CacheResult<Option<V>>)> + Send + 'a {
    get_on(engine, key, options, Stage::Joined(step)).map(move |answer| (at, answer))
}

/// Steps 2 and 3, for a load that is not tried in place first.
fn begin_run<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    keys: &[K],
    values: &mut Values<V>,
    missing: Vec<Missing>,
    options: ReadOptions,
) -> Begun<K, V> {
    let loads = engine.sources.exist() && !options.disable_load;
    let (run, mut wants) = (BatchRun::new(), BatchKeys::new(&engine.local, missing.len()));
    // Whatever panics, a key or a value: what is led fails, and is left to nobody.
    let followed = join_missing(engine, keys, values, missing, options, LedBy::Run(&run), |at, reserved| {
        let mut led = ReservedKey::failing(&engine.local, &keys[at], Some(reserved));
        let key = keys[at].clone();
        wants.keys.push(BatchKey::new(at, key, led.take()));
    });
    let how = LoadMode { loads, ..LoadMode::refresh(options.force_refresh) };
    let leading =
        (!wants.keys.is_empty()).then(|| wants.lead(run, |wants| batch_work(engine.clone(), wants, how, None)));
    Begun { leading, followed }
}

/// Somebody else's flights must not depend on us, nor we on who leads them: they move into tasks. A key that occurs
/// twice follows our own run, which needs none: it is over before we wait.
fn move_foreign_to_tasks<K: Key, V: Value>(run: &Arc<BatchRun>, followed: &[(usize, Arc<Flight<K, V>>)]) {
    for (_, flight) in followed.iter().filter(|(_, flight)| !flight.is_part_of(run)) {
        move_to_task(flight);
    }
}
