//! The cache as a host of flights.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::level::bounds::{Key, Value};
use crate::level::drive::host::Host;
use crate::level::drive::in_place;
use crate::level::drive::led;
use crate::level::drive::wait;
use crate::level::flight::patience::Limits;
use crate::level::local::commit::{Ending, LedKey};
use crate::level::local::outcome::{End, Outcome};
use crate::level::local::work::{BatchRun, Work};
use crate::level::local::{Flight, Local, Table};
use crate::level::time::ticker::Limit;
use crate::pulse::waits_for_the_cache;

pub(crate) type Led<K, V> = led::Led<Arc<Local<K, V>>>;
pub(crate) type Step<K, V> = led::Step<Option<V>, Arc<Local<K, V>>>;
pub(crate) type Follow<K, V> = wait::Follow<Arc<Local<K, V>>>;
pub(crate) type Waited<K, V> = wait::Waited<Arc<Local<K, V>>>;
pub(crate) type InPlace<'e, K, V> = in_place::InPlace<'e, Arc<Local<K, V>>>;

impl<K: Key, V: Value> Host for Arc<Local<K, V>> {
    type Key = K;
    type Result = Outcome<V>;
    type Work = Work<V>;
    type End = End<V>;
    type Limit = Limit;

    fn table(&self) -> &Table<K, V> {
        &self.table
    }

    fn generation(&self) -> u32 {
        Local::generation(self)
    }

    fn poll_work(&self, work: &mut Work<V>, cx: &mut Context<'_>) -> Poll<End<V>> {
        let _inside = self.tasks.enter();
        work.poll(&self.tasks, &self.overdue, |loaded| self.with_lives(loaded), cx)
    }

    fn drop_work(&self, work: Work<V>) {
        let _inside = self.tasks.enter();
        work.end();
    }

    fn end(&self, flight: Arc<Flight<K, V>>, work: Option<Work<V>>, end: End<V>, alone: bool) -> Outcome<V> {
        // Code of the user is dropped and called here, too.
        let _inside = self.tasks.enter();
        let ending = Ending::new(self, LedKey::Flight(flight));
        if let Some(work) = work {
            work.end();
        }
        if alone { ending.end_alone(end) } else { ending.end(end) }
    }

    fn is_answer(result: &Outcome<V>) -> bool {
        // A miss of one who had nothing to load with is none.
        !matches!(result, Outcome::Missed)
    }

    fn move_run(&self, run: &Arc<BatchRun>, looks: bool) -> bool {
        run.move_to_task(looks, Instant::now(), self.tasks.spawns())
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn has_runtime(&self) -> bool {
        self.tasks.handle().is_some()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    fn patience(&self) -> Limits {
        self.patience
    }

    fn limit(&self, after: Duration) -> Limit {
        self.tasks.limit(after)
    }

    fn is_over(&self, limit: &mut Limit, cx: &mut Context<'_>) -> bool {
        matches!(self.tasks.poll_limit(limit, cx), Poll::Ready(Ok(())))
    }

    fn ask(&self, hash: u64) -> bool {
        self.pulses.ask(hash)
    }

    fn is_alive(&self, hash: u64) -> bool {
        self.pulses.is_alive(hash)
    }

    fn is_waited_for(&self) {
        waits_for_the_cache();
    }
}
