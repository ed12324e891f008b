//! One flight: the load of one key that many may wait for.
//!
//! A flight is led by a caller who polls the work in place, by a task, or by whoever holds a ticket. Where the holder of
//! a ticket is late, one of those who wait leads beside it; the first end counts. When the last of them disappears the
//! flight is vacant and the next who waits takes over; when nobody waits it is gone, and whoever still comes starts again.

use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::time::Instant;

use crate::level::flight::handoff::{Handoff, LetGo, Looked, Need, Poller};
use crate::level::flight::patience::{Limits, Next, Patience};
use crate::level::flight::token::Token;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::wake::{wake, wake_all};

/// Parked work, which may be that of many flights together.
pub(crate) trait Parked {
    /// What these have in common.
    type Run: Clone;

    /// Whether these are the same.
    fn is_same(one: &Self::Run, other: &Self::Run) -> bool;
}

/// A load of `key` with result `R`, parked work `W` and context `X`.
pub(crate) struct Flight<K, R, W: Parked, X> {
    key: K,
    hash: u64,
    token: Token,
    // When it began, if it accepts nothing that is cached; a number of its shard.
    forced: Option<NonZeroU64>,
    pub(crate) context: X,
    result: OnceLock<R>,
    state: Mutex<State<W>>,
}

struct State<W: Parked> {
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

enum Phase<W: Parked> {
    /// Work with limits of its own.
    Work(Handoff<W>),
    /// Its part in work that has a place of its own.
    Part(W::Run),
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
    LoadsWith,
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

impl<K, R, W: Parked, X> Flight<K, R, W, X> {
    /// `borrowed`: the leader holds a ticket; else it is about to poll work.
    pub(crate) fn new(key: K, hash: u64, token: Token, borrowed: bool, context: X) -> Self {
        let phase = if borrowed { Phase::Ticket } else { Phase::Work(Handoff::polling()) };
        Self::in_phase(key, hash, token, phase, borrowed, context)
    }

    /// With work that the leader polls together with that of other flights.
    pub(crate) fn part(key: K, hash: u64, token: Token, run: W::Run, context: X) -> Self {
        Self::in_phase(key, hash, token, Phase::Part(run), false, context)
    }

    fn in_phase(key: K, hash: u64, token: Token, phase: Phase<W>, borrowed: bool, context: X) -> Self {
        let (waiting, patience) = (Slab::new(), Patience::default());
        let state = Mutex::new(State { phase, over: false, leaders: 1, waiting, patience, borrowed });
        Self { key, hash, token, forced: None, context, result: OnceLock::new(), state }
    }

    /// The flight of a caller who accepts nothing that is cached.
    pub(crate) fn forced_at(self, number: u64) -> Self {
        Self { forced: NonZeroU64::new(number), ..self }
    }

    pub(crate) fn forced(&self) -> Option<u64> {
        self.forced.map(NonZeroU64::get)
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

    fn place<T>(&self, f: impl FnOnce(&mut Handoff<W>) -> Option<T>) -> Option<T> {
        match &mut self.state().phase {
            Phase::Work(place) => f(place),
            _ => None,
        }
    }

    /// See [`Handoff::unpark`].
    pub(crate) fn unpark(&self, by: Poller) -> Option<W> {
        self.place(|place| place.unpark(by))
    }

    /// See [`Handoff::park`].
    pub(crate) fn park(&self, work: W, leader: &Waker) -> Option<Poller> {
        // Foreign code, and not to be run under the lock.
        let leader = leader.clone();
        self.place(|place| place.park(work, leader))
    }

    /// See [`Handoff::park_in_task`].
    pub(crate) fn park_in_task(&self, work: W, number: u32, task: &Waker) {
        let task = task.clone();
        self.place(|place| {
            place.park_in_task(work, number, task);
            Some(())
        });
    }

    /// The leader parks its part in `run`. `true`: somebody wants it in a task.
    pub(crate) fn park_part(&self, run: W::Run) -> bool {
        let before = std::mem::replace(&mut self.state().phase, Phase::Part(run));
        matches!(before, Phase::Work(Handoff::Polling { detach: true, .. }))
    }

    /// What its work is a part of.
    pub(crate) fn run(&self) -> Option<W::Run> {
        match &self.state().phase {
            Phase::Part(run) => Some(run.clone()),
            _ => None,
        }
    }

    /// See [`Handoff::detach`].
    pub(crate) fn detach(&self, looks: bool, now: std::time::Instant) -> Looked {
        let need = match &mut self.state().phase {
            Phase::Work(place) => place.detach(looks, now),
            Phase::Ticket | Phase::Vacant | Phase::Part(_) | Phase::Gone => Need::Nothing,
        };
        need.wake()
    }

    /// See [`Handoff::let_go`].
    pub(crate) fn let_go(&self, by: Poller) -> LetGo<W> {
        self.place(|place| Some(place.let_go(by))).unwrap_or(LetGo::Elsewhere)
    }

    /// Whether the flight's work is a part of `run`.
    pub(crate) fn is_part_of(&self, run: &W::Run) -> bool {
        matches!(&self.state().phase, Phase::Part(own) if W::is_same(own, run))
    }

    /// The holder of a ticket starts work with limits of its own instead. `false`: another leader has ended the flight.
    #[must_use]
    pub(crate) fn start_work(&self) -> bool {
        let mut state = self.state();
        if !state.over {
            state.phase = Phase::Work(Handoff::polling());
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
                    others.extend(state.waiting.iter_mut().map(|(_, waker)| taken(waker)));
                }
                Turn::Lead
            }
            Phase::Work(_) | Phase::Part(_) | Phase::Ticket => {
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
            // Work has limits of its own, and may be in a task that stands still.
            Phase::Work(_) | Phase::Part(_) if !state.over => Next::Look,
            // All who wait are woken.
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
        let nobody_waits = if matches!(state.phase, Phase::Vacant) {
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
        if state.leaders > 0 {
            if works {
                state.phase = Phase::Ticket;
            }
            return Left::Others;
        }
        state.phase = Phase::Vacant;
        if Self::pass_on(state) { Left::Nobody } else { Left::LoadsWith }
    }

    fn pass_on(mut state: MutexGuard<'_, State<W>>) -> bool {
        // The seat stays, without the waker: a second leave must find the others, and this one is woken once.
        let next = state.waiting.iter_mut().next().map(|(_, waker)| taken(waker));
        match next {
            Some(waker) => {
                drop(state);
                wake(waker);
                false
            }
            None => {
                state.phase = Phase::Gone;
                true
            }
        }
    }

    /// Ends the flight and wakes all who wait. The first of its leaders counts.
    pub(crate) fn publish(&self, result: R) {
        let _ = self.result.set(result);
        let (waiting, polls, ended) = {
            let mut state = self.state();
            state.over = true;
            let others_lead = state.leaders > 1;
            let (polls, ended) = match &mut state.phase {
                // Another leader polls its own work in place: it is told.
                Phase::Work(place) if others_lead => (place.recall(), None),
                phase => (None, Some(std::mem::replace(phase, Phase::Ticket))),
            };
            (std::mem::take(&mut state.waiting), polls, ended)
        };
        drop(ended);
        wake_all(waiting.into_iter().map(|(_, waker)| waker).chain(polls));
    }
}

/// The waker of one who is about to be woken, and polls again with another; nothing foreign runs here.
fn taken(waker: &mut Waker) -> Waker {
    std::mem::replace(waker, Waker::noop().clone())
}

/// Only the flight's own handle is left: nobody can be waiting.
pub(crate) fn is_unshared<K, R, W: Parked, X>(flight: &Arc<Flight<K, R, W, X>>) -> bool {
    Arc::strong_count(flight) == 1
}
