//! A registration in a key's slot that is no flight: of a `set`, a `del`, a lookup in L2, a fill behind a ticket.

use std::sync::Arc;
use std::time::Instant;

use crate::level::bounds::{Key, Value};
use crate::level::flight::handoff::ASLEEP;
use crate::level::flight::token::{Registered, Token};
use crate::level::local::Local;
use crate::level::stats::counters::Count;
use crate::level::time::policy::Until;

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
    pub(crate) fn backfill(&mut self, value: Option<V>, until: Until) {
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
