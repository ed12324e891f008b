//! Reading many keys of L2 in one call.
//!
//! Answers are understood one by one, when they are needed: most of them end a flight there and then.

use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;

use bytes::Bytes;

use crate::error::{StoreErrorKind, StoreResult};
use crate::level::engine::{Engine, Key, Value};
use crate::level::lease::{L2Use, Leased, Look, May, without_leases};
use crate::level::names::Names;
use crate::level::remote::{Moment, Remote};
use crate::traits::l2::L2Read;

/// What a store answered to a question about many keys, in their order.
pub(crate) struct Looks {
    answers: Answers,
    next: usize,
    /// Keys that are read past L2; empty where there are none.
    passed: Vec<bool>,
    l2: L2Use,
    pub(crate) at: Moment,
}

enum Answers {
    Leased(IntoIter<StoreResult<L2Read>>),
    Plain(IntoIter<StoreResult<Option<Bytes>>>),
    /// L2 was not asked, as what it has is known or not wanted.
    NotAsked,
}

impl Looks {
    fn passes(&self, n: usize) -> bool {
        self.passed.get(n).is_some_and(|passed| *passed)
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// `l2_look` for many keys in one call; never waits for the leases of others, as it may hold some.
    pub(crate) async fn l2_mlook(
        self: &Arc<Self>,
        remote: &Remote<K, V>,
        keys: impl Iterator<Item = &K>,
        names: &Names,
        lease: Duration,
        l2: L2Use,
    ) -> Looks {
        if !remote.limits.leases {
            return self.l2_mget(remote, keys, names, l2).await;
        }
        let (passed, wires) = self.wires(remote, keys, names);
        let answers = match wires.is_empty() {
            true => Vec::new(),
            false => {
                let asked = self.timed(self.policy.l2_read_timeout, remote.store.mget_or_lease(&wires, lease));
                self.all_answers(asked.await, wires.len())
            }
        };
        Looks { answers: Answers::Leased(answers.into_iter()), next: 0, passed, l2, at: self.moment() }
    }

    /// Reads many keys in one call, and takes no leases.
    pub(crate) async fn l2_mget(
        self: &Arc<Self>,
        remote: &Remote<K, V>,
        keys: impl Iterator<Item = &K>,
        names: &Names,
        l2: L2Use,
    ) -> Looks {
        let (passed, wires) = self.wires(remote, keys, names);
        let answers = match (l2, wires.is_empty()) {
            (L2Use::Read, true) => Answers::Plain(Vec::new().into_iter()),
            (L2Use::Read, false) => {
                let asked = self.timed(self.policy.l2_read_timeout, remote.store.mget(&wires));
                Answers::Plain(self.all_answers(asked.await, wires.len()).into_iter())
            }
            _ => Answers::NotAsked,
        };
        Looks { answers, next: 0, passed, l2, at: self.moment() }
    }

    /// Which keys are read past L2, and the names of all others.
    fn wires<'k, 'n>(
        self: &Arc<Self>,
        remote: &Remote<K, V>,
        keys: impl Iterator<Item = &'k K>,
        names: &'n Names,
    ) -> (Vec<bool>, Vec<&'n str>) {
        let now = self.now();
        let passed: Vec<bool> = match remote.bypass.holds_nothing() {
            true => Vec::new(),
            false => keys.map(|key| remote.bypass.get(key, now).is_some()).collect(),
        };
        if passed.contains(&true) {
            // Its task may have ended with the runtime that it was in.
            self.recover();
        }
        let wires = names.wires(|n| !passed.get(n).is_some_and(|passed| *passed));
        (passed, wires)
    }

    /// What the next answer means.
    pub(crate) fn next_look(&self, remote: &Remote<K, V>, names: &Names, looks: &mut Looks) -> Leased<V> {
        let n = looks.next;
        looks.next += 1;
        if looks.passes(n) {
            return Leased::nothing(May::Nothing);
        }
        // Where a call failed as a whole there are no answers, and it was counted once.
        let leased = match &mut looks.answers {
            Answers::Leased(answers) => {
                answers.next().map(|answer| self.understand_lease(remote, names.full(n), answer, looks.l2, looks.at))
            }
            Answers::Plain(answers) => answers
                .next()
                .map(|answer| without_leases(Some(self.understand(remote, names.full(n), answer, looks.at)))),
            Answers::NotAsked => Some(without_leases(None)),
        };
        leased.unwrap_or(Leased::nothing(May::Nothing))
    }

    /// What the next answer means, with the right to write.
    pub(crate) fn look_next(self: &Arc<Self>, remote: &Remote<K, V>, names: &Names, looks: &mut Looks) -> Look<K, V> {
        let n = looks.next;
        let leased = self.next_look(remote, names, looks);
        self.look(names.name(n), leased)
    }

    /// The answers of a call for many keys; none where the call failed as a whole, which is counted once.
    pub(crate) fn all_answers<T>(&self, answers: StoreResult<Vec<T>>, wanted: usize) -> Vec<T> {
        match answers {
            Ok(answers) if answers.len() == wanted => return answers,
            Ok(_) => self.counters.l2_error(StoreErrorKind::Protocol),
            Err(e) => self.counters.l2_error(e.kind()),
        }
        Vec::new()
    }
}
