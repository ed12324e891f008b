//! A run: work that many depend on. Its leader polls it in place until somebody else needs it in a task; then the leader
//! waits for its report like everybody else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::level::flight::handoff::{Handoff, Looked, Poller};
use crate::sync::{Mutex, lock};
use crate::wake::wake;

/// Where the work `W` of a run is.
pub(crate) struct SharedRun<W> {
    place: Mutex<Handoff<W>>,
}

impl<W> SharedRun<W> {
    /// Its work is about to [`begin`](Self::begin).
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(Handoff::polling()) })
    }

    /// The work is ready to be polled by the leader or, if somebody followed meanwhile, in a task.
    pub(crate) fn begin(self: &Arc<Self>, work: W, spawn: impl FnOnce(SharedRunTask<W>)) {
        self.park(work, Waker::noop(), spawn);
    }

    /// Whether it waits for the leader.
    fn park(self: &Arc<Self>, work: W, leader: &Waker, spawn: impl FnOnce(SharedRunTask<W>)) -> bool {
        let leader = leader.clone();
        let detached = lock(&self.place).park(work, leader);
        let is_parked = detached.is_none();
        if let Some(hand) = detached {
            spawn(SharedRunTask { run: self.clone(), hand });
        }
        is_parked
    }

    /// The leader polls. `true`: the work waits for it, who is woken then. Else it is over or in a task, and the leader
    /// waits for the report; it must not do so before, or its own poll would wake it.
    pub(crate) fn poll(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut W, &mut Context<'_>) -> Poll<()>,
        spawn: impl FnOnce(SharedRunTask<W>),
    ) -> bool {
        let unparked = lock(&self.place).unpark(Poller::Leader);
        let Some(mut work) = unparked else { return false };
        poll(&mut work, cx).is_pending() && self.park(work, cx.waker(), spawn)
    }

    /// Somebody depends on it whom the leader doesn't know, or the leader goes away. `looks`: who does so has waited for
    /// a while, until `now`. `true`: it was found in the middle of a poll.
    pub(crate) fn move_to_task(
        self: &Arc<Self>,
        looks: bool,
        now: Instant,
        spawn: impl FnOnce(SharedRunTask<W>),
    ) -> bool {
        let need = lock(&self.place).detach(looks, now);
        let looked = need.wake();
        if let Looked::Task(hand) = looked {
            spawn(SharedRunTask { run: self.clone(), hand });
        }
        looked == Looked::Polled
    }
}

/// The work of a run in a task. Dropped before its end, it drops the work, unless another task has it by now.
pub(crate) struct SharedRunTask<W> {
    run: Arc<SharedRun<W>>,
    hand: Poller,
}

impl<W: Future<Output = ()> + Unpin> Future for SharedRunTask<W> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Poller::Task(number) = self.hand else { return Poll::Ready(()) };
        let unparked = lock(&self.run.place).unpark(self.hand);
        // It is over for this task: it was replaced.
        let Some(mut work) = unparked else { return Poll::Ready(()) };
        if Pin::new(&mut work).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let task = cx.waker().clone();
        lock(&self.run.place).park_in_task(work, number, task);
        Poll::Pending
    }
}

impl<W> Drop for SharedRunTask<W> {
    fn drop(&mut self) {
        let work = lock(&self.run.place).let_go(self.hand);
        drop(work);
    }
}

/// What the leader of a run waits for, wherever the run ends.
pub(crate) struct Report<T>(Mutex<ReportState<T>>);

enum ReportState<T> {
    NotYet(Option<Waker>),
    Over(Option<T>),
}

impl<T> Report<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(ReportState::NotYet(None))))
    }

    /// The run is over.
    pub(crate) fn tell(&self, what: T) {
        let before = std::mem::replace(&mut *lock(&self.0), ReportState::Over(Some(what)));
        if let ReportState::NotYet(Some(leader)) = before {
            wake(leader);
        }
    }

    /// What was told; `None` after it was taken.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // A waker is foreign code: it is cloned before there is a lock, and dropped after.
        let waker = cx.waker().clone();
        let mut told = lock(&self.0);
        match &mut *told {
            ReportState::Over(what) => Poll::Ready(what.take()),
            ReportState::NotYet(leader) => {
                let before = leader.replace(waker);
                drop(told);
                drop(before);
                Poll::Pending
            }
        }
    }
}
