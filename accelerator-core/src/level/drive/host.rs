//! What drives flights needs of the cache around it. The cache is one host; the proofs have a small one of their own, so
//! that they run this room's code as it is.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::level::flight::patience::Limits;
use crate::level::flight::slots::SlotTable;
use crate::level::flight::state::{Flight, Left, Parked};

/// A flight of the host `H`.
pub(crate) type FlightOf<H> = Flight<<H as Host>::Key, <H as Host>::Result, <H as Host>::Work, H>;

/// A cache whose flights are driven. Clones are the same one.
pub(crate) trait Host: Clone + Send + Sync + 'static {
    type Key: Hash + Eq + Clone + Send + Sync + 'static;
    /// How a flight ended, for all who wait.
    type Result: Clone + Send + Sync + 'static;
    type Work: Parked<Run: Send + Sync> + Send + 'static;
    /// How its work ended.
    type End;
    /// A wait that ends.
    type Limit: Send + Unpin;

    fn table(&self) -> &SlotTable<Self::Key, Self::Result, Self::Work, Self>;

    fn generation(&self) -> u32;

    /// One poll of a flight's work.
    fn poll_work(&self, work: &mut Self::Work, cx: &mut Context<'_>) -> Poll<Self::End>;

    /// Drops work that is not wanted any more.
    fn drop_work(&self, work: Self::Work);

    /// Ends a flight by what its work ended with, and drops that. `alone`: for a read of this key alone. Whatever panics,
    /// those who wait hear of the end.
    fn end(&self, flight: Arc<FlightOf<Self>>, work: Option<Self::Work>, end: Self::End, alone: bool) -> Self::Result;

    /// Whether a leader takes this result of another leader for its own.
    fn is_answer(result: &Self::Result) -> bool;

    /// Moves the work of a run, which is that of many flights, into a task. `looks`: who does so has waited for a while.
    /// `true`: it was found in the middle of a poll.
    fn move_run(&self, run: &<Self::Work as Parked>::Run, looks: bool) -> bool;

    /// The time by which work is looked after.
    fn now(&self) -> Instant;

    fn has_runtime(&self) -> bool;

    /// Runs a task. Without a runtime it is dropped.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// How long those wait who wait for a caller's own load.
    fn patience(&self) -> Limits;

    /// A wait that begins when it is first polled.
    fn limit(&self, after: Duration) -> Self::Limit;

    /// Whether the wait is over; who polls is woken when it is. Without a runtime it never is.
    fn is_over(&self, limit: &mut Self::Limit, cx: &mut Context<'_>) -> bool;

    /// Wakes whoever loads a key with this hash. `false`: nobody who could be.
    fn ask(&self, hash: u64) -> bool;

    /// Whether one of those who load such a key was polled since it was asked.
    fn is_alive(&self, hash: u64) -> bool;

    /// Whoever is polled right now waits for somebody's ticket.
    fn is_waited_for(&self);
}

/// Ends the registration of a flight without touching L1.
pub(crate) fn release<H: Host>(flight: &Arc<FlightOf<H>>) {
    let host = &flight.context;
    host.table().commit(flight.key(), flight.hash(), flight.token(), Some(flight), || host.generation(), |_| {});
}

/// Ends the registration of one leader of a flight that others lead, or that is over.
pub(crate) fn unregister<H: Host>(flight: &FlightOf<H>) {
    let host = &flight.context;
    host.table().commit(flight.key(), flight.hash(), flight.token(), None, || host.generation(), |_| {});
}

/// A leader of a flight gives up: the next who waits takes over, or the flight ends; unless others lead. `works`: by the
/// work of the flight, not with a ticket.
pub(crate) fn give_up<H: Host>(flight: &Arc<FlightOf<H>>, works: bool) {
    match flight.vacate(works) {
        Left::LoadsWith => {}
        Left::Others => unregister(flight),
        Left::Nobody => release(flight),
    }
}
