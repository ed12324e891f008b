//! The one connection that a bus listens with: who keeps it up, and whether that still runs.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use accelerator_core::GapCause;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::bus::driver;
use crate::bus::rare_warning::RareWarning;
use crate::bus::topics::{Change, Topics};
use crate::connection::SharedConnection;

/// How much later than it said the task may give a sign of life on a busy runtime.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

/// What the handles, the streams and the task of a bus share.
pub(crate) struct Subscriber {
    pub(crate) server: Arc<SharedConnection>,
    pub(crate) limits: SubscriberLimits,
    pub(crate) warning: RareWarning,
    /// Told when topics change.
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
    pub(crate) max_message_bytes: usize,
    pub(crate) max_waiting: usize,
}

#[derive(Default)]
struct State {
    /// Which task this is the state of.
    epoch: u64,
    task: Task,
    topics: Topics,
}

#[derive(Default)]
enum Task {
    #[default]
    None,
    Starting,
    Running(AbortHandle),
}

impl Subscriber {
    pub(crate) fn new(server: Arc<SharedConnection>, limits: SubscriberLimits) -> Self {
        Self {
            server,
            limits,
            warning: RareWarning::default(),
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
            state.epoch
        };
        let Ok(runtime) = runtime else { return false };
        self.is_due_in(Duration::ZERO);
        // Outside of the lock: a runtime that shuts down drops the task at once, and that takes the lock.
        let task = runtime.spawn(driver::stay_subscribed(Tenure { of: Arc::clone(self), epoch })).abort_handle();
        let mut state = self.lock();
        if state.epoch == epoch && matches!(state.task, Task::Starting) {
            state.task = Task::Running(task);
        }
        true
    }

    /// Ends the task, if `epoch` is still the one that is there.
    fn end(&self, epoch: u64) {
        let (task, wakers) = {
            let mut state = self.lock();
            if epoch != state.epoch {
                return;
            }
            state.epoch += 1;
            let task = mem::take(&mut state.task);
            (task, state.topics.disconnected(GapCause::Disconnected))
        };
        if let Task::Running(task) = task {
            task.abort();
        }
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

    /// What the server has to be told. None, if the task's time is over: another is at it, or nobody listens.
    pub(crate) fn changes(&self) -> Option<Vec<Change>> {
        let mut state = self.of.lock();
        (!self.is_over_in(&mut state)).then(|| state.topics.changes())
    }

    /// Whether another is at it, or nobody listens.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over_in(&mut self.of.lock())
    }

    fn is_over_in(&self, state: &mut State) -> bool {
        if state.epoch == self.epoch && state.topics.is_empty() {
            // Under the lock: whoever listens next finds no task, and starts one.
            state.epoch += 1;
            state.task = Task::None;
        }
        state.epoch != self.epoch
    }

    /// There is a new connection.
    pub(crate) fn connected(&self) {
        self.with_topics(|topics| {
            topics.connected();
            Vec::new()
        });
    }

    /// There is none.
    pub(crate) fn disconnected(&self, cause: GapCause) {
        self.with_topics(|topics| topics.disconnected(cause));
    }

    pub(crate) fn deliver(&self, channel: &Bytes, message: Option<&Bytes>) {
        self.with_topics(|topics| topics.deliver(channel, message, self.of.limits.max_waiting));
    }

    /// Acts on the topics, if the task's time isn't over.
    pub(crate) fn with_topics(&self, act: impl FnOnce(&mut Topics) -> Vec<Waker>) {
        let wakers = {
            let mut state = self.of.lock();
            if state.epoch == self.epoch { act(&mut state.topics) } else { Vec::new() }
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.of.end(self.epoch);
    }
}
