//! The cache as the host of `level/drive`.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use shuttle::future::block_on;
use shuttle::sync::atomic::Ordering::SeqCst;

use crate::level::drive::host::Host;
use crate::level::flight::patience::Limits;
use crate::rig::{BatchRun, Cache, Flight, Outcome, Table, Work};

impl Host for Arc<Cache> {
    type Key = u8;
    type Result = Outcome;
    type Work = Work;
    type End = ();
    type Limit = ();

    fn table(&self) -> &Table {
        &self.table
    }

    fn generation(&self) -> u32 {
        Cache::generation(self)
    }

    fn poll_work(&self, work: &mut Work, cx: &mut Context<'_>) -> Poll<()> {
        work.poll(cx)
    }

    fn drop_work(&self, work: Work) {
        drop(work);
    }

    fn end(&self, flight: Arc<Flight>, _: Option<Work>, (): (), _: bool) -> Outcome {
        self.end_flight(flight, Outcome::Value(self.source.load(SeqCst)))
    }

    fn is_answer(_: &Outcome) -> bool {
        true
    }

    fn move_run(&self, run: &Arc<BatchRun>, looks: bool) -> bool {
        run.move_to_task(looks, self.now(), spawn)
    }

    fn now(&self) -> Instant {
        // Not shuttle's: it is no place for a switch.
        Instant::now() + Duration::from_millis(self.ahead.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn has_runtime(&self) -> bool {
        true
    }

    // The threads of shuttle are not daemons: a task that never ends is a failure.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        spawn(task);
    }

    fn patience(&self) -> Limits {
        Limits::new(Duration::ZERO, Duration::ZERO)
    }

    // Nobody loses patience, and nobody looks, but by a scenario's own doing.

    fn limit(&self, _: Duration) {}

    fn is_over(&self, (): &mut (), _: &mut Context<'_>) -> bool {
        false
    }

    fn ask(&self, _: u64) -> bool {
        false
    }

    fn is_alive(&self, _: u64) -> bool {
        false
    }

    fn is_waited_for(&self) {}
}

pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    shuttle::thread::spawn(move || block_on(task));
}
