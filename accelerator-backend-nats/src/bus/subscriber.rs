//! The one connection of a bus: who keeps it up, and whether that still runs.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use accelerator_core::{GapCause, StoreError, StoreErrorKind, StoreResult};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use crate::bus::driver;
use crate::bus::publishes::{Publish, Publishes};
use crate::bus::rare_warning::RareWarning;
use crate::bus::topics::{Change, Topics};
use crate::connection::dial::Dialer;

/// How much later than it said the task may give a sign of life on a busy runtime.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

/// What the handles, the streams and the task of a bus share.
pub(crate) struct Subscriber {
    pub(crate) dialer: Dialer,
    pub(crate) limits: SubscriberLimits,
    pub(crate) warning: RareWarning,
    pub(crate) publish_warning: RareWarning,
    /// Told when topics change, and when there is something to publish.
    pub(crate) changed: Notify,
    state: Mutex<State>,
    born: Instant,
    /// When the task gives its next sign of life at the latest, in milliseconds since `born`.
    due: AtomicU64,
}

/// How the connection is watched, and what waits for listeners.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubscriberLimits {
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) max_waiting: usize,
}

#[derive(Default)]
struct State {
    /// Which task this is the state of.
    epoch: u64,
    task: Task,
    topics: Topics,
    publishes: Publishes,
    /// A handle is there that has published: it will again.
    has_publisher: bool,
}

#[derive(Default)]
enum Task {
    #[default]
    None,
    Starting,
    Running(AbortHandle),
}

impl Subscriber {
    pub(crate) fn new(dialer: Dialer, limits: SubscriberLimits) -> Self {
        Self {
            dialer,
            limits,
            warning: RareWarning::default(),
            publish_warning: RareWarning::default(),
            changed: Notify::new(),
            state: Mutex::default(),
            born: Instant::now(),
            due: AtomicU64::new(0),
        }
    }

    pub(crate) fn topics<R>(&self, act: impl FnOnce(&mut Topics) -> R) -> R {
        act(&mut self.lock().topics)
    }

    /// Makes sure that a task is at it. False, if there is none and this is no runtime.
    pub(crate) fn start(self: &Arc<Self>) -> bool {
        let runtime = Handle::try_current();
        let epoch = {
            let mut state = self.lock();
            if !matches!(state.task, Task::None) {
                return true;
            }
            if runtime.is_err() {
                return false;
            }
            state.epoch += 1;
            state.task = Task::Starting;
            state.publishes.connecting();
            state.epoch
        };
        let Ok(runtime) = runtime else { return false };
        self.is_due_in(Duration::ZERO);
        // Outside of the lock: a runtime that shuts down drops the task at once, and that takes the lock.
        let task = runtime.spawn(driver::stay_connected(Tenure { of: Arc::clone(self), epoch })).abort_handle();
        let mut state = self.lock();
        if state.epoch == epoch && matches!(state.task, Task::Starting) {
            state.task = Task::Running(task);
        }
        true
    }

    /// Hands a message to the task. The answer comes there; nothing, if the connection is lost first.
    pub(crate) fn publish(
        self: &Arc<Self>,
        subject: Bytes,
        message: Bytes,
    ) -> StoreResult<oneshot::Receiver<StoreResult<()>>> {
        let at_it = self.start();
        // Whoever only publishes has no stream that looks after the task.
        self.leave_asleep();
        if !at_it || !self.start() {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "publish: it takes a tokio runtime (enable_all)"));
        }
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        state.has_publisher = true;
        state.publishes.add(Publish { subject, message, answer })?;
        drop(state);
        self.changed.notify_one();
        Ok(answered)
    }

    /// Nobody will publish any more.
    pub(crate) fn publishes_no_more(&self) {
        self.lock().has_publisher = false;
        self.changed.notify_one();
    }

    /// Why a publish has no answer.
    pub(crate) fn lost(&self) -> StoreError {
        self.lock().publishes.why()
    }

    /// Ends the task, if `epoch` is still the one that is there.
    fn end(&self, epoch: u64) {
        let (task, lost, wakers) = {
            let mut state = self.lock();
            if epoch != state.epoch {
                return;
            }
            state.epoch += 1;
            let task = mem::take(&mut state.task);
            (task, state.publishes.lost(), state.topics.disconnected(GapCause::Disconnected))
        };
        if let Task::Running(task) = task {
            task.abort();
        }
        drop(lost);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Leaves a task that has given no sign of life though it is due: its runtime, though alive, isn't run. How long until
    /// it is worth to look again.
    pub(crate) fn leave_asleep(&self) -> Duration {
        let epoch = self.lock().epoch;
        let due = self.born + Duration::from_millis(self.due.load(Ordering::Relaxed)) + SLACK;
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.end(epoch);
        }
        left.max(SLACK)
    }

    fn is_due_in(&self, time: Duration) {
        let due = u64::try_from((self.born.elapsed() + time).as_millis()).unwrap_or(u64::MAX);
        self.due.store(due, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A task's right to keep the connection up, until it is dropped or another has taken its place.
pub(crate) struct Tenure {
    pub(crate) of: Arc<Subscriber>,
    epoch: u64,
}

impl Tenure {
    /// A sign of life; the next follows within this time. False, if the task's time is over.
    pub(crate) fn lives(&self, next: Duration) -> bool {
        if self.of.lock().epoch != self.epoch {
            return false;
        }
        self.of.is_due_in(next);
        true
    }

    /// What the server has to be told, and what is to be published. None, if the task's time is over: another is at it, or
    /// nobody needs the connection.
    pub(crate) fn work(&self) -> Option<(Vec<Change>, Vec<Publish>)> {
        let mut state = self.of.lock();
        (!self.is_over_in(&mut state)).then(|| (state.topics.changes(), state.publishes.next()))
    }

    /// Whether another is at it, or nobody needs the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over_in(&mut self.of.lock())
    }

    fn is_over_in(&self, state: &mut State) -> bool {
        if state.epoch == self.epoch && state.topics.is_empty() && !state.has_publisher {
            // Under the lock: whoever needs it next finds no task, and starts one.
            state.epoch += 1;
            state.task = Task::None;
        }
        state.epoch != self.epoch
    }

    /// Whether something waits to be published.
    pub(crate) fn has_more(&self) -> bool {
        !self.of.lock().publishes.is_empty()
    }

    /// There is a new connection.
    pub(crate) fn connected(&self) {
        let mut state = self.of.lock();
        if state.epoch == self.epoch {
            state.topics.connected();
            state.publishes.connected();
        }
    }

    /// There is none.
    pub(crate) fn disconnected(&self, cause: GapCause, kind: StoreErrorKind, why: &str) {
        let (wakers, lost) = {
            let mut state = self.of.lock();
            if state.epoch != self.epoch {
                return;
            }
            (state.topics.disconnected(cause), state.publishes.disconnected(kind, why))
        };
        wakers.into_iter().for_each(Waker::wake);
        drop(lost);
    }

    pub(crate) fn deliver(&self, topic: u64, message: Option<&Bytes>) {
        self.with_topics(|topics| topics.deliver(topic, message, self.of.limits.max_waiting));
    }

    /// Acts on the topics, if the task's time isn't over, and wakes whom that concerns.
    pub(crate) fn with_topics(&self, act: impl FnOnce(&mut Topics) -> Vec<Waker>) {
        self.act(act).into_iter().flatten().for_each(Waker::wake);
    }

    /// Acts on the topics, if the task's time isn't over.
    pub(crate) fn act<R>(&self, act: impl FnOnce(&mut Topics) -> R) -> Option<R> {
        let mut state = self.of.lock();
        (state.epoch == self.epoch).then(|| act(&mut state.topics))
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.of.end(self.epoch);
    }
}
