//! Work in tasks, and who looks after it.
//!
//! A task may stand still: it is in a current-thread runtime that lives and is not inside of `block_on`. Nobody can tell
//! from outside. So whoever waits for work in a task looks at it now and then ([`Looks`]): the task is woken, and if that
//! changes nothing, another one in the runtime of who looks takes its place (`place.rs`). The work goes on where it was;
//! its limits move with it (`ticker.rs`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::level::bounds::{Key, Value};
use crate::level::flight::handoff::{Hand, Looked};
use crate::level::local::Flight;
use crate::level::local::commit::{Ending, Held};
use crate::level::time::looks::Looks;

/// A flight's work in a task. Dropped before its end (the runtime shuts down), it passes the flight on, unless another
/// task has the work by now.
struct InTask<K: Key, V: Value> {
    flight: Option<Arc<Flight<K, V>>>,
    number: u32,
}

impl<K: Key, V: Value> Future for InTask<K, V> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(flight) = this.flight.as_ref() else { return Poll::Ready(()) };
        let local = &flight.context;
        let Some(mut work) = flight.unpark(Hand::Task(this.number)) else {
            this.flight = None;
            return Poll::Ready(());
        };
        match work.poll(&local.tasks, &local.overdue, cx) {
            Poll::Pending => {
                flight.park_in_task(work, this.number, cx.waker());
                return Poll::Pending;
            }
            Poll::Ready(end) => {
                let local = local.clone();
                if let Some(flight) = this.flight.take() {
                    let ending = Ending::new(&local, Held::Flight(flight));
                    work.end();
                    ending.end(end);
                }
            }
        }
        Poll::Ready(())
    }
}

impl<K: Key, V: Value> Drop for InTask<K, V> {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        let Some(work) = flight.let_go(Hand::Task(self.number)) else { return };
        if let Some(work) = work {
            work.end();
        }
        flight.context.give_up(&flight, true);
    }
}

/// Somebody depends on the flight whom its leader doesn't know: its work moves into a task, where there is one.
pub(crate) fn move_to_task<K: Key, V: Value>(flight: &Arc<Flight<K, V>>) {
    look_at(flight, false);
}

/// Who has waited for the flight for a while looks at its work. `true`: it was in the middle of a poll.
pub(crate) fn look_after<K: Key, V: Value>(flight: &Arc<Flight<K, V>>) -> bool {
    look_at(flight, true)
}

fn look_at<K: Key, V: Value>(flight: &Arc<Flight<K, V>>, looks: bool) -> bool {
    let tasks = &flight.context.tasks;
    if tasks.handle().is_none() {
        return false;
    }
    if let Some(run) = flight.run() {
        return run.move_to_task(looks, Instant::now(), tasks.spawns());
    }
    detach(flight, looks) == Looked::Polled
}

/// The leader goes away. Without a runtime the work ends, and the flight is passed on.
pub(crate) fn leave_to_task<K: Key, V: Value>(flight: &Arc<Flight<K, V>>) {
    detach(flight, false);
}

fn detach<K: Key, V: Value>(flight: &Arc<Flight<K, V>>, looks: bool) -> Looked {
    let looked = flight.detach(looks, Instant::now());
    if let Looked::Task(hand) = looked {
        run_in_task(flight.clone(), hand);
    }
    looked
}

/// Runs the work of a flight to its end, whoever goes away; `hand` is what it was parked for.
pub(crate) fn run_in_task<K: Key, V: Value>(flight: Arc<Flight<K, V>>, hand: Hand) {
    if let Hand::Task(number) = hand {
        let local = flight.context.clone();
        // Without a runtime it is dropped, which passes the flight on.
        local.tasks.spawn(InTask { flight: Some(flight), number });
    }
}

/// A follower's eye on work that has limits of its own.
#[derive(Default)]
pub(crate) struct Watch {
    looks: Looks,
    // Since when every look found the work in the middle of a poll.
    polled: Option<tokio::time::Instant>,
}

impl Watch {
    /// Looks, where it is time to. `true`: the work is in the middle of one poll for longer than all of it may take.
    pub(crate) fn poll<K: Key, V: Value>(&mut self, flight: &Arc<Flight<K, V>>, cx: &mut Context<'_>) -> bool {
        self.looks.poll(&flight.context.tasks, cx) && self.look(flight)
    }

    /// One such look.
    pub(crate) fn look<K: Key, V: Value>(&mut self, flight: &Arc<Flight<K, V>>) -> bool {
        let local = &flight.context;
        if !look_after(flight) {
            self.polled = None;
            return false;
        }
        self.polled.get_or_insert_with(tokio::time::Instant::now).elapsed() > local.patience.patience
    }
}
