//! Recovery: deletes that L2 did not confirm are sent again.
//!
//! 1. remember the key: this node reads past L2 for it
//! 2. one task of the cache sends the deletes again, in turn with other writers of each key; a pause only where L2 did not
//!    confirm any, and growing
//! 3. a delete or a later write was confirmed, or nothing written so far can live there: L2 is read again for the key
//!
//! Deletes only: sent late they cost a load, where a value sent late would be wrong.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::level::engine::{Engine, Key, Value};
use crate::level::policy::{RECOVERY_OVERHEAD, RECOVERY_PAUSE};
use crate::level::remote::Remote;
use crate::level::ticket::Registration;
use crate::level::timer::Timer;
use crate::level::turns::Deadline;
use crate::traits::outcomes::Outcomes;

impl<K: Key, V: Value> Engine<K, V> {
    /// Step 1. `true`: the delete is queued.
    pub(crate) fn distrust(self: &Arc<Self>, key: &K) -> bool {
        let Some(remote) = &self.remote else { return false };
        let now = self.now();
        let (until, weight) =
            (now.saturating_add(self.policy.longest()), remote.name(key).full.len() + RECOVERY_OVERHEAD);
        let kept = remote.bypass.insert_weighing(weight, key, now, until, ());
        self.recover() && kept
    }

    /// Whoever uses L2 sees to it that the deletes that are queued are sent: the runtime of their task may have ended, or
    /// stand still.
    #[inline]
    pub(crate) fn tend(self: &Arc<Self>, remote: &Remote<K, V>) {
        if !remote.bypass.holds_nothing() {
            self.recover();
        }
    }

    /// Step 2, unless it is under way. `false`: there is no runtime.
    pub(crate) fn recover(self: &Arc<Self>) -> bool {
        let Some(remote) = &self.remote else { return false };
        let Some(number) = remote.recovering.begin() else { return true };
        let task = Recovering { engine: Arc::downgrade(self), number };
        self.spawn(async move { task.run().await })
    }

    /// Sends deletes again, of those keys that nobody else writes just now.
    async fn delete_again(self: &Arc<Self>, keys: Vec<K>) -> Round {
        let mut round = Round { confirmed: 0, left: 0 };
        let Some(remote) = &self.remote else { return round };
        let mut due = Vec::with_capacity(keys.len());
        for key in keys {
            // Registered, so that the slot with the turn is kept.
            let slot = Registration::new(self.clone(), key);
            match self.table.try_turn(&slot.key, slot.at.hash) {
                // Whoever had the turn before may have written the key, and L2 confirmed it.
                Ok(_) if !remote.bypass.has(&slot.key) => {}
                Ok(turn) => due.push((remote.name(&slot.key), slot, turn)),
                // Whoever writes it now may confirm it.
                Err(_) => {
                    self.turn_did_not_come(&slot);
                    round.left += 1;
                }
            }
        }
        if due.is_empty() {
            return round;
        }
        // A key that is remembered once more from here on needs a delete of its own.
        let mark = remote.bypass.mark();
        let wires: Vec<&str> = due.iter().map(|(name, ..)| name.wire()).collect();
        let until = Deadline::new(self.write_limit(wires.len(), wires.iter().map(|wire| wire.len()).sum()));
        let mut outcomes = Outcomes::new(wires.len());
        let ended = self.timed_write(until, remote.del_all(&wires, &mut outcomes)).await;
        let now = self.now();
        for ((_, slot, _), outcome) in due.iter().zip(self.all_outcomes(remote, until.limit, ended, outcomes)) {
            match outcome {
                Ok(()) => {
                    remote.bypass.remove_before(&slot.key, mark, now);
                    round.confirmed += 1;
                }
                Err(_) => round.left += 1,
            }
        }
        round
    }
}

/// What became of deletes that were sent again.
struct Round {
    confirmed: usize,
    /// Not confirmed, or somebody else writes the key.
    left: usize,
}

/// The task of step 2. It doesn't keep the cache alive.
struct Recovering<K: Key, V: Value> {
    engine: Weak<Engine<K, V>>,
    /// Its number in `recovering`.
    number: u64,
}

impl<K: Key, V: Value> Recovering<K, V> {
    async fn run(mut self) {
        let (first, longest) = RECOVERY_PAUSE;
        let (mut pause, mut next, mut from) = (first, first, 0);
        loop {
            if pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                let Some(timer) = self.timer(jittered(pause)) else { return };
                timer.await;
            }
            let Some(engine) = self.engine.upgrade() else { return };
            let Some(remote) = &engine.remote else { return };
            let keys = remote.bypass.some(from, engine.policy.max_batch, engine.now());
            if keys.is_empty() {
                // Whoever remembers a key from here on starts a task of its own.
                remote.recovering.end(self.number);
                if remote.bypass.len() == 0 {
                    return;
                }
                let Some(number) = remote.recovering.begin() else { return };
                self.number = number;
            }
            if !remote.recovering.promise(self.number, engine.write_limit(keys.len(), 0)) {
                return;
            }
            let round = engine.delete_again(keys).await;
            // What was confirmed is gone, and others are in its place.
            from = from.wrapping_add(round.left);
            (pause, next) = match round {
                Round { confirmed: 0, .. } => ((next * 2).min(longest), (next * 2).min(longest)),
                Round { left: 0, .. } => (Duration::ZERO, first),
                _ => (first, first),
            };
        }
    }
}

impl<K: Key, V: Value> Recovering<K, V> {
    /// A pause; `None`: the cache is gone, another task has taken the place of this one, or there is no runtime.
    fn timer(&self, pause: Duration) -> Option<Timer> {
        let engine = self.engine.upgrade()?;
        let remote = engine.remote.as_ref()?;
        if remote.recovering.promise(self.number, pause) { engine.timer(pause) } else { None }
    }
}

impl<K: Key, V: Value> Drop for Recovering<K, V> {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade()
            && let Some(remote) = &engine.remote
        {
            remote.recovering.end(self.number);
        }
    }
}

/// Full jitter: nodes that lost the same server don't come back to it at the same time.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(fastrand::f64())
}
