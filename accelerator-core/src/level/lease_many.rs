//! Reading many keys of L2 in one call.
//!
//! Answers are understood one by one, when they are needed: most of them end a flight there and then.

use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;

use bytes::Bytes;

use crate::error::{StoreErrorKind, StoreResult};
use crate::level::engine::{Engine, Key, Value};
use crate::level::lease::{L2Use, Leased, Look, May, Permit, without_leases};
use crate::level::names::Names;
use crate::level::remote::{Moment, Remote};
use crate::traits::l2::L2Read;

/// What a store answered to a question about many keys, in their order. Dropped before its end (by a panic), it gives back
/// the leases that are left in it.
pub(crate) struct Looks<'a, K: Key, V: Value> {
    engine: &'a Arc<Engine<K, V>>,
    remote: &'a Remote<K, V>,
    names: &'a Names,
    answers: Answers,
    next: usize,
    /// Keys that are read past L2; empty where there are none.
    passed: Vec<Passed>,
    l2: L2Use,
    pub(crate) at: Moment,
}

/// Why a key is read past L2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passed {
    Not,
    /// L2 did not confirm a write of it.
    Bypass,
    /// This node guards it.
    Guarded,
}

enum Answers {
    Leased(IntoIter<StoreResult<L2Read>>),
    Plain(IntoIter<StoreResult<Option<Bytes>>>),
    /// L2 was not asked, as what it has is known or not wanted.
    NotAsked,
}

impl<K: Key, V: Value> Looks<'_, K, V> {
    /// The index of the next key, and whether it is read past L2.
    fn step(&mut self) -> (usize, Passed) {
        let n = self.next;
        self.next += 1;
        (n, self.passed.get(n).copied().unwrap_or(Passed::Not))
    }

    /// What the next answer means. Inlined with what it calls: passing a value on costs as much as reading it.
    #[inline(always)]
    pub(crate) fn next_answer(&mut self) -> Leased<V> {
        let (n, passed) = self.step();
        match passed {
            Passed::Not => {}
            Passed::Bypass => return Leased::nothing(May::Nothing),
            Passed::Guarded => return Leased::held(),
        }
        let (engine, remote, full) = (self.engine, self.remote, self.names.full(n));
        // Where a call failed as a whole there are no answers, and it was counted once.
        let leased = match &mut self.answers {
            Answers::Leased(answers) => {
                answers.next().map(|answer| engine.understand_lease(remote, full, answer, self.l2, self.at))
            }
            Answers::Plain(answers) => {
                answers.next().map(|answer| without_leases(Some(engine.understand(remote, full, answer, self.at))))
            }
            Answers::NotAsked => Some(without_leases(None)),
        };
        leased.unwrap_or(Leased::nothing(May::Nothing))
    }

    /// What the next answer means, with the right to write.
    pub(crate) fn next_look(&mut self) -> Look<K, V> {
        let n = self.next;
        let leased = self.next_answer();
        self.engine.look(self.names.name(n), leased)
    }

    #[cold]
    fn give_back(&mut self) {
        while self.next < self.names.len() {
            let (n, passed) = self.step();
            if passed == Passed::Not
                && let Answers::Leased(answers) = &mut self.answers
                && let Some(Ok(L2Read::Leased { token, .. })) = answers.next()
            {
                drop(Permit::new(self.engine, self.names.name(n), May::Fill(token)));
            }
        }
    }
}

impl<K: Key, V: Value> Drop for Looks<'_, K, V> {
    fn drop(&mut self) {
        if self.next < self.names.len() {
            self.give_back();
        }
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// `l2_look` for many keys in one call; never waits for the leases of others, as it may hold some.
    pub(crate) async fn l2_mlook<'a>(
        self: &'a Arc<Self>,
        remote: &'a Remote<K, V>,
        keys: impl Iterator<Item = &K>,
        names: &'a Names,
        lease: Duration,
        l2: L2Use,
    ) -> Looks<'a, K, V> {
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
        let answers = Answers::Leased(answers.into_iter());
        Looks { engine: self, remote, names, answers, next: 0, passed, l2, at: self.moment() }
    }

    /// Reads many keys in one call, and takes no leases.
    pub(crate) async fn l2_mget<'a>(
        self: &'a Arc<Self>,
        remote: &'a Remote<K, V>,
        keys: impl Iterator<Item = &K>,
        names: &'a Names,
        l2: L2Use,
    ) -> Looks<'a, K, V> {
        let (passed, wires) = self.wires(remote, keys, names);
        let answers = match (l2, wires.is_empty()) {
            (L2Use::Read, true) => Answers::Plain(Vec::new().into_iter()),
            (L2Use::Read, false) => {
                let asked = self.timed(self.policy.l2_read_timeout, remote.store.mget(&wires));
                Answers::Plain(self.all_answers(asked.await, wires.len()).into_iter())
            }
            _ => Answers::NotAsked,
        };
        Looks { engine: self, remote, names, answers, next: 0, passed, l2, at: self.moment() }
    }

    /// Which keys are read past L2, and the names of all others.
    fn wires<'k, 'n>(
        self: &Arc<Self>,
        remote: &Remote<K, V>,
        keys: impl Iterator<Item = &'k K>,
        names: &'n Names,
    ) -> (Vec<Passed>, Vec<&'n str>) {
        let now = self.now();
        let why = |key| match () {
            () if remote.guarded.has(key, now) => Passed::Guarded,
            () if remote.bypass.get(key, now).is_some() => Passed::Bypass,
            () => Passed::Not,
        };
        let passed: Vec<Passed> = match remote.bypass.holds_nothing() && remote.guarded.is_empty() {
            true => Vec::new(),
            false => keys.map(why).collect(),
        };
        if passed.contains(&Passed::Bypass) {
            // Its task may have ended with the runtime that it was in.
            self.recover();
        }
        let wires = names.wires(|n| passed.get(n).is_none_or(|passed| *passed == Passed::Not));
        (passed, wires)
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
