//! One random operation.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use accelerator::{CacheResult, L1Store, Lookup, ReadOptions};
use futures_util::FutureExt;

use crate::event::{Verb, What};
use crate::row::{Id, Row, Seen};
use crate::time::now;
use crate::worker::operations::Space;
use crate::worker::reading::Reading;
use crate::worker::source::{Source, is_injected};

const MOST_KEYS: usize = 16;

impl<L1: L1Store<Id, Row>> Space<L1> {
    pub(crate) async fn step(&self, random: &mut fastrand::Rng) {
        if let Some(guards) = self.shared.guards {
            return self.guarded_step(guards, random).await;
        }
        if let Some(setters) = self.shared.setters {
            return self.heard_step(setters, random).await;
        }
        let id = self.pick(random);
        match random.u32(..1000) {
            0..620 => self.get(id).await,
            620..720 => self.mget(self.several(random)).await,
            720..780 => self.get_or_load(id).await,
            780..810 => self.force_refresh(id).await,
            810..840 => self.cancelled_get(id, random.u64(..3000)).await,
            840..860 => self.lookup(id).await,
            860..960 => self.del(id).await,
            960..965 => self.forgotten_del(id).await,
            965..975 => self.write_guard(id, random.u32(..20) == 0).await,
            _ => self.mdel(self.several(random)).await,
        }
    }

    /// Half of the picks are of few keys.
    pub(super) fn pick(&self, random: &mut fastrand::Rng) -> Id {
        let all = self.keys.len() as Id;
        let of = if random.bool() { all } else { all.div_ceil(16) };
        self.keys.start + random.u32(..of)
    }

    pub(super) fn several(&self, random: &mut fastrand::Rng) -> Vec<Id> {
        // Duplicates are welcome.
        (0..random.usize(1..=MOST_KEYS)).map(|_| self.pick(random)).collect()
    }

    fn source(&self) -> Source {
        Source { client: self.shared.client.clone(), journal: self.shared.journal.clone() }
    }

    pub(super) async fn get(&self, id: Id) {
        let reading = self.shared.readings.begin(id);
        let answer = self.cache.get(&id).await;
        self.answered(Verb::Get, &reading, answer);
    }

    pub(super) async fn mget(&self, ids: Vec<Id>) {
        let readings: Vec<_> = ids.iter().map(|id| self.shared.readings.begin(*id)).collect();
        let begin = now();
        let answers = self.cache.mget(&ids).await;
        self.shared.calls.ended(Verb::Mget, begin);
        for (reading, answer) in readings.iter().zip(answers.into_results()) {
            self.seen(Verb::Mget, reading, answer);
        }
    }

    pub(super) async fn get_or_load(&self, id: Id) {
        let reading = self.shared.readings.begin(id);
        let asked = AssertUnwindSafe(self.cache.get_or_load(&id, self.source().load(id))).catch_unwind().await;
        // A body that panics does so in its caller's hands.
        if let Ok(answer) = asked {
            self.answered(Verb::GetOrLoad, &reading, answer);
        }
    }

    pub(super) async fn force_refresh(&self, id: Id) {
        let reading = self.shared.readings.begin(id);
        let answer = self.cache.get_with(&id, ReadOptions::new().force_refresh(true)).await;
        self.answered(Verb::ForceRefresh, &reading, answer);
    }

    pub(super) async fn cancelled_get(&self, id: Id, micros: u64) {
        let reading = self.shared.readings.begin(id);
        match tokio::time::timeout(Duration::from_micros(micros), self.cache.get(&id)).await {
            Ok(answer) => self.answered(Verb::Get, &reading, answer),
            // Its flight goes on. Who asks again joins it, and ends with it or after it; so `reading` does.
            Err(_) => self.get(id).await,
        }
    }

    pub(super) async fn lookup(&self, id: Id) {
        let reading = self.shared.readings.begin(id);
        let found = self.cache.lookup(&id).await;
        self.shared.calls.ended(Verb::Lookup, reading.begin);
        let seen = match &found {
            Lookup::Hit(row) => Seen::of(id, Some(row)),
            Lookup::Absent => Seen::Absent,
            Lookup::Miss | Lookup::Unavailable => return,
        };
        // It joins nobody.
        let what = What::Read { verb: Verb::Lookup, seen, joined: reading.begin };
        self.shared.journal.push(id, reading.begin, what);
    }

    fn answered(&self, verb: Verb, reading: &Reading<'_>, answer: CacheResult<Option<Row>>) {
        self.shared.calls.ended(verb, reading.begin);
        self.seen(verb, reading, answer);
    }

    fn seen(&self, verb: Verb, reading: &Reading<'_>, answer: CacheResult<Option<Row>>) {
        let Reading { id, begin, joined, .. } = *reading;
        match answer {
            Ok(row) => {
                let what = What::Read { verb, seen: Seen::of(id, row.as_ref()), joined };
                self.shared.journal.push(id, begin, what);
            }
            Err(error) if is_injected(&error) => {}
            Err(error) => self.shared.calls.failed(verb, joined, &error),
        }
    }

    pub(super) async fn del(&self, id: Id) {
        let version = self.shared.client.write(id).await;
        let begin = now();
        let done = self.cache.del(&id).await;
        self.shared.calls.ended(Verb::Del, begin);
        self.invalidated(Verb::Del, id, begin, version, done.is_ok());
    }

    /// A request that goes away after its commit: the delete must happen all the same.
    pub(super) async fn forgotten_del(&self, id: Id) {
        self.shared.client.write(id).await;
        drop(self.cache.del(&id));
    }

    pub(super) async fn mdel(&self, ids: Vec<Id>) {
        let mut versions = Vec::with_capacity(ids.len());
        for id in &ids {
            versions.push(self.shared.client.write(*id).await);
        }
        let begin = now();
        let done = self.cache.mdel(&ids).await;
        self.shared.calls.ended(Verb::Mdel, begin);
        for (id, version) in ids.into_iter().zip(versions) {
            self.invalidated(Verb::Mdel, id, begin, version, done.is_ok());
        }
    }

    /// A change inside of a guard; `forgotten`: the writer is gone after its commit, and the hold ends by itself.
    pub(super) async fn write_guard(&self, id: Id, forgotten: bool) {
        let begin = now();
        let guard = match self.cache.write_guard(&id).await {
            Ok(guard) => guard,
            // The store has no leases, or did not confirm the hold.
            Err(_) => return self.del(id).await,
        };
        let version = self.shared.client.write(id).await;
        if forgotten {
            return drop(guard);
        }
        let done = guard.finish().await;
        self.shared.calls.ended(Verb::WriteGuard, begin);
        self.invalidated(Verb::WriteGuard, id, begin, version, done.is_ok());
    }

    pub(super) fn invalidated(&self, verb: Verb, id: Id, begin: u64, version: u64, confirmed: bool) {
        let what = if confirmed {
            What::Acknowledged(verb, version)
        } else {
            self.shared.calls.unconfirmed.fetch_add(1, Relaxed);
            What::Unconfirmed(verb, version)
        };
        self.shared.journal.push(id, begin, what);
    }
}
