//! A registration in a key's slot that is no flight: of a `set`, a `del`, a lookup in L2, a fill behind a ticket; and that
//! of a leader who has made no flight.

use std::sync::Arc;
use std::time::Instant;

use crate::level::bounds::{Key, Value};
use crate::level::flight::handoff::ASLEEP;
use crate::level::flight::token::{Registered, Reservation, Token};
use crate::level::local::Local;
use crate::level::local::commit::{Ending, LedKey};
use crate::level::local::outcome::{End, FromSource, Outcome};
use crate::level::stats::counters::Count;
use crate::level::wire::moment::Dated;

/// A registration in a key's slot that ends with its owner.
pub(crate) struct Registration<K: Key, V: Value> {
    pub(crate) local: Arc<Local<K, V>>,
    pub(crate) key: K,
    pub(crate) at: Registered,
    pub(crate) ended: bool,
}

impl<K: Key, V: Value> Registration<K, V> {
    /// Its turn did not come in time: who has it may be in a runtime that stands still.
    pub(crate) fn turn_did_not_come(&self) {
        // A fill may write and delete.
        let longest = self.local.policy.l2_write_timeout.saturating_mul(2).saturating_add(ASLEEP);
        self.local.table.turn_did_not_come(&self.key, self.at.hash, Instant::now(), longest);
    }

    /// Registers now.
    pub(crate) fn new(local: Arc<Local<K, V>>, key: K) -> Self {
        let at = local.table.begin(&key, || local.generation());
        Self { local, key, at, ended: false }
    }

    /// Registers once more with the token of a flight that is registered.
    pub(crate) fn again(local: Arc<Local<K, V>>, key: &K, token: Token) -> Self {
        let mut registration = Self::new(local, key.clone());
        registration.at.token = token;
        registration
    }
}

impl<K: Key, V: Value> Registration<K, V> {
    /// Ends without the value that the flight has left in L1, unless that was invalidated meanwhile.
    pub(crate) fn uncache(mut self) {
        self.ended = true;
        let (local, key, at) = (&self.local, &self.key, &self.at);
        let uncache = |valid| {
            if valid {
                local.forgo(key);
            }
        };
        local.table.commit(key, at.hash, at.token, None, || local.generation(), uncache);
    }

    /// Ends with a value from L2 for L1, if nothing was invalidated meanwhile.
    pub(crate) fn backfill(&mut self, Dated { value, until }: Dated<V>) {
        self.ended = true;
        let (local, key, at) = (&self.local, &self.key, &self.at);
        let now = local.now();
        let entry = local.policy.entry(value, local.policy.backfill(until.left(now)), now, at.token.generation);
        local.table.commit(
            key,
            at.hash,
            at.token,
            None,
            || local.generation(),
            |valid| {
                if valid {
                    local.keep(key, entry);
                } else {
                    local.counters.one(Count::FillRefused);
                }
            },
        );
    }
}

impl<K: Key, V: Value> Drop for Registration<K, V> {
    fn drop(&mut self) {
        if !self.ended {
            let local = &self.local;
            local.table.commit(&self.key, self.at.hash, self.at.token, None, || local.generation(), |_| {});
        }
    }
}

/// A key that is led without a flight, in the hands of its leader. Dropped before its end it passes on to who waits; or
/// it fails, where only a panic of its own load or answer can have dropped it.
pub(crate) struct ReservedKey<'k, K: Key, V: Value> {
    local: &'k Local<K, V>,
    key: &'k K,
    // `None`: it has ended, or somebody else has it.
    reserved: Option<Reservation>,
    fails: bool,
}

impl<'k, K: Key, V: Value> ReservedKey<'k, K, V> {
    /// Dropped, it passes on.
    #[inline]
    pub(crate) fn passing_on(local: &'k Local<K, V>, key: &'k K, reserved: Option<Reservation>) -> Self {
        Self { local, key, reserved, fails: false }
    }

    /// Dropped, it fails.
    #[inline]
    pub(crate) fn failing(local: &'k Local<K, V>, key: &'k K, reserved: Option<Reservation>) -> Self {
        Self { local, key, reserved, fails: true }
    }

    pub(crate) fn key(&self) -> &'k K {
        self.key
    }

    /// Whether it has not ended, and nobody else has it.
    pub(crate) fn is_led(&self) -> bool {
        self.reserved.is_some()
    }

    /// Its answer is on the way: from here on a drop is by a panic of user code.
    pub(crate) fn fails_from_here(&mut self) {
        self.fails = true;
    }

    /// Ends it; `None`: it had ended.
    pub(crate) fn end(&mut self, end: End<V>) -> Option<Outcome<V>> {
        Some(self.ending()?.end(end))
    }

    /// [`end`](Self::end) for a read of this key alone.
    pub(crate) fn end_alone(&mut self, end: End<V>) -> Option<Outcome<V>> {
        Some(self.ending()?.end_alone(end))
    }

    /// See [`Local::commit_value`].
    #[inline(always)]
    pub(crate) fn commit_value(&mut self, arrived: FromSource<V>) -> Option<V> {
        self.local.commit_value(self.key, &mut self.reserved, arrived)
    }

    /// See [`Local::commit_found`].
    #[inline(always)]
    pub(crate) fn commit_found(&mut self, found: Dated<V>, now: u64) -> Option<V> {
        self.local.commit_found(self.key, &mut self.reserved, found, now)
    }

    /// Somebody else has it from now on.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Reservation> {
        self.reserved.take()
    }

    fn ending(&mut self) -> Option<Ending<'k, K, V>> {
        Some(Ending::new(self.local, LedKey::Reservation(self.key, self.reserved.take()?)))
    }
}

impl<K: Key, V: Value> Drop for ReservedKey<'_, K, V> {
    #[inline]
    fn drop(&mut self) {
        if let Some(reserved) = self.reserved.take() {
            self.local.leave_reserved(self.key, reserved, self.fails);
        }
    }
}
