//! The connection of one store, as its calls see it: there or not. Only the end of a task's first try is waited for: until
//! then nobody knows whether there is a server.
//!
//! One task of the store (`reconnect`) connects, carries the connection and connects again. It runs on the runtime in which
//! the store was built, or of whichever call first found nobody at it, and dies with that runtime; the next call then
//! starts another.

pub(crate) mod clock;
pub(crate) mod dial;
mod handshake;
pub(crate) mod health;
pub(crate) mod mget_first;
pub(crate) mod reconnect;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::connection::dial::{Connected, Dialer};
use crate::connection::health::{Health, Look};

/// A task that has missed this many of its regular looks isn't run any more.
const MISSED_LOOKS: u32 = 4;
/// How much later than its limit a first try may end on a busy runtime.
const SLACK: Duration = Duration::from_millis(50);

/// What the task of a store and its calls share: the connection, if there is one, and why there is none.
pub(crate) struct SharedConnection {
    pub(crate) dialer: Dialer,
    /// How long the server may be silent while calls wait.
    pub(crate) silence: Duration,
    pub(crate) health: Health,
    state: RwLock<State>,
    /// Told when a first try has ended, however.
    tried: Notify,
}

struct State {
    /// Which task this is the state of.
    epoch: u64,
    task: Task,
    /// The first try of the task is under way, and has to end by then.
    first_try: Option<Instant>,
    connection: Option<MultiplexedConnection>,
    /// Why there is none, where there is none.
    missing: Missing,
}

enum Task {
    None,
    Starting,
    Running(AbortHandle),
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(crate) enum Missing {
    NotTried,
    NoRuntime,
    Connecting,
    /// The last try failed.
    Failed(String),
    Closed,
    Silent,
    Replica,
    /// The runtime of the task has ended, or isn't run; or the task panicked, as it does where the runtime can't do
    /// what it needs.
    Asleep,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTried => "not tried yet",
            Self::NoRuntime => "it takes a tokio runtime",
            Self::Connecting => "connecting",
            Self::Failed(why) => why,
            Self::Closed => "the server closed the connection",
            Self::Silent => "the server was silent",
            Self::Replica => "the server has become a replica",
            Self::Asleep => "the runtime of the connection has ended, isn't run, or has no I/O or time (enable_all)",
        })
    }
}

impl SharedConnection {
    pub(crate) fn new(dialer: Dialer, silence: Duration) -> Self {
        let state = State { epoch: 0, task: Task::None, first_try: None, connection: None, missing: Missing::NotTried };
        Self { dialer, silence, health: Health::new(), state: RwLock::new(state), tried: Notify::new() }
    }

    /// The connection, if there is one now. If there isn't and nobody is at it, a task starts to connect.
    pub(crate) fn connection(self: &Arc<Self>) -> StoreResult<MultiplexedConnection> {
        if let Some(connection) = &self.read().connection {
            self.health.ask();
            return Ok(connection.clone());
        }
        self.leave_asleep(self.dialer.limit + reconnect::LONGEST_REFUSED_WAIT);
        self.start(None);
        Err(self.unavailable())
    }

    /// The connection, where there was none a moment ago: waits for the end of the first try, no longer than the try may
    /// take. After it the answer is the same as without waiting.
    pub(crate) async fn first_connection(self: &Arc<Self>) -> StoreResult<MultiplexedConnection> {
        // On a runtime that runs only while it is called, this is the moment for the task to connect.
        tokio::task::yield_now().await;
        loop {
            let mut tried = pin!(self.tried.notified());
            // From here on no end is missed.
            tried.as_mut().enable();
            let (epoch, first_try) = {
                let state = self.read();
                match (&state.connection, state.first_try) {
                    (Some(connection), _) => {
                        self.health.ask();
                        return Ok(connection.clone());
                    }
                    (None, None) => break,
                    (None, Some(until)) => (state.epoch, until),
                }
            };
            let left = first_try.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // A task that is run has ended its try by now: this one sits in a runtime that nobody runs.
                self.end(epoch, Missing::Asleep);
                self.start(None);
                continue;
            }
            // A runtime that has no timers says so by a panic, and has no connection to wait for either.
            let Ok(end) = catch_unwind(AssertUnwindSafe(|| timeout(left, tried))) else { break };
            // Over or not, the state says what is.
            let _ = end.await;
        }
        Err(self.unavailable())
    }

    fn unavailable(&self) -> StoreError {
        let context = format!("not connected to {}: {}", self.dialer.target, self.missing());
        StoreError::new(StoreErrorKind::Unavailable, context)
    }

    /// Why there is no connection, or was none.
    pub(crate) fn missing(&self) -> Missing {
        self.read().missing.clone()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.read().connection.is_some()
    }

    /// Starts the task, unless there is one. Without a runtime there can't be any.
    pub(crate) fn start(self: &Arc<Self>, first: Option<Connected>) {
        let runtime = Handle::try_current();
        let epoch = {
            let mut state = self.write();
            match (&state.task, &runtime) {
                (Task::None, Ok(_)) => {}
                (Task::None, Err(_)) => return state.missing = Missing::NoRuntime,
                _ => return,
            }
            state.epoch += 1;
            state.task = Task::Starting;
            // Else what ended the last task is worth more.
            if matches!(state.missing, Missing::NotTried | Missing::NoRuntime) {
                state.missing = Missing::Connecting;
            }
            state.first_try = first.is_none().then(|| Instant::now() + self.dialer.limit + SLACK);
            state.connection = first.as_ref().map(|first| first.connection.clone());
            state.epoch
        };
        let Ok(runtime) = runtime else { return };
        self.health.pulse();
        // Outside of the lock: a runtime that shuts down drops the task at once, and that takes the lock.
        let task = runtime
            .spawn(reconnect::stay_connected(EpochGuard { shared: Arc::clone(self), epoch }, first))
            .abort_handle();
        let mut state = self.write();
        if state.epoch == epoch {
            state.task = Task::Running(task);
        }
    }

    /// Ends the task and the connection, if `epoch` is still the one that is there.
    fn end(&self, epoch: u64, why: Missing) {
        let (task, connection) = {
            let mut state = self.write();
            if epoch != state.epoch {
                return;
            }
            state.epoch += 1;
            state.missing = why;
            state.first_try = None;
            (mem::replace(&mut state.task, Task::None), state.connection.take())
        };
        self.tried.notify_waiters();
        if let Task::Running(task) = task {
            task.abort();
        }
        drop(connection);
    }

    /// The last handle is gone.
    pub(crate) fn close(&self) {
        let epoch = self.read().epoch;
        self.end(epoch, Missing::Closed);
    }

    /// Leaves a task that hasn't looked for so long that its runtime, though alive, can't be running it: the next call
    /// starts another. `more` is what else the task may have been waiting for.
    fn leave_asleep(&self, more: Duration) {
        let epoch = self.read().epoch;
        if self.health.without_pulse() > self.silence * MISSED_LOOKS + more {
            self.end(epoch, Missing::Asleep);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's right to say what the state is, until it is dropped or another has taken its place.
pub(crate) struct EpochGuard {
    pub(crate) shared: Arc<SharedConnection>,
    epoch: u64,
}

impl EpochGuard {
    /// There is a connection. False, if this task's time is over.
    pub(crate) fn up(&self, connection: MultiplexedConnection) -> bool {
        self.shared.health.forget_server();
        self.put(Some(connection), Missing::Connecting)
    }

    /// There is none, and why. False, if this task's time is over.
    pub(crate) fn down(&self, why: Missing) -> bool {
        self.put(None, why)
    }

    fn put(&self, connection: Option<MultiplexedConnection>, missing: Missing) -> bool {
        self.shared.health.pulse();
        let mut state = self.shared.write();
        if state.epoch != self.epoch {
            return false;
        }
        let before = mem::replace(&mut state.connection, connection);
        state.missing = missing;
        state.first_try = None;
        drop(state);
        self.shared.tried.notify_waiters();
        drop(before);
        true
    }

    /// A regular look at what happened since the last. None, if this task's time is over.
    pub(crate) fn look(&self) -> Option<Look> {
        (self.shared.read().epoch == self.epoch).then(|| self.shared.health.look())
    }
}

impl Drop for EpochGuard {
    fn drop(&mut self) {
        self.shared.end(self.epoch, Missing::Asleep);
    }
}

/// A call that waits for its answer.
pub(crate) struct Waiting<'a> {
    shared: &'a SharedConnection,
    answered: bool,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(shared: &'a SharedConnection) -> Self {
        shared.health.wait();
        Self { shared, answered: false }
    }

    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.health.wait_no_more();
        // Given up: where the task isn't run, no answer will ever come.
        if !self.answered {
            self.shared.leave_asleep(Duration::ZERO);
        }
    }
}
