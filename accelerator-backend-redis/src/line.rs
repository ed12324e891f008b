//! The connection of one store, as its calls see it: there or not, and never waited for.
//!
//! One task of the store (`keeper`) connects, carries the connection and connects again. It runs on the runtime of
//! whichever call first found nobody at it, and dies with that runtime; the next call then starts another.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use redis::aio::MultiplexedConnection;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::dial::{Connected, Dialer};
use crate::keeper;

/// How long nothing is written after the server refused to.
const COOL_DOWN: Duration = Duration::from_secs(1);
/// A task that has missed this many of its regular looks isn't run any more.
const MISSED_LOOKS: u32 = 4;

pub(crate) struct Line {
    pub(crate) dialer: Dialer,
    /// How long the server may be silent while calls wait.
    pub(crate) silence: Duration,
    state: RwLock<State>,
    born: Instant,
    /// A call was sent since somebody looked.
    asked: AtomicBool,
    /// An answer came since somebody looked.
    heard: AtomicBool,
    /// The server said that it is a replica.
    replica: AtomicBool,
    /// The server is older than `SET .. NX GET`.
    old: AtomicBool,
    /// When the task last looked, in milliseconds since `born`.
    looked: AtomicU64,
    /// Until when nothing is written, in the same; zero: not at all.
    cool_until: AtomicU64,
}

struct State {
    /// Which task this is the state of.
    epoch: u64,
    task: Task,
    connection: Option<MultiplexedConnection>,
    /// Why there is none, where there is none.
    missing: Missing,
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
    /// The runtime of the task has ended, or isn't run.
    Asleep,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTried => "not tried yet",
            Self::NoRuntime => "it takes a tokio runtime with I/O and time",
            Self::Connecting => "connecting",
            Self::Failed(why) => why,
            Self::Closed => "the server closed the connection",
            Self::Silent => "the server was silent",
            Self::Replica => "the server has become a replica",
            Self::Asleep => "the runtime of the connection has ended or isn't run",
        })
    }
}

enum Task {
    None,
    Starting,
    Running(AbortHandle),
}

impl Line {
    pub(crate) fn new(dialer: Dialer, silence: Duration) -> Self {
        let state = State { epoch: 0, task: Task::None, connection: None, missing: Missing::NotTried };
        Self {
            dialer,
            silence,
            state: RwLock::new(state),
            born: Instant::now(),
            asked: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            replica: AtomicBool::new(false),
            old: AtomicBool::new(false),
            looked: AtomicU64::new(0),
            cool_until: AtomicU64::new(0),
        }
    }

    /// The connection, if there is one now. If there isn't and nobody is at it, a task starts to connect.
    pub(crate) fn connection(self: &Arc<Self>) -> StoreResult<MultiplexedConnection> {
        if let Some(connection) = &self.read().connection {
            raise(&self.asked);
            return Ok(connection.clone());
        }
        if self.is_asleep(self.dialer.limit + keeper::LONGEST_REFUSED_WAIT) {
            self.end(None, Missing::Asleep);
        }
        self.start(None);
        let context = format!("not connected to {}: {}", self.dialer.target, self.missing());
        Err(StoreError::new(StoreErrorKind::Unavailable, context))
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
        let Ok(runtime) = Handle::try_current() else { return self.missing_runtime() };
        let epoch = {
            let mut state = self.write();
            if !matches!(state.task, Task::None) {
                return;
            }
            state.epoch += 1;
            state.task = Task::Starting;
            state.missing = Missing::Connecting;
            state.connection = first.as_ref().map(|first| first.connection.clone());
            state.epoch
        };
        self.look();
        // Outside of the lock: a runtime that shuts down drops the task at once, and that takes the lock.
        let task = runtime.spawn(keeper::keep(Tenure { line: Arc::clone(self), epoch }, first)).abort_handle();
        let mut state = self.write();
        if state.epoch == epoch && matches!(state.task, Task::Starting) {
            state.task = Task::Running(task);
        }
    }

    fn missing_runtime(&self) {
        let mut state = self.write();
        if matches!(state.task, Task::None) {
            state.missing = Missing::NoRuntime;
        }
    }

    /// Ends the task and the connection, if `epoch` (or `None`: whichever) is still the one that is there.
    fn end(&self, epoch: Option<u64>, why: Missing) {
        let (task, connection) = {
            let mut state = self.write();
            if epoch.is_some_and(|epoch| epoch != state.epoch) {
                return;
            }
            state.epoch += 1;
            state.missing = why;
            (mem::replace(&mut state.task, Task::None), state.connection.take())
        };
        if let Task::Running(task) = task {
            task.abort();
        }
        drop(connection);
    }

    /// The last handle is gone.
    pub(crate) fn close(&self) {
        self.end(None, Missing::Closed);
    }

    /// Nobody waits any more for an answer that hasn't come. Where the task isn't run, none ever will: the next call
    /// starts another.
    fn abandoned(&self) {
        if self.is_asleep(Duration::ZERO) {
            self.end(None, Missing::Asleep);
        }
    }

    /// Whether the task hasn't looked for so long that its runtime, though alive, can't be running it. `more` is what
    /// else the task may have been waiting for.
    fn is_asleep(&self, more: Duration) -> bool {
        let overdue = self.silence * MISSED_LOOKS + more;
        self.now().saturating_sub(self.looked.load(Ordering::Relaxed)) > millis(overdue)
    }

    /// An answer came, of whatever kind.
    pub(crate) fn hear(&self) {
        raise(&self.heard);
    }

    /// Nothing is written for a moment: the server refused to.
    pub(crate) fn cool_down(&self) {
        self.cool_until.store(self.now() + millis(COOL_DOWN), Ordering::Relaxed);
    }

    pub(crate) fn is_cooling(&self) -> bool {
        let until = self.cool_until.load(Ordering::Relaxed);
        until != 0 && self.now() < until
    }

    pub(crate) fn note_replica(&self) {
        raise(&self.replica);
    }

    pub(crate) fn note_old(&self) {
        raise(&self.old);
    }

    pub(crate) fn is_old(&self) -> bool {
        self.old.load(Ordering::Relaxed)
    }

    fn look(&self) {
        self.looked.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.born.elapsed())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's right to say what the state is, until it is dropped or another has taken its place.
pub(crate) struct Tenure {
    pub(crate) line: Arc<Line>,
    epoch: u64,
}

impl Tenure {
    /// There is a connection. False, if this task's time is over.
    pub(crate) fn up(&self, connection: MultiplexedConnection) -> bool {
        self.line.old.store(false, Ordering::Relaxed);
        self.line.cool_until.store(0, Ordering::Relaxed);
        self.put(Some(connection), Missing::Connecting)
    }

    /// There is none, and why. False, if this task's time is over.
    pub(crate) fn down(&self, why: Missing) -> bool {
        self.put(None, why)
    }

    fn put(&self, connection: Option<MultiplexedConnection>, missing: Missing) -> bool {
        self.line.look();
        let mut state = self.line.write();
        if state.epoch != self.epoch {
            return false;
        }
        let before = mem::replace(&mut state.connection, connection);
        state.missing = missing;
        drop(state);
        drop(before);
        true
    }

    /// A regular look at what happened since the last.
    pub(crate) fn look(&self) -> Look {
        self.line.look();
        let heard = self.line.heard.swap(false, Ordering::Relaxed);
        Look {
            heard,
            // Kept beside an answer, which may be that of an earlier call.
            asked: !heard && self.line.asked.swap(false, Ordering::Relaxed),
            replica: self.line.replica.swap(false, Ordering::Relaxed),
        }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        // A panic is one of tokio's: the runtime has no driver for what the task asked of it.
        let why = if std::thread::panicking() { Missing::NoRuntime } else { Missing::Asleep };
        self.line.end(Some(self.epoch), why);
    }
}

pub(crate) struct Look {
    pub(crate) heard: bool,
    pub(crate) asked: bool,
    pub(crate) replica: bool,
}

/// A call that waits for its answer.
pub(crate) struct Waiting<'a> {
    line: &'a Line,
    answered: bool,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(line: &'a Line) -> Self {
        Self { line, answered: false }
    }

    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.line.abandoned();
        }
    }
}

/// Sets a flag that many set and one clears: mostly it is set already, and reading is cheaper.
fn raise(flag: &AtomicBool) {
    if !flag.load(Ordering::Relaxed) {
        flag.store(true, Ordering::Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
