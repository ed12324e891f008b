//! Recovery: deletes that L2 did not confirm are sent again.
//!
//! 1. remember the key: this node reads past L2 for it
//! 2. one task of the cache sends the deletes again, with growing pauses, in turn with other writers of each key
//! 3. confirmed, or nothing written so far can live there: L2 is read again for the key
//!
//! Deletes only: sent late they cost a load, where a value sent late would be wrong.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::level::engine::{Engine, Key, Value};
use crate::level::policy::RECOVERY_PAUSE;
use crate::level::remote::Remote;
use crate::level::ticket::Registration;
use crate::level::timer::Timer;

impl<K: Key, V: Value> Engine<K, V> {
    /// Step 1. `true`: the delete is queued.
    pub(crate) fn distrust(self: &Arc<Self>, key: &K) -> bool {
        let Some(remote) = &self.remote else { return false };
        if cfg!(accelerator_mutant = "no-bypass") {
            return false;
        }
        let now = self.now();
        let kept = remote.bypass.insert(key, now, now.saturating_add(self.policy.longest()), ());
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

    /// Sends deletes again. `false`: some are still not confirmed.
    async fn delete_again(self: &Arc<Self>, keys: &[K]) -> bool {
        let Some(remote) = &self.remote else { return true };
        let mut deletes: Vec<_> = keys.iter().map(|key| (remote.name(key), self.table.hash(key), key)).collect();
        // Sorted, as in `write`.
        deletes.sort_by(|a, b| a.0.wire().cmp(b.0.wire()));
        // Registered, so that the slots with the turns are kept.
        let slots: Vec<_> = deletes.iter().map(|(.., key)| Registration::new(self.clone(), K::clone(key))).collect();
        let until = self.write_deadline();
        let Ok(turns) = self.turns(until, deletes.iter().map(|(_, hash, key)| (*key, *hash))).await else {
            return false;
        };
        // A key that is remembered once more from here on needs a delete of its own.
        let mark = remote.bypass.mark();
        let wires: Vec<&str> = deletes.iter().map(|(name, ..)| name.wire()).collect();
        let results = self.per_key(self.timed_until(until, remote.del_all(&wires)).await, wires.len());
        let now = self.now();
        for ((.., key), result) in deletes.iter().zip(&results) {
            if result.is_ok() {
                remote.bypass.remove_before(key, mark, now);
            }
        }
        drop(slots);
        drop(turns);
        results.iter().all(Result::is_ok)
    }
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
        let (mut pause, mut from) = (first, 0);
        while let Some(timer) = self.timer(jittered(pause)) {
            timer.await;
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
            // The wait for turns, and the deletes.
            if !remote.recovering.promise(self.number, engine.policy.l2_write_timeout) {
                return;
            }
            from += keys.len();
            pause = if engine.delete_again(&keys).await { first } else { (pause * 2).min(longest) };
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
