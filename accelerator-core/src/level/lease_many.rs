//! Reading many keys of L2 in one call.
//!
//! Answers are understood one by one, when they are needed: most of them end a flight there and then.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{StoreErrorKind, StoreResult};
use crate::level::engine::{Engine, Key, Value};
use crate::level::lease::{L2Use, Leased, Look, May, Permit, without_leases};
use crate::level::names::Names;
use crate::level::remote::{Moment, Remote};
use crate::traits::l2::L2Read;
use crate::traits::outcomes::Outcomes;

/// What a store answers to a question about many keys, in their order. Dropped before its end (while L2 is asked, or by a
/// panic), it gives back the leases that are left in it.
pub(crate) struct Looks<'a, K: Key, V: Value> {
    engine: &'a Arc<Engine<K, V>>,
    remote: &'a Remote<K, V>,
    names: &'a Names,
    answers: Answers,
    next: usize,
    /// Keys so far that were asked for.
    asked: usize,
    /// Keys that are read past L2; empty where there are none.
    passed: Vec<Passed>,
    l2: L2Use,
    pub(crate) at: Moment,
    /// When L2 was asked, by the cache's clock, where it tells ages.
    asked_at: u64,
    /// Not all was answered in time.
    pub(crate) gave_up: bool,
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
    Leased(Outcomes<L2Read>),
    Plain(Outcomes<Option<Bytes>>),
    /// L2 was not asked, as what it has is known or not wanted.
    NotAsked,
}

impl<'a, K: Key, V: Value> Looks<'a, K, V> {
    fn new(
        engine: &'a Arc<Engine<K, V>>,
        remote: &'a Remote<K, V>,
        names: &'a Names,
        answers: Answers,
        passed: Vec<Passed>,
        l2: L2Use,
    ) -> Self {
        Self {
            engine,
            remote,
            names,
            answers,
            next: 0,
            asked: 0,
            passed,
            l2,
            at: Moment { now: 0, unix: 0, least_age: 0 },
            asked_at: engine.asked_at(remote),
            gave_up: false,
        }
    }

    /// The index of the next key, and its place among the answers; or why it is read past L2.
    fn step(&mut self) -> (usize, Result<usize, Passed>) {
        let n = self.next;
        self.next += 1;
        if let Some(&passed) = self.passed.get(n)
            && passed != Passed::Not
        {
            return (n, Err(passed));
        }
        self.asked += 1;
        (n, Ok(self.asked - 1))
    }

    /// What the next answer means. Inlined with what it calls: passing a value on costs as much as reading it.
    #[inline(always)]
    pub(crate) fn next_answer(&mut self) -> Leased<V> {
        let (n, place) = match self.step() {
            (n, Ok(place)) => (n, place),
            (_, Err(Passed::Guarded)) => return Leased::held(),
            (_, Err(_)) => return Leased::nothing(May::Nothing),
        };
        let (engine, remote, full) = (self.engine, self.remote, self.names.full(n));
        // What is missing was counted, once for all.
        let leased = match &mut self.answers {
            Answers::Leased(answers) => {
                let at = self.at.aged(answers.age(place), self.asked_at);
                let read = |it| engine.understand_lease(remote, full, it, self.l2, at);
                Some(answers.take(place).map_or(Leased::Failed, read))
            }
            Answers::Plain(answers) => {
                let at = self.at.aged(answers.age(place), self.asked_at);
                answers.take(place).map(|answer| without_leases(Some(engine.understand(remote, full, answer, at))))
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
            if let (n, Ok(place)) = self.step()
                && let Answers::Leased(answers) = &mut self.answers
                && let Some(Ok(L2Read::Leased { token, .. })) = answers.take(place)
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
        limit: Duration,
        l2: L2Use,
    ) -> Looks<'a, K, V> {
        if !remote.limits.leases {
            return self.l2_mget(remote, keys, names, limit, l2).await;
        }
        let (passed, wires) = self.wires(remote, keys, names);
        let mut outcomes = Outcomes::new(wires.len());
        let progress = outcomes.progress();
        let mut looks = Looks::new(self, remote, names, Answers::Leased(outcomes), passed, l2);
        if let (false, Answers::Leased(outcomes)) = (wires.is_empty(), &mut looks.answers) {
            let asked = remote.store.mget_or_lease_into(&wires, lease, outcomes);
            let ended = self.timed_read(remote, limit, progress, asked).await;
            looks.gave_up = self.has_missing(ended, outcomes.missing());
        }
        looks.at = self.moment();
        looks
    }

    /// Reads many keys in one call, and takes no leases.
    pub(crate) async fn l2_mget<'a>(
        self: &'a Arc<Self>,
        remote: &'a Remote<K, V>,
        keys: impl Iterator<Item = &K>,
        names: &'a Names,
        limit: Duration,
        l2: L2Use,
    ) -> Looks<'a, K, V> {
        let (passed, wires) = self.wires(remote, keys, names);
        if l2 != L2Use::Read {
            let mut looks = Looks::new(self, remote, names, Answers::NotAsked, passed, l2);
            looks.at = self.moment();
            return looks;
        }
        let (mut outcomes, mut gave_up) = (Outcomes::new(wires.len()), false);
        let asked_at = self.asked_at(remote);
        if !wires.is_empty() {
            let progress = outcomes.progress();
            let asked = remote.store.mget_into(&wires, &mut outcomes);
            let ended = self.timed_read(remote, limit, progress, asked).await;
            gave_up = self.has_missing(ended, outcomes.missing());
        }
        let mut looks = Looks::new(self, remote, names, Answers::Plain(outcomes), passed, l2);
        (looks.at, looks.asked_at, looks.gave_up) = (self.moment(), asked_at, gave_up);
        looks
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
        self.tend(remote);
        let wires = names.wires(|n| passed.get(n).is_none_or(|passed| *passed == Passed::Not));
        (passed, wires)
    }

    /// Counts what a call left unanswered, as one. `true`: as its time was over.
    fn has_missing(&self, ended: StoreResult<()>, missing: usize) -> bool {
        if missing == 0 {
            return false;
        }
        let kind = ended.map_or_else(|e| e.kind(), |()| StoreErrorKind::Protocol);
        self.counters.l2_error(kind);
        kind == StoreErrorKind::Timeout
    }
}
