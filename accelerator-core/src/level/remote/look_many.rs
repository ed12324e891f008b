//! Reading many keys of L2 in one call.
//!
//! Answers are understood one by one, when they are needed: most of them end a flight there and then.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::level::bounds::{Key, Value};
use crate::level::remote::Remote;
use crate::level::remote::interpret::{Leased, without_leases};
use crate::level::remote::look::Look;
use crate::level::remote::permit::{FillRight, L2Use, Permit};
use crate::level::stats::rejects::Origin;
use crate::level::time::join_parts::join_parts;
use crate::level::wire::moment::Instants;
use crate::level::wire::wire_key::WireKeys;
use crate::traits::l2::outcomes::Outcomes;
use crate::traits::l2::{L2Read, LeaseToken};

/// What a store answers to a question about many keys, in their order. Dropped before its end (while L2 is asked, or by a
/// panic), it gives back the leases that are left in it.
pub(crate) struct ManyLooks<'a, K: Key, V: Value> {
    remote: &'a Arc<Remote<K, V>>,
    names: &'a WireKeys,
    answers: Answers,
    next: usize,
    /// Keys so far that were asked for.
    asked: usize,
    /// Keys that are read past L2; empty where there are none.
    passed: Vec<Passed>,
    l2: L2Use,
    pub(crate) at: Instants,
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
    /// It was answered by an earlier call of the same look.
    Answered,
}

enum Answers {
    Leased(Outcomes<L2Read>),
    Plain(Outcomes<Option<Bytes>>),
    /// L2 was not asked, as what it has is known or not wanted.
    NotAsked,
}

/// A value of another schema that gives way.
struct Outdated {
    /// Of its key.
    n: usize,
    /// Among the answers.
    place: usize,
    seen: LeaseToken,
    origin: Origin,
}

impl<'a, K: Key, V: Value> ManyLooks<'a, K, V> {
    fn new(
        remote: &'a Arc<Remote<K, V>>,
        names: &'a WireKeys,
        answers: Answers,
        passed: Vec<Passed>,
        l2: L2Use,
    ) -> Self {
        Self {
            remote,
            names,
            answers,
            next: 0,
            asked: 0,
            passed,
            l2,
            at: Instants { now: 0, unix: 0, least_age: 0 },
            asked_at: remote.asked_at(),
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
            (_, Err(_)) => return Leased::nothing(FillRight::Nothing),
        };
        let (remote, full) = (self.remote, self.names.full(n));
        // A store that says nothing of ages may wrap one that tells them.
        let tells = remote.wire.limits.ages;
        // What is missing was counted, once for all.
        let leased = match &mut self.answers {
            Answers::Leased(answers) => {
                let at = self.at.aged(answers.age(place).filter(|_| tells), self.asked_at);
                let read = |it| remote.understand_lease(full, it, self.l2, at);
                Some(answers.take(place).map_or(Leased::Failed, read))
            }
            Answers::Plain(answers) => {
                let at = self.at.aged(answers.age(place).filter(|_| tells), self.asked_at);
                answers.take(place).map(|answer| without_leases(Some(remote.understand(full, answer, at))))
            }
            Answers::NotAsked => Some(without_leases(None)),
        };
        leased.unwrap_or(Leased::nothing(FillRight::Nothing))
    }

    /// What the next answer means, with the right to write.
    pub(crate) fn next_look(&mut self) -> Look<K, V> {
        let n = self.next;
        let leased = self.next_answer();
        self.remote.look(self.names.name(n), leased)
    }

    /// Values of another schema that give way to a load.
    fn outdated(&self) -> Vec<Outdated> {
        let Answers::Leased(answers) = &self.answers else { return Vec::new() };
        let is_asked = |n: &usize| self.passed.get(*n).is_none_or(|passed| *passed == Passed::Not);
        let asked = (0..self.names.len()).filter(is_asked).enumerate();
        let outdated = asked.filter_map(|(place, n)| {
            let Some(Ok(L2Read::Hit { bytes, seen: Some(seen) })) = answers.get(place) else { return None };
            let origin = self.remote.wire.outdated(self.names.full(n), bytes, self.at)?;
            Some(Outdated { n, place, seen: *seen, origin })
        });
        outdated.collect()
    }

    /// They go, and their keys are asked for again: one of all nodes gets the lease of each.
    async fn give_way(&mut self, outdated: Vec<Outdated>, lease: Duration, limit: Duration) {
        let (remote, names) = (self.remote, self.names);
        let gone = join_parts(outdated.iter().map(|one| async {
            // By the one name that the first call had.
            remote.release(names.name(one.n).wire(), one.seen).await
        }));
        let gone = gone.await;
        let outdated: Vec<Outdated> =
            outdated.into_iter().zip(gone).filter_map(|(one, gone)| gone.then_some(one)).collect();
        let mut passed = vec![Passed::Answered; names.len()];
        for one in &outdated {
            passed[one.n] = Passed::Not;
        }
        let wires = names.wires(|n| passed.get(n) == Some(&Passed::Not));
        // Dropped before its end, it gives back what it was granted.
        let answers = Answers::Leased(Outcomes::new(wires.len()));
        let mut again = ManyLooks::new(remote, names, answers, passed, self.l2);
        if let Answers::Leased(outcomes) = &mut again.answers {
            self.gave_up |= remote.mget_or_lease(&wires, lease, limit, outcomes).await;
        }
        self.at = remote.moment();
        let (Answers::Leased(new), Answers::Leased(answers)) = (&mut again.answers, &mut self.answers) else { return };
        for (n, one) in outdated.into_iter().enumerate() {
            remote.wire.rejects.foreign(one.origin, self.at.unix);
            let age = new.age(n);
            match new.take(n) {
                Some(answer) => answers.put_aged(one.place, answer, age),
                None => drop(answers.take(one.place)),
            }
        }
    }

    #[cold]
    fn give_back(&mut self) {
        while self.next < self.names.len() {
            if let (n, Ok(place)) = self.step()
                && let Answers::Leased(answers) = &mut self.answers
                && let Some(Ok(L2Read::Leased { token, .. })) = answers.take(place)
            {
                drop(Permit::new(self.remote, self.names.name(n), FillRight::Fill(token)));
            }
        }
    }
}

impl<K: Key, V: Value> Drop for ManyLooks<'_, K, V> {
    fn drop(&mut self) {
        if self.next < self.names.len() {
            self.give_back();
        }
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    /// `look_to_load` for many keys in one call; never waits for the leases of others, as it may hold some.
    pub(crate) async fn look_many<'a>(
        self: &'a Arc<Self>,
        keys: impl Iterator<Item = &K>,
        names: &'a WireKeys,
        lease: Duration,
        limit: Duration,
        l2: L2Use,
    ) -> ManyLooks<'a, K, V> {
        if !self.wire.limits.leases {
            return self.get_many(keys, names, limit, l2).await;
        }
        let (passed, wires) = self.wires(keys, names);
        let answers = Answers::Leased(Outcomes::new(wires.len()));
        let mut looks = ManyLooks::new(self, names, answers, passed, l2);
        if let Answers::Leased(outcomes) = &mut looks.answers {
            looks.gave_up = self.mget_or_lease(&wires, lease, limit, outcomes).await;
        }
        looks.at = self.moment();
        let outdated = looks.outdated();
        if !outdated.is_empty() {
            // In a box of its own, as it is rare.
            Box::pin(looks.give_way(outdated, lease, limit)).await;
        }
        looks
    }

    /// Reads many keys in one call, and takes no leases.
    pub(crate) async fn get_many<'a>(
        self: &'a Arc<Self>,
        keys: impl Iterator<Item = &K>,
        names: &'a WireKeys,
        limit: Duration,
        l2: L2Use,
    ) -> ManyLooks<'a, K, V> {
        let (passed, wires) = self.wires(keys, names);
        if l2 != L2Use::Read {
            let mut looks = ManyLooks::new(self, names, Answers::NotAsked, passed, l2);
            looks.at = self.moment();
            return looks;
        }
        let (mut outcomes, asked_at) = (Outcomes::new(wires.len()), self.asked_at());
        let gave_up = self.mget(&wires, limit, &mut outcomes).await;
        let mut looks = ManyLooks::new(self, names, Answers::Plain(outcomes), passed, l2);
        (looks.at, looks.asked_at, looks.gave_up) = (self.moment(), asked_at, gave_up);
        looks
    }

    /// Which keys are read past L2, and the names of all others.
    fn wires<'k, 'n>(
        self: &Arc<Self>,
        keys: impl Iterator<Item = &'k K>,
        names: &'n WireKeys,
    ) -> (Vec<Passed>, Vec<&'n str>) {
        let now = self.local.now();
        let why = |key| match () {
            () if self.guarded.has(key, now) => Passed::Guarded,
            () if self.bypass.holds_for(key, now) => Passed::Bypass,
            () => Passed::Not,
        };
        let passed: Vec<Passed> = match self.bypass.holds_nothing() && self.guarded.is_empty() {
            true => Vec::new(),
            false => keys.map(why).collect(),
        };
        self.tend();
        let wires = names.wires(|n| passed.get(n).is_none_or(|passed| *passed == Passed::Not));
        (passed, wires)
    }
}
