//! Recovery: deletes that L2 did not confirm are sent again.
//!
//! 1. remember the key: this node reads past L2 for it
//! 2. one task of the cache sends the deletes again, in turn with other writers of each key; a pause only where L2 did not
//!    confirm any, and growing
//! 3. a delete or a later write was confirmed, or nothing written so far can live there: L2 is read again for the key
//!
//! Each is announced to other nodes when it is confirmed. Deletes only: sent late they cost a load, where a value sent late would be wrong.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::backoff::Backoff;
use crate::level::bounds::{Key, Value};
use crate::level::local::registration::Registration;
use crate::level::remote::Remote;
use crate::level::time::deadline::Deadline;
use crate::level::time::policy::{RECOVERY_OVERHEAD, RECOVERY_PAUSE};
use crate::level::time::timer::Timer;

impl<K: Key, V: Value> Remote<K, V> {
    /// Step 1. `true`: the delete is queued.
    pub(crate) fn remember_unconfirmed(self: &Arc<Self>, key: &K) -> bool {
        let now = self.local.now();
        let (until, weight) =
            (now.saturating_add(self.local.policy.longest()), self.wire.name(key).full.len() + RECOVERY_OVERHEAD);
        let kept = self.bypass.insert_weighing(weight, key, now, until, ());
        self.recover() && kept
    }

    /// Whoever uses L2 sees to it that the deletes that are queued are sent: the runtime of their task may have ended, or
    /// stand still.
    #[inline]
    pub(crate) fn tend(self: &Arc<Self>) {
        if !self.bypass.holds_nothing() {
            self.recover();
        }
    }

    /// Whether L2 is read past for this key. The clock is not read where there is no such key.
    #[inline]
    pub(crate) fn bypasses(&self, key: &K) -> bool {
        !self.bypass.holds_nothing() && self.bypass.holds_for(key, self.local.now())
    }

    /// Whether this node guards the key itself.
    #[inline(always)]
    pub(crate) fn guards(&self, key: &K) -> bool {
        !self.guarded.is_empty() && self.guarded.has(key, self.local.now())
    }

    /// Step 2, unless it is under way. `false`: there is no runtime.
    pub(crate) fn recover(self: &Arc<Self>) -> bool {
        let Some(number) = self.recovering.begin() else { return true };
        let task = Recovering { remote: Arc::downgrade(self), number };
        self.local.tasks.spawn(async move { task.run().await })
    }

    /// Sends deletes again, of those keys that nobody else writes just now.
    async fn delete_again(self: &Arc<Self>, keys: Vec<K>) -> Round {
        let mut round = Round { confirmed: 0, left: 0 };
        let mut due = Vec::with_capacity(keys.len());
        for key in keys {
            // Registered, so that the slot with the turn is kept.
            let slot = Registration::new(self.local.clone(), key);
            match self.local.table.try_turn(&slot.key, slot.at.hash) {
                // Whoever had the turn before may have written the key, and L2 confirmed it.
                Ok(_) if !self.bypass.has(&slot.key) => {}
                Ok(turn) => due.push((self.wire.name(&slot.key), slot, turn)),
                // Whoever writes it now may confirm it.
                Err(_) => {
                    slot.turn_did_not_come();
                    round.left += 1;
                }
            }
        }
        if due.is_empty() {
            return round;
        }
        // A key that is remembered once more from here on needs a delete of its own.
        let mark = self.bypass.mark();
        let wires: Vec<&str> = due.iter().map(|(name, ..)| name.wire()).collect();
        let until = Deadline::new(self.write_limit(wires.len(), wires.iter().map(|wire| wire.len()).sum()));
        let deleted = self.del_all(&wires, None, None, until.limit, until.left()).await;
        let now = self.local.now();
        let mut gone = Vec::new();
        for ((_, slot, _), outcome) in due.iter().zip(deleted) {
            match outcome {
                Ok(()) => {
                    self.bypass.remove_before(&slot.key, mark, now);
                    gone.push(&slot.key);
                }
                Err(_) => round.left += 1,
            }
        }
        round.confirmed = gone.len();
        // Other nodes may have read the older value since they were told first.
        if let Some(bus) = self.bus.as_ref().filter(|_| !gone.is_empty()) {
            drop(bus.announce(gone.into_iter()));
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
    remote: Weak<Remote<K, V>>,
    /// Its number in `recovering`.
    number: u64,
}

impl<K: Key, V: Value> Recovering<K, V> {
    async fn run(mut self) {
        let (first, longest) = RECOVERY_PAUSE;
        let (mut backoff, mut from) = (Backoff::new(first, longest), 0);
        let mut pause = backoff.pause();
        loop {
            if pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                let Some(timer) = self.timer(pause) else { return };
                timer.await;
            }
            let Some(remote) = self.remote.upgrade() else { return };
            let keys = remote.bypass.some(from, remote.local.policy.max_batch, remote.local.now());
            if keys.is_empty() {
                // Whoever remembers a key from here on starts a task of its own.
                remote.recovering.end(self.number);
                if remote.bypass.len() == 0 {
                    return;
                }
                let Some(number) = remote.recovering.begin() else { return };
                self.number = number;
            }
            if !remote.recovering.promise(self.number, remote.write_limit(keys.len(), 0)) {
                return;
            }
            let round = remote.delete_again(keys).await;
            // What was confirmed is gone, and others are in its place.
            from = from.wrapping_add(round.left);
            if round.confirmed > 0 {
                backoff.reset();
            }
            pause = if round.left == 0 { Duration::ZERO } else { backoff.pause() };
        }
    }
}

impl<K: Key, V: Value> Recovering<K, V> {
    /// A pause; `None`: the cache is gone, another task has taken the place of this one, or there is no runtime.
    fn timer(&self, pause: Duration) -> Option<Timer> {
        let remote = self.remote.upgrade()?;
        if remote.recovering.promise(self.number, pause) { remote.local.tasks.timer(pause) } else { None }
    }
}

impl<K: Key, V: Value> Drop for Recovering<K, V> {
    fn drop(&mut self) {
        if let Some(remote) = self.remote.upgrade() {
            remote.recovering.end(self.number);
        }
    }
}
