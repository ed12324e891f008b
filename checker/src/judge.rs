//! Holds reads against what was acknowledged before they began.
//!
//! Workers send what happened with its times, some milliseconds late. A read is judged when all acknowledgements up to
//! its begin have come in: when the journals of all workers are complete up to there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::breaks::{Promise, Unconfirmed};
use crate::event::{Event, What};
use crate::history::History;
use crate::row::{Id, Seen};
use crate::time::millis;

/// Versions below which nobody may read, by the time from which on.
#[derive(Clone, Debug, Default)]
struct Floor(Vec<(u64, u64)>);

impl Floor {
    /// From `time` on. Times mostly come in their order.
    fn raise(&mut self, time: u64, version: u64) {
        let at = self.0.partition_point(|(since, _)| *since <= time);
        if at.checked_sub(1).is_some_and(|before| self.0[before].1 >= version) {
            return;
        }
        let lower = self.0[at..].partition_point(|(_, later)| *later <= version);
        self.0.splice(at..at + lower, [(time, version)]);
    }

    /// For a read that begins at `time`: the version, and when it was acknowledged.
    fn before(&self, time: u64) -> (u64, u64) {
        let risen = self.0.partition_point(|(since, _)| *since < time);
        risen.checked_sub(1).map_or((0, 0), |last| (self.0[last].1, self.0[last].0))
    }
}

pub(crate) struct Judge {
    /// The first key that other nodes may still have in their L1.
    near: Id,
    /// For how long they may, in nanoseconds.
    lag: u64,
    versions: Arc<[AtomicU64]>,
    /// For all processes, per key.
    all: Vec<Floor>,
    /// For one process, per process and key.
    own: Vec<Vec<Floor>>,
    /// For one process, what it has committed under guards. Its flights of before go on.
    committed: Vec<Vec<Floor>>,
    /// Up to when each process has sent everything.
    complete: Vec<u64>,
    floors: Vec<(usize, Event)>,
    /// Where nodes tell each other: what is promised of it, and of which writes it is not known yet when they count.
    promise: Option<Promise>,
    told: Vec<Event>,
    reads: VecDeque<(usize, Event)>,
    history: History,
    pub(crate) reads_judged: u64,
    pub(crate) stale_reads: u64,
    pub(crate) stale_at_rest: u64,
    /// The first violation, with what happened to its key.
    pub(crate) first: Option<String>,
}

impl Judge {
    pub(crate) fn new(processes: usize, near: Id, lag: u64, versions: Arc<[AtomicU64]>) -> Self {
        let floors = vec![Floor::default(); versions.len()];
        Self {
            near,
            lag,
            all: floors.clone(),
            own: vec![floors.clone(); processes],
            committed: vec![floors; processes],
            complete: vec![0; processes],
            history: History::new(versions.len()),
            floors: Vec::new(),
            promise: None,
            told: Vec::new(),
            reads: VecDeque::new(),
            versions,
            reads_judged: 0,
            stale_reads: 0,
            stale_at_rest: 0,
            first: None,
        }
    }

    /// Where all keys are in L1, and nodes hear of each other's writes.
    pub(crate) fn hearing(processes: usize, promise: Promise, versions: Arc<[AtomicU64]>) -> Self {
        Self { promise: Some(promise), ..Self::new(processes, 0, 0, versions) }
    }

    /// The journal of `process`, complete up to `until`.
    pub(crate) fn journal(&mut self, process: usize, until: u64, events: Vec<Event>) {
        for event in events {
            self.history.push(process, event);
            match event.what {
                What::Read { .. } => self.reads.push_back((process, event)),
                What::Committed(..) | What::Acknowledged(..) | What::Unconfirmed(..) => {
                    self.floors.push((process, event));
                }
                What::AtRest(seen) => self.at_rest(process, event, seen),
                What::Loaded(_) => {}
            }
        }
        self.complete[process] = until;
        self.settle();
    }

    /// This process was killed: it has nothing more to say, and what it did not say is not missed.
    pub(crate) fn gone(&mut self, process: usize) {
        self.complete[process] = u64::MAX;
        self.settle();
    }

    /// Nobody has anything more to say.
    pub(crate) fn close(&mut self) {
        self.complete.fill(u64::MAX);
        self.settle();
    }

    fn settle(&mut self) {
        let until = self.complete.iter().copied().min().unwrap_or(0);
        // In the order of their times, across processes.
        let mut ripe: Vec<_> = self.floors.extract_if(.., |(_, event)| event.end <= until).collect();
        ripe.sort_by_key(|(_, event)| event.end);
        for (process, event) in ripe {
            self.raise(process, &event);
        }
        self.hear(until);
        // Mostly in order of their ends; those that are not ripe wait for the next journal.
        for _ in 0..self.reads.len() {
            let Some((process, event)) = self.reads.pop_front() else { break };
            if event.begin <= until {
                self.judge(process, &event);
            } else {
                self.reads.push_back((process, event));
            }
        }
    }

    /// Writes of which it is known by now when other nodes must have heard of them.
    fn hear(&mut self, until: u64) {
        let Some(promise) = &self.promise else { return };
        let all = &mut self.all;
        self.told.retain(|event| {
            let (version, from) = match event.what {
                What::Acknowledged(_, version) => match promise.acknowledged(event.end, until) {
                    Some(from) => (version, from),
                    None => return true,
                },
                What::Unconfirmed(_, version) => match promise.unconfirmed(event.end) {
                    Unconfirmed::From(from) => (version, from),
                    Unconfirmed::NotYet => return true,
                    Unconfirmed::AtRest => return false,
                },
                _ => return false,
            };
            all[event.id as usize].raise(from, version);
            false
        });
    }

    fn raise(&mut self, process: usize, event: &Event) {
        let id = event.id as usize;
        match event.what {
            What::Acknowledged(_, version) | What::Unconfirmed(_, version) if self.promise.is_some() => {
                self.own[process][id].raise(event.end, version);
                self.told.push(*event);
            }
            What::Acknowledged(_, version) => {
                self.own[process][id].raise(event.end, version);
                let lag = if event.id < self.near { 0 } else { self.lag };
                self.all[id].raise(event.end + lag, version);
            }
            What::Committed(version) => {
                self.committed[process][id].raise(event.end, version);
                let lag = if event.id < self.near { 0 } else { self.lag };
                self.all[id].raise(event.end + lag, version);
            }
            What::Unconfirmed(_, version) => self.own[process][id].raise(event.end, version),
            What::Read { .. } | What::Loaded(_) | What::AtRest(_) => {}
        }
    }

    fn judge(&mut self, process: usize, event: &Event) {
        let What::Read { verb, seen, joined } = event.what else { return };
        let id = event.id as usize;
        self.reads_judged += 1;
        // What this process has invalidated itself has detached its flights, and so has what it has heard.
        let heard = if self.promise.is_some() { event.begin } else { joined };
        let (all, own) = (self.all[id].before(heard), self.own[process][id].before(event.begin));
        let (floor, since) = all.max(own).max(self.committed[process][id].before(joined));
        if seen.may_be(floor, self.version(id)) {
            return;
        }
        self.stale_reads += 1;
        if self.first.is_none() {
            let ago = millis(event.begin.saturating_sub(since));
            let alone = millis(event.begin - joined);
            let what = format!(
                "stale read: process {process} read {seen:?} of key {id} by {verb:?}; \
                 version {floor} had counted for {ago:.3} ms when the read began \
                 (it may have joined a flight that began {alone:.3} ms before it)"
            );
            self.first = Some(self.history.tell(&what, event.id));
        }
    }

    fn at_rest(&mut self, process: usize, event: Event, seen: Seen) {
        let version = self.version(event.id as usize);
        if seen.may_be(version, version) {
            return;
        }
        self.stale_at_rest += 1;
        if self.first.is_none() {
            let id = event.id;
            let what = format!(
                "stale at rest: there is {seen:?} of key {id} (read by process {process}); \
                 the database has version {version}"
            );
            self.first = Some(self.history.tell(&what, id));
        }
    }

    fn version(&self, id: usize) -> u64 {
        self.versions[id].load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Verb;

    const LAG: u64 = 1000;

    /// Keys 0 and 1, of which 1 is in L1 too; the database is at version 5.
    fn judge() -> Judge {
        Judge::new(2, 1, LAG, (0..2).map(|_| AtomicU64::new(5)).collect())
    }

    fn event(id: Id, begin: u64, end: u64, what: What) -> Event {
        Event { id, begin, end, what }
    }

    fn read(id: Id, begin: u64, version: u64) -> Event {
        event(id, begin, begin + 10, What::Read { verb: Verb::Get, seen: Seen::Version(version), joined: begin })
    }

    fn acknowledged(id: Id, end: u64, version: u64) -> Event {
        event(id, end - 5, end, What::Acknowledged(Verb::Del, version))
    }

    #[test]
    fn an_acknowledgement_that_comes_in_late_counts_for_reads_that_began_after_it() {
        let mut judge = judge();
        judge.journal(0, 300, vec![read(0, 101, 3), read(0, 100, 3), read(0, 102, 4)]);
        assert_eq!(judge.reads_judged, 0, "process 1 may still have something to say");
        judge.journal(1, 300, vec![acknowledged(0, 100, 4)]);
        assert_eq!((judge.reads_judged, judge.stale_reads), (3, 1));
        let told = judge.first.expect("a violation");
        assert!(told.contains("process 0 read Version(3) of key 0 by Get"), "{told}");
        assert!(told.contains("Acknowledged(Del, 4)"), "{told}");
    }

    #[test]
    fn acknowledgements_count_in_the_order_of_their_times() {
        let mut judge = judge();
        judge.journal(0, 150, vec![acknowledged(0, 140, 4)]);
        judge.journal(1, 150, vec![acknowledged(0, 120, 5), read(0, 130, 5), read(0, 141, 4)]);
        judge.journal(0, 300, vec![]);
        judge.journal(1, 300, vec![]);
        assert_eq!((judge.reads_judged, judge.stale_reads), (2, 1), "the version of 120 is the higher one");
    }

    #[test]
    fn what_was_not_confirmed_counts_for_its_own_process() {
        let mut judge = judge();
        let unconfirmed = event(0, 90, 100, What::Unconfirmed(Verb::Del, 4));
        judge.journal(0, 300, vec![unconfirmed, read(0, 110, 3)]);
        judge.journal(1, 300, vec![read(0, 110, 3)]);
        assert_eq!((judge.reads_judged, judge.stale_reads), (2, 1));
    }

    #[test]
    fn who_may_have_joined_an_older_flight_is_held_against_what_its_own_process_has_done() {
        let mut judge = judge();
        let late = event(0, 110, 120, What::Read { verb: Verb::Get, seen: Seen::Version(3), joined: 95 });
        judge.journal(0, 300, vec![acknowledged(0, 100, 4), late]);
        judge.journal(
            1,
            300,
            vec![late, event(0, 110, 120, What::Read { verb: Verb::Get, seen: Seen::Version(3), joined: 101 })],
        );
        assert_eq!((judge.reads_judged, judge.stale_reads), (3, 2));
    }

    #[test]
    fn what_was_committed_under_a_guard_counts_from_then_on_but_for_flights_of_before() {
        let mut judge = judge();
        let committed = event(0, 90, 100, What::Committed(4));
        let joined = event(0, 110, 120, What::Read { verb: Verb::Get, seen: Seen::Version(3), joined: 95 });
        judge.journal(0, 300, vec![committed, joined, read(0, 99, 3), read(0, 101, 3)]);
        judge.journal(1, 300, vec![joined, read(0, 101, 3), read(0, 101, 4)]);
        assert_eq!((judge.reads_judged, judge.stale_reads), (6, 2));
        // Beside an L1, other nodes have time, and the own one has not.
        judge.journal(0, 9000, vec![event(1, 390, 400, What::Committed(4)), read(1, 410, 3)]);
        judge.journal(1, 9000, vec![read(1, 410, 3), read(1, 401 + LAG, 3)]);
        assert_eq!((judge.reads_judged, judge.stale_reads), (9, 4));
    }

    #[test]
    fn nobody_waits_for_a_process_that_is_gone() {
        let mut judge = judge();
        judge.journal(0, 300, vec![acknowledged(0, 100, 4), read(0, 110, 3)]);
        judge.gone(1);
        assert_eq!((judge.reads_judged, judge.stale_reads), (1, 1));
    }

    #[test]
    fn an_l1_elsewhere_may_be_old_for_a_while() {
        let mut judge = judge();
        judge.journal(0, 9000, vec![acknowledged(1, 100, 4), read(1, 110, 3)]);
        judge.journal(1, 9000, vec![read(1, 110, 3), read(1, 100 + LAG, 3), read(1, 101 + LAG, 3)]);
        assert_eq!((judge.reads_judged, judge.stale_reads), (4, 2), "its own at once, the other's after the lag");
    }

    #[test]
    fn who_hears_of_writes_has_the_time_that_is_promised_whatever_it_joins() {
        let promise = Promise { delivery: 20, broken: 1000, breaks: Arc::default() };
        let mut judge = Judge::hearing(2, promise, (0..2).map(|_| AtomicU64::new(5)).collect());
        let late = event(0, 121, 130, What::Read { verb: Verb::Get, seen: Seen::Version(3), joined: 95 });
        judge.journal(0, 119, vec![acknowledged(0, 100, 4), read(0, 110, 3)]);
        judge.journal(1, 119, vec![read(0, 118, 3)]);
        assert_eq!((judge.reads_judged, judge.stale_reads), (2, 1), "its own writes count at once");
        judge.journal(0, 300, vec![]);
        judge.journal(1, 300, vec![read(0, 120, 3), late]);
        assert_eq!((judge.reads_judged, judge.stale_reads), (4, 2));
    }

    #[test]
    fn a_later_floor_does_not_hide_a_higher_one_that_counts_before() {
        let mut floor = Floor::default();
        for (time, version) in [(100, 4), (200, 5), (150, 7), (160, 6), (90, 1)] {
            floor.raise(time, version);
        }
        assert_eq!(floor.0, [(90, 1), (100, 4), (150, 7)]);
    }

    #[test]
    fn at_rest_only_the_version_of_the_database_is_right() {
        let mut judge = judge();
        let rest = |version| event(0, 1, 2, What::AtRest(Seen::Version(version)));
        judge.journal(0, 10, vec![rest(5)]);
        assert_eq!(judge.stale_at_rest, 0);
        judge.journal(0, 20, vec![rest(4)]);
        assert_eq!(judge.stale_at_rest, 1);
    }
}
