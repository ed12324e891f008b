//! Ready at once, many keys: serves the caller of a batch without L2 whose batch loader is over in its first poll (a map,
//! a computation, a client with the answers at hand). Nobody can have followed, so no flights are made (ADR 0039).
//! `load/one_inline.rs` is the same for one key.
//!
//! ```text
//! lead    each missing key, reserved (`flight/reservation.rs`)
//! load    polled once, in place, for all of them
//! ready   each key ends; those who followed in that moment hear of it
//! else    the load goes on as a run (`local/batch_run.rs`)
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use hashbrown::HashTable;

use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::flight::reservation::LedBy;
use crate::level::flight::token::Reservation;
use crate::level::load::many::batch_work;
use crate::level::load::one::LoadMode;
use crate::level::load::open_key::BatchLoad;
use crate::level::local::Local;
use crate::level::local::batch_run::{BatchKey, BatchKeys, LeadingBatch};
use crate::level::local::commit::{Ending, LedKey};
use crate::level::local::outcome::{End, FromSource};
use crate::level::local::work::{BatchRun, Limited};
use crate::level::read::pass::{Begun, Missing, Values, join_missing};
use crate::level::source::not_loaded;
use crate::level::stats::counters::Count;
use crate::options::ReadOptions;
use crate::traits::loader::Loaded;

/// Keys that are led, with their indices; what is left when this is dropped (by a panic) fails.
struct LedKeys<'k, K: Key, V: Value> {
    local: &'k Local<K, V>,
    keys: &'k [K],
    left: Vec<(usize, Option<Reservation>)>,
    // Keys that were answered: where these are all, none has to be looked for.
    answered: usize,
}

impl<'k, K: Key, V: Value> LedKeys<'k, K, V> {
    fn take(&mut self, n: usize) -> Option<(usize, Ending<'k, K, V>)> {
        let (i, reserved) = self.left.get_mut(n)?;
        let held = LedKey::Reservation(&self.keys[*i], reserved.take()?);
        Some((*i, Ending::new(self.local, held)))
    }

    fn all(&mut self) -> impl Iterator<Item = (usize, Ending<'k, K, V>)> {
        let all = if self.answered < self.left.len() { self.left.len() } else { 0 };
        (0..all).filter_map(|n| self.take(n))
    }

    fn asks_for(&self, n: usize, key: &K) -> bool {
        matches!(self.left.get(n), Some((i, Some(_))) if self.keys[*i] == *key)
    }
}

impl<K: Key, V: Value> Drop for LedKeys<'_, K, V> {
    fn drop(&mut self) {
        self.all().for_each(drop);
    }
}

/// Steps 2 and 3 of `many.rs`; what is ready at once is in `values`.
pub(crate) fn begin_reserved<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    keys: &[K],
    values: &mut Values<V>,
    missing: Vec<Missing>,
    options: ReadOptions,
    cx: &mut Context<'_>,
) -> Begun<K, V> {
    let mut led = LedKeys { local: &engine.local, keys, left: Vec::with_capacity(missing.len()), answered: 0 };
    let followed = join_missing(engine, keys, values, missing, options, LedBy::Leader, |i, reserved| {
        led.left.push((i, Some(reserved)))
    });
    let Some(many) = engine.sources.many.as_ref().filter(|_| !led.left.is_empty()) else {
        return Begun { leading: None, followed };
    };
    let asked = led.left.iter().map(|(i, _)| keys[*i].clone()).collect();
    let _inside = engine.local.tasks.enter();
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let mut load = Limited::new(many.mload_owned(asked));
        match load.poll(&engine.local.tasks, &engine.local.overdue, cx) {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => Err(load),
        }
    }));
    let polled = polled.unwrap_or_else(|payload| Ok(Err(CacheError::panic("the batch loader", &*payload))));
    match polled {
        Ok(Ok(found)) => {
            end_reserved(engine, &mut led, found, values, options);
            Begun { leading: None, followed }
        }
        Ok(Err(error)) => {
            for (i, ending) in led.all() {
                let outcome = ending.end(End::Failed { error: error.clone(), stale: None });
                values[i] = engine.local.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
            }
            Begun { leading: None, followed }
        }
        Err(load) => Begun { leading: Some(go_on_reserved(engine, &mut led, load)), followed },
    }
}

/// Ends each key with its answer. What is left out fails; what nobody asked for is dropped.
fn end_reserved<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    led: &mut LedKeys<'_, K, V>,
    found: Vec<(K, Loaded<V>)>,
    values: &mut Values<V>,
    options: ReadOptions,
) {
    // Made when an answer first comes out of turn.
    let mut index = None;
    let now = engine.local.now();
    for (at, (key, loaded)) in found.into_iter().enumerate() {
        let n = if led.asks_for(at, &key) {
            Some(at)
        } else {
            let index = index.get_or_insert_with(|| index_of(&led.left));
            let hash = engine.local.table.hash(&key);
            index.find(hash, |&(own, n)| own == hash && led.asks_for(n, &key)).map(|&(_, n)| n)
        };
        let Some((i, reserved)) = n.and_then(|n| led.left.get_mut(n)) else { continue };
        values[*i] = Ok(engine.local.commit_value(&led.keys[*i], reserved, engine.local.with_lives_at(loaded, now)));
        led.answered += 1;
    }
    engine.local.counters.add(Count::LoadOk, led.answered as u64);
    if led.answered < led.left.len() {
        end_unanswered(engine, led, values, options);
    }
}

/// What the answer left out fails; but a key that was invalidated between two of its occurrences is led twice, and
/// answered once.
#[cold]
fn end_unanswered<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    led: &mut LedKeys<'_, K, V>,
    values: &mut Values<V>,
    options: ReadOptions,
) {
    let mut answered = HashTable::new();
    for (i, _) in led.left.iter().filter(|(_, reserved)| reserved.is_none()) {
        let hash = engine.local.table.hash(&led.keys[*i]);
        answered.insert_unique(hash, (hash, *i), |entry: &(u64, usize)| entry.0);
    }
    let keys = led.keys;
    for (i, ending) in led.all() {
        let twin = answered.find(engine.local.table.hash(&keys[i]), |&(_, twin)| keys[twin] == keys[i]);
        let value = twin.and_then(|&(_, twin)| values[twin].as_ref().ok()).cloned();
        let end = match value {
            Some(value) => End::Loaded(FromSource { value, lives: None, at: engine.local.now() }),
            None => End::Failed { error: not_loaded(), stale: None },
        };
        values[i] = engine.local.answer(ending.end(end), options.allow_stale).unwrap_or(Ok(None));
    }
}

/// The load goes on as a run, for those too who follow from now on.
fn go_on_reserved<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    led: &mut LedKeys<'_, K, V>,
    load: BatchLoad<K, V>,
) -> LeadingBatch<K, V> {
    let (run, mut wants) = (BatchRun::new(), BatchKeys::new(&engine.local, led.left.len()));
    for (i, reserved) in &mut led.left {
        let (key, Some(own)) = (led.keys[*i].clone(), *reserved) else { continue };
        *reserved = None;
        wants.keys.push(BatchKey::new(*i, key, own));
    }
    // Somebody follows already, who has asked for a task.
    let mut awaited = false;
    for BatchKey { key, reserved, .. } in &wants.keys {
        let flight = reserved.as_ref().and_then(|reserved| engine.local.table.go_on(key, reserved, run.clone()));
        awaited |= flight.is_some_and(|flight| flight.park_part(run.clone()));
    }
    let leading = wants.lead(run, |wants| batch_work(engine.clone(), wants, LoadMode::refresh(false), Some(load)));
    if awaited {
        leading.move_to_task();
    }
    leading
}

fn index_of(left: &[(usize, Option<Reservation>)]) -> HashTable<(u64, usize)> {
    let mut index = HashTable::with_capacity(left.len());
    for (n, reserved) in left.iter().enumerate().filter_map(|(n, led)| Some((n, led.1.as_ref()?))) {
        index.insert_unique(reserved.hash, (reserved.hash, n), |entry| entry.0);
    }
    index
}
