//! One flight: the load of one key that many may wait for.
//!
//! A flight is led by a caller who polls the work in place, by a task, or by whoever holds a ticket. Where the holder of
//! a ticket is late, one of those who wait leads beside it; the first end counts. When the last of them disappears the
//! flight is vacant and the next who waits takes over; when nobody waits it is gone, and whoever still comes starts again.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::time::Instant;

use crate::level::patience::{Limits, Next, Patience};
use crate::level::place::Place;
use crate::level::slots::Token;
use crate::sync::{Mutex, MutexGuard, lock};

/// Parked work, which may be that of many flights together.
pub(crate) trait Parked {
    /// What these have in common.
    type Run: Clone;

    /// A flight's part in it.
    fn of_run(run: Self::Run) -> Self;

    /// Whether this is a part of it.
    fn is_of_run(&self, run: &Self::Run) -> bool;
}

/// A load of `key` with result `R`, parked work `W` and context `X`.
pub(crate) struct Flight<K, R, W, X> {
    key: K,
    hash: u64,
    token: Token,
    pub(crate) context: X,
    result: OnceLock<R>,
    state: Mutex<State<W>>,
}

struct State<W> {
    phase: Phase<W>,
    // `result` is set. Leaders who came too late may still be at work.
    over: bool,
    // Each is registered in the key's slot.
    leaders: u32,
    waiting: Slab<Waker>,
    patience: Patience,
    // Led by a caller's own future: those who wait must limit their wait themselves.
    borrowed: bool,
}

enum Phase<W> {
    /// Work with limits of its own.
    Work(Place<W>),
    /// A caller loads.
    Ticket,
    /// The leader disappeared; the next who waits takes over.
    Vacant,
    /// Nobody waited: whoever holds this flight starts again.
    Gone,
}

/// What a leader leaves behind that gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Somebody who waits takes over, with the registration.
    Heir,
    /// Others lead, or the flight is over: the registration ends, and nothing else.
    Others,
    /// Nobody waits: the flight ends with the registration.
    Nobody,
}

/// What a wait ended with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// `result()` is there.
    Done,
    /// The caller leads now, with a ticket.
    Lead,
    /// The flight is gone: start again.
    Restart,
}

impl<K, R, W, X> Flight<K, R, W, X> {
    /// `borrowed`: the leader holds a ticket; else it is about to poll work.
    pub(crate) fn new(key: K, hash: u64, token: Token, borrowed: bool, context: X) -> Self {
        let phase = if borrowed { Phase::Ticket } else { Phase::Work(Place::polling()) };
        Self::in_phase(key, hash, token, phase, borrowed, context)
    }

    /// With work that the leader polls together with that of other flights.
    pub(crate) fn parked(key: K, hash: u64, token: Token, work: W, context: X) -> Self {
        Self::in_phase(key, hash, token, Phase::Work(Place::parked(work)), false, context)
    }

    fn in_phase(key: K, hash: u64, token: Token, phase: Phase<W>, borrowed: bool, context: X) -> Self {
        let (waiting, patience) = (Slab::new(), Patience::default());
        let state = Mutex::new(State { phase, over: false, leaders: 1, waiting, patience, borrowed });
        Self { key, hash, token, context, result: OnceLock::new(), state }
    }

    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn result(&self) -> Option<&R> {
        self.result.get()
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        lock(&self.state)
    }

    fn place<T>(&self, f: impl FnOnce(&mut Place<W>) -> Option<T>) -> Option<T> {
        match &mut self.state().phase {
            Phase::Work(place) => f(place),
            _ => None,
        }
    }

    /// See [`Place::unpark`].
    pub(crate) fn unpark(&self) -> Option<W> {
        self.place(Place::unpark)
    }

    /// See [`Place::park`].
    pub(crate) fn park(&self, work: W, leader: &Waker) -> Option<W> {
        // Foreign code, and not to be run under the lock.
        let leader = leader.clone();
        match &mut self.state().phase {
            Phase::Work(place) => place.park(work, leader),
            _ => Some(work),
        }
    }

    /// See [`Place::detach`].
    pub(crate) fn detach(&self) -> Option<W> {
        let (work, leader) = self.place(Place::detach)?;
        #[cfg(not(accelerator_mutant = "detach-forgets-leader"))]
        leader.wake();
        Some(work)
    }

    /// Whether the flight waits for the leader of `run` to poll.
    pub(crate) fn is_parked_in(&self, run: &W::Run) -> bool
    where
        W: Parked,
    {
        matches!(&self.state().phase, Phase::Work(Place::Parked { work, .. }) if work.is_of_run(run))
    }

    /// The holder of a ticket starts work with limits of its own instead. `false`: another leader has ended the flight.
    #[must_use]
    pub(crate) fn start_work(&self) -> bool {
        let mut state = self.state();
        if !state.over {
            state.phase = Phase::Work(Place::polling());
        }
        !state.over
    }

    /// Whether anybody but the leader is known to wait.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Whether those who wait must limit their wait.
    pub(crate) fn is_borrowed(&self) -> bool {
        self.state().borrowed
    }

    /// Waits; `seat` is the caller's place among those who wait, kept between polls and given back with
    /// [`leave`](Flight::leave). `borrows`: the caller would lead with a future of its own.
    pub(crate) fn poll_wait(&self, seat: &mut Option<usize>, borrows: bool, cx: &mut Context<'_>) -> Poll<Turn> {
        let mut others = Vec::new();
        // A waker is foreign code: it is cloned before there is a lock, and dropped after.
        let mut waker = cx.waker().clone();
        let mut state = self.state();
        let turn = match state.phase {
            _ if state.over => Turn::Done,
            Phase::Gone => Turn::Restart,
            Phase::Vacant => {
                (state.phase, state.leaders) = (Phase::Ticket, 1);
                state.patience.given(Instant::now());
                if borrows && !state.borrowed {
                    // Those who wait did so for work with limits; let them look again.
                    state.borrowed = true;
                    others.extend(state.waiting.iter().map(|(_, waker)| waker.clone()));
                }
                Turn::Lead
            }
            Phase::Work(_) | Phase::Ticket => {
                let known = seat.and_then(|seat| state.waiting.get_mut(seat));
                match known {
                    Some(known) => std::mem::swap(known, &mut waker),
                    None => *seat = Some(state.waiting.insert(waker)),
                }
                drop(state);
                return Poll::Pending;
            }
        };
        let gone = seat.take().and_then(|seat| state.waiting.try_remove(seat));
        drop(state);
        drop(gone);
        wake_all(others);
        Poll::Ready(turn)
    }

    /// What one does who waits since `arrived` for a caller's own load.
    pub(crate) fn lose_patience(&self, arrived: Instant, limits: Limits) -> Next {
        let mut state = self.state();
        match state.phase {
            Phase::Ticket if !state.over => state.patience.next(arrived, Instant::now(), limits),
            // Work has limits of its own, and other ends wake all who wait.
            _ => Next::Wait(limits.patience),
        }
    }

    /// Whoever loads has given sign of life. `true`: wait on.
    pub(crate) fn extend_patience(&self, arrived: Instant, limits: Limits) -> bool {
        let (mut state, now) = (self.state(), Instant::now());
        !state.patience.is_over(arrived, now, limits) || state.patience.extend(now)
    }

    /// One more leader, beside those who hold tickets; it is registered. `false`: somebody else is, or there is no need.
    pub(crate) fn lead_beside(&self, seat: &mut Option<usize>, arrived: Instant, limits: Limits) -> bool {
        let (mut state, now) = (self.state(), Instant::now());
        let is_late = matches!(state.phase, Phase::Ticket) && state.patience.is_over(arrived, now, limits);
        if state.over || !is_late {
            return false;
        }
        state.leaders += 1;
        state.patience.given(now);
        let gone = seat.take().and_then(|seat| state.waiting.try_remove(seat));
        drop(state);
        drop(gone);
        true
    }

    /// Ends a wait early. `true`: the flight was vacant and nobody is left; the caller takes it off the table.
    #[must_use]
    pub(crate) fn leave(&self, seat: &mut Option<usize>) -> bool {
        let mut state = self.state();
        let gone = seat.take().and_then(|seat| state.waiting.try_remove(seat));
        // The one who leaves may be the one who was woken to take over.
        let nobody_waits = if matches!(state.phase, Phase::Vacant) && !cfg!(accelerator_mutant = "leave-forgets") {
            Self::pass_on(state)
        } else {
            drop(state);
            false
        };
        drop(gone);
        nobody_waits
    }

    /// A leader gives up; `works`: by the work of the flight, not with a ticket.
    pub(crate) fn vacate(&self, works: bool) -> Left {
        let mut state = self.state();
        state.leaders = state.leaders.saturating_sub(1);
        if state.over || matches!(state.phase, Phase::Gone) {
            return Left::Others;
        }
        if state.leaders > 0 && !cfg!(accelerator_mutant = "first-drop-vacates") {
            if works {
                state.phase = Phase::Ticket;
            }
            return Left::Others;
        }
        state.phase = Phase::Vacant;
        if Self::pass_on(state) { Left::Nobody } else { Left::Heir }
    }

    fn pass_on(mut state: MutexGuard<'_, State<W>>) -> bool {
        // The waker stays in its seat: a second leave must find the others, and this one may be woken twice.
        let next = state.waiting.iter().next().map(|(_, waker)| waker.clone());
        match next {
            Some(waker) => {
                drop(state);
                #[cfg(not(accelerator_mutant = "no-handover"))]
                waker.wake();
                false
            }
            None => {
                #[cfg(not(accelerator_mutant = "gone-stays-vacant"))]
                (state.phase = Phase::Gone);
                true
            }
        }
    }

    /// Ends the flight and wakes all who wait. The first of its leaders counts.
    pub(crate) fn publish(&self, result: R) {
        let _ = self.result.set(result);
        let (waiting, polls, ended) = {
            let mut state = self.state();
            #[cfg(not(accelerator_mutant = "publish-in-two-steps"))]
            (state.over = true);
            let others_lead = state.leaders > 1;
            let (polls, ended) = match &mut state.phase {
                // Another leader polls its own work in place: it is told.
                Phase::Work(place) if others_lead => {
                    (place.recall().filter(|_| !cfg!(accelerator_mutant = "publish-forgets-leader")), None)
                }
                phase => (None, Some(std::mem::replace(phase, Phase::Ticket))),
            };
            (std::mem::take(&mut state.waiting), polls, ended)
        };
        #[cfg(accelerator_mutant = "publish-in-two-steps")]
        (self.state().over = true);
        drop(ended);
        wake_all(waiting.into_iter().map(|(_, waker)| waker).chain(polls));
    }
}

/// Outside every lock: a waker is foreign code.
fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

/// Only the flight's own handle is left: nobody can be waiting.
pub(crate) fn is_unshared<K, R, W, X>(flight: &Arc<Flight<K, R, W, X>>) -> bool {
    Arc::strong_count(flight) == 1
}
