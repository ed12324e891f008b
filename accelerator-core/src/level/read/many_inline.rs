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

use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::flight::reservation::LedBy;
use crate::level::flight::token::Reservation;
use crate::level::load::many::batch_work;
use crate::level::load::matching::{Asking, hand_out};
use crate::level::load::one::LoadMode;
use crate::level::load::open_key::BatchLoad;
use crate::level::local::Local;
use crate::level::local::batch_run::{BatchKey, BatchKeys, LeadingBatch};
use crate::level::local::outcome::{End, FromSource, Outcome, no_answer};
use crate::level::local::registration::ReservedKey;
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
    fn take(&mut self, n: usize) -> Option<(usize, ReservedKey<'k, K, V>)> {
        let (i, reserved) = self.left.get_mut(n)?;
        Some((*i, ReservedKey::failing(self.local, &self.keys[*i], Some(reserved.take()?))))
    }

    fn all(&mut self) -> impl Iterator<Item = (usize, ReservedKey<'k, K, V>)> {
        let all = if self.answered < self.left.len() { self.left.len() } else { 0 };
        (0..all).filter_map(|n| self.take(n))
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
            let now = engine.local.now();
            let mut answering = Answering { led: &mut led, values, allow_stale: options.allow_stale, now };
            hand_out(&mut answering, found, |key| engine.local.table.hash(key));
            // What was left out was counted as it ended.
            engine.local.counters.add(Count::LoadOk, led.answered as u64);
            Begun { leading: None, followed }
        }
        Ok(Err(error)) => {
            for (i, mut key) in led.all() {
                let outcome = key.end(End::Failed { error: error.clone(), stale: None });
                let outcome = outcome.unwrap_or_else(|| Outcome::failed(no_answer()));
                values[i] = engine.local.led_answer(outcome, options.allow_stale, true);
            }
            Begun { leading: None, followed }
        }
        Err(load) => Begun { leading: Some(go_on_reserved(engine, &mut led, load)), followed },
    }
}

/// The led keys of a call whose answer has come, each to end with its own.
struct Answering<'a, 'k, K: Key, V: Value> {
    led: &'a mut LedKeys<'k, K, V>,
    values: &'a mut Values<V>,
    allow_stale: bool,
    /// When the answer came.
    now: u64,
}

impl<K: Key, V: Value> Asking<K, V> for Answering<'_, '_, K, V> {
    fn len(&self) -> usize {
        self.led.left.len()
    }

    fn key(&self, at: usize) -> Option<&K> {
        self.led.keys.get(self.led.left[at].0)
    }

    fn hash(&self, at: usize) -> Option<u64> {
        self.led.left[at].1.as_ref().map(|reserved| reserved.hash)
    }

    #[inline(always)]
    fn asks_for(&self, at: usize, key: &K) -> bool {
        matches!(self.led.left.get(at), Some((i, Some(_))) if self.led.keys[*i] == *key)
    }

    #[inline(always)]
    fn answer(&mut self, at: usize, loaded: Loaded<V>) {
        let LedKeys { local, keys, left, answered } = &mut *self.led;
        let (i, reserved) = &mut left[at];
        self.values[*i] = Ok(local.commit_value(&keys[*i], reserved, local.with_lives_at(loaded, self.now)));
        *answered += 1;
    }

    fn left_out(&mut self, at: usize, twin: Option<usize>) {
        let twin = twin.and_then(|twin| self.values[self.led.left[twin].0].as_ref().ok()).cloned();
        let end = match twin {
            Some(value) => End::Loaded(FromSource { value, lives: None, at: self.now }),
            None => End::Failed { error: not_loaded(), stale: None },
        };
        if let Some((i, mut key)) = self.led.take(at)
            && let Some(outcome) = key.end(end)
        {
            self.values[i] = self.led.local.led_answer(outcome, self.allow_stale, true);
        }
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
        let key = led.keys[*i].clone();
        wants.keys.push(BatchKey::new(*i, key, reserved.take()));
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
