//! Work in tasks, and who looks after it.
//!
//! A task may stand still: it is in a current-thread runtime that lives and is not inside of `block_on`. Nobody can tell
//! from outside. So whoever waits for work in a task looks at it now and then (`watch.rs`): the task is woken, and if that
//! changes nothing, another one in the runtime of who looks takes its place (`flight/handoff.rs`). The work goes on where it was;
//! its limits move with it (`time/ticker.rs`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::level::drive::host::{FlightOf, Host, give_up};
use crate::level::flight::handoff::{LetGo, Looked, Poller};

/// A flight's work in a task. Dropped before its end (the runtime shuts down), it passes the flight on, unless another
/// task has the work by now.
pub(crate) struct InTask<H: Host> {
    flight: Option<Arc<FlightOf<H>>>,
    number: u32,
}

impl<H: Host> InTask<H> {
    /// For work that was parked for a task. `None`: it was parked for its leader.
    pub(crate) fn new(flight: Arc<FlightOf<H>>, hand: Poller) -> Option<Self> {
        match hand {
            Poller::Task(number) => Some(Self { flight: Some(flight), number }),
            Poller::Leader => None,
        }
    }
}

impl<H: Host> Future for InTask<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(flight) = this.flight.as_ref() else { return Poll::Ready(()) };
        let host = &flight.context;
        let Some(mut work) = flight.unpark(Poller::Task(this.number)) else {
            this.flight = None;
            return Poll::Ready(());
        };
        match host.poll_work(&mut work, cx) {
            Poll::Pending => {
                flight.park_in_task(work, this.number, cx.waker());
                return Poll::Pending;
            }
            Poll::Ready(end) => {
                let host = host.clone();
                if let Some(flight) = this.flight.take() {
                    host.end(flight, Some(work), end, false);
                }
            }
        }
        Poll::Ready(())
    }
}

impl<H: Host> Drop for InTask<H> {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        match flight.let_go(Poller::Task(self.number)) {
            LetGo::Work(work) => flight.context.drop_work(work),
            LetGo::Polled => {}
            LetGo::Elsewhere => return,
        }
        give_up(&flight, true);
    }
}

/// Somebody depends on the flight whom its leader doesn't know: its work moves into a task, where there is one.
pub(crate) fn move_to_task<H: Host>(flight: &Arc<FlightOf<H>>) {
    look_at(flight, false);
}

/// Who has waited for the flight for a while looks at its work. `true`: it was in the middle of a poll.
pub(crate) fn look_after<H: Host>(flight: &Arc<FlightOf<H>>) -> bool {
    look_at(flight, true)
}

fn look_at<H: Host>(flight: &Arc<FlightOf<H>>, looks: bool) -> bool {
    let host = &flight.context;
    if !host.has_runtime() {
        return false;
    }
    if let Some(run) = flight.run() {
        return host.move_run(&run, looks);
    }
    detach(flight, looks) == Looked::Polled
}

/// The leader goes away. Without a runtime the work ends, and the flight is passed on.
pub(crate) fn leave_to_task<H: Host>(flight: &Arc<FlightOf<H>>) {
    detach(flight, false);
}

fn detach<H: Host>(flight: &Arc<FlightOf<H>>, looks: bool) -> Looked {
    let looked = flight.detach(looks, flight.context.now());
    if let Looked::Task(hand) = looked {
        run_in_task(flight.clone(), hand);
    }
    looked
}

/// Runs the work of a flight to its end, whoever goes away; `hand` is what it was parked for.
pub(crate) fn run_in_task<H: Host>(flight: Arc<FlightOf<H>>, hand: Poller) {
    let host = flight.context.clone();
    if let Some(task) = InTask::new(flight, hand) {
        // Without a runtime it is dropped, which passes the flight on.
        host.spawn(task);
    }
}
