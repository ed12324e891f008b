//! The run of a batch: what becomes of its keys, and how its leader and those who follow hear of it.
//!
//! Its keys are led without flights (`flight/reservation.rs`). Whoever follows one makes its flight, finds the run there, and moves it
//! into a task as a whole.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::cache::BoxFuture;
use crate::level::bounds::{Key, Value};
use crate::level::flight::shared_run::Report;
use crate::level::flight::token::Reservation;
use crate::level::local::Local;
use crate::level::local::outcome::Outcome;
use crate::level::local::registration::ReservedKey;
use crate::level::local::work::BatchRun;
use crate::level::time::looks::RegularLooks;

/// A key of a batch.
pub(crate) struct BatchKey<K, V> {
    /// Its index among the caller's keys.
    pub(crate) at: usize,
    pub(crate) key: K,
    /// Its place in the slot table, until it has ended.
    pub(crate) reserved: Option<Reservation>,
    /// How it ended; nothing where it was given up.
    pub(crate) outcome: Option<Outcome<V>>,
}

impl<K, V> BatchKey<K, V> {
    pub(crate) fn new(at: usize, key: K, reserved: Option<Reservation>) -> Self {
        Self { at, key, reserved, outcome: None }
    }
}

impl<K: Key, V: Value> BatchKey<K, V> {
    /// The run is over, whether this key has ended or not.
    fn leave(&mut self, local: &Arc<Local<K, V>>, panicked: bool) {
        match self.reserved.take() {
            reserved @ Some(_) if panicked => {
                self.outcome = Some(Outcome::panicked());
                drop(ReservedKey::failing(local, &self.key, reserved));
            }
            reserved @ Some(_) => drop(ReservedKey::passing_on(local, &self.key, reserved)),
            // User code panicked while this key was ending.
            None if self.outcome.is_none() => self.outcome = Some(Outcome::panicked()),
            None => {}
        }
    }
}

/// The keys of a batch that are led. Dropped, for whatever reason, it reports to the leader. Keys that have not ended
/// fail if their own work panicked; else (the runtime ends, something else panics) who waits for them takes over.
pub(crate) struct BatchKeys<K: Key, V: Value> {
    pub(crate) local: Arc<Local<K, V>>,
    pub(crate) keys: Vec<BatchKey<K, V>>,
    /// The work panicked.
    pub(crate) panicked: bool,
    report: Arc<Report<Vec<BatchKey<K, V>>>>,
}

impl<K: Key, V: Value> BatchKeys<K, V> {
    pub(crate) fn new(local: &Arc<Local<K, V>>, keys: usize) -> Self {
        Self { local: local.clone(), keys: Vec::with_capacity(keys), panicked: false, report: Report::new() }
    }

    /// Leads these keys by `work`, which gets them.
    pub(crate) fn lead(
        self,
        run: Arc<BatchRun>,
        work: impl FnOnce(Self) -> BoxFuture<'static, ()>,
    ) -> LeadingBatch<K, V> {
        let leading = LeadingBatch {
            local: self.local.clone(),
            run,
            report: self.report.clone(),
            looks: RegularLooks::default(),
        };
        leading.run.begin(work(self), leading.local.tasks.spawns());
        leading
    }
}

impl<K: Key, V: Value> Drop for BatchKeys<K, V> {
    fn drop(&mut self) {
        let mut keys = std::mem::take(&mut self.keys);
        for one in &mut keys {
            // Wakers are foreign code: whatever one of them does, the others and the leader hear of the end.
            let _ = catch_unwind(AssertUnwindSafe(|| one.leave(&self.local, self.panicked)));
        }
        self.report.tell(keys);
    }
}

/// The leader of a run, who polls it in place or waits for the task that it has moved into. Dropped before its end, the
/// run moves into a task.
pub(crate) struct LeadingBatch<K: Key, V: Value> {
    local: Arc<Local<K, V>>,
    run: Arc<BatchRun>,
    report: Arc<Report<Vec<BatchKey<K, V>>>>,
    looks: RegularLooks,
}

impl<K: Key, V: Value> LeadingBatch<K, V> {
    pub(crate) fn run(&self) -> &Arc<BatchRun> {
        &self.run
    }

    pub(crate) fn move_to_task(&self) {
        self.run.move_to_task(false, Instant::now(), self.local.tasks.spawns());
    }
}

impl<K: Key, V: Value> Future for LeadingBatch<K, V> {
    type Output = Vec<BatchKey<K, V>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<BatchKey<K, V>>> {
        let this = self.get_mut();
        let _inside = this.local.tasks.enter();
        if this.run.poll(cx, |work, cx| work.as_mut().poll(cx), this.local.tasks.spawns()) {
            return Poll::Pending;
        }
        match this.report.poll(cx) {
            Poll::Ready(Some(keys)) => Poll::Ready(keys),
            // It was told before: this future is over.
            Poll::Ready(None) => Poll::Pending,
            Poll::Pending => {
                if this.looks.poll(&this.local.tasks, cx) {
                    this.run.move_to_task(true, Instant::now(), this.local.tasks.spawns());
                }
                Poll::Pending
            }
        }
    }
}

impl<K: Key, V: Value> Drop for LeadingBatch<K, V> {
    fn drop(&mut self) {
        self.move_to_task();
    }
}
