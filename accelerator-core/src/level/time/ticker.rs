//! One coarse timer for all limits of a cache: a timer of the runtime for each call would cost a tenth of a fast L2 read.
//!
//! ```text
//! wait     a seat with a waker and an end, in the shard of the thread
//! tick     every 10 ms, one task looks through the seats and wakes those whose time is over
//! rest     after a second without a seat the task ends; the next wait starts it again
//! ```
//! The task lives in the runtime of the first who waits. Who waits in another runtime, or for so short a time that a tick
//! is much, has a timer of its own ([`Timer`]): the ticking runtime may stand still.

use std::borrow::Borrow;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, sleep};

use crate::level::stats::thread_index::number;
use crate::level::time::timer::{Timer, from_now};
use crate::sync::{Mutex, lock};
use crate::wake::wake_all;

const TICK: Duration = Duration::from_millis(10);
/// Shorter limits have timers of their own.
const SHORTEST: Duration = Duration::from_millis(50);
/// Ticks without anybody until the task ends.
const IDLE_TICKS: u32 = 100;
const SHARDS: usize = 8;

/// Who waits, and the runtime whose task ticks.
pub(crate) struct Ticker {
    shards: [Shard; SHARDS],
    home: Mutex<Option<Id>>,
}

#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<Seats>);

#[derive(Default)]
struct Seats {
    taken: Slab<Seat>,
    /// The runtime whose task looks in here. A task that ends looks once more.
    home: Option<Id>,
}

struct Seat {
    until: Instant,
    waker: Waker,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Over,
    /// The ticking task is gone.
    Orphan,
}

impl Ticker {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { shards: Default::default(), home: Mutex::new(None) })
    }

    /// Takes a seat in the shard of this thread; `Err`: the task ticks in another runtime.
    fn sit(self: &Arc<Self>, runtime: &Handle, seat: Seat) -> Result<Wait, Seat> {
        let (id, shard) = (runtime.id(), number() % SHARDS);
        let place = |seat| Wait::Seat { shard, seat, home: id };
        let mut seats = lock(&self.shards[shard].0);
        if seats.home == Some(id) {
            return Ok(place(seats.taken.insert(seat)));
        }
        drop(seats);
        if !self.ticks_in(runtime) {
            return Err(seat);
        }
        let mut seats = lock(&self.shards[shard].0);
        // The task may have ended just now. It says so first, and looks into every shard afterwards.
        if *lock(&self.home) != Some(id) {
            return Err(seat);
        }
        seats.home = Some(id);
        Ok(place(seats.taken.insert(seat)))
    }

    /// Whether the task ticks in this runtime; starts it where there is none.
    fn ticks_in(self: &Arc<Self>, runtime: &Handle) -> bool {
        let starts = {
            let mut home = lock(&self.home);
            if home.is_some_and(|home| home != runtime.id()) {
                return false;
            }
            home.replace(runtime.id()).is_none()
        };
        if starts {
            // Outside of the lock: a runtime that has ended drops the task at once.
            runtime.spawn(tick(Ticking(self.clone())));
        }
        true
    }

    /// Wakes all who wait and whose time `is_over`. `true`: somebody still waits.
    fn wake(&self, state: State, is_over: impl Fn(&Seat) -> bool) -> bool {
        let (mut wakers, mut waits) = (Vec::new(), false);
        for shard in &self.shards {
            let mut seats = lock(&shard.0);
            if state == State::Orphan {
                seats.home = None;
            }
            for (_, seat) in seats.taken.iter_mut().filter(|(_, seat)| seat.state == State::Waiting) {
                if is_over(seat) {
                    seat.state = state;
                    wakers.push(std::mem::replace(&mut seat.waker, Waker::noop().clone()));
                } else {
                    waits = true;
                }
            }
        }
        wake_all(wakers);
        waits
    }
}

/// The ticking task. Dropped (it rests, or its runtime ends), it leaves nobody waiting.
struct Ticking(Arc<Ticker>);

impl Drop for Ticking {
    fn drop(&mut self) {
        *lock(&self.0.home) = None;
        self.0.wake(State::Orphan, |_| true);
    }
}

async fn tick(ticking: Ticking) {
    let mut idle = 0;
    while idle < IDLE_TICKS {
        sleep(TICK).await;
        let now = Instant::now();
        idle = if ticking.0.wake(State::Over, |seat| seat.until <= now) { 0 } else { idle + 1 };
    }
}

/// A wait that ends: a limit of some work, from its first poll on. Dropped, it leaves its seat. `T` holds the ticker; a
/// wait that borrows the cache anyway borrows it too, as its counter is shared by all threads.
pub(crate) struct Limit<T: Borrow<Arc<Ticker>> = Arc<Ticker>> {
    ticker: T,
    after: Duration,
    place: Wait,
}

enum Wait {
    None,
    /// Where the task of `home` ticks.
    Seat {
        shard: usize,
        seat: usize,
        home: Id,
    },
    Own(Timer),
}

/// There is no runtime to wait in.
pub(crate) struct NoRuntime;

impl<T: Borrow<Arc<Ticker>>> Limit<T> {
    pub(crate) fn new(ticker: T, after: Duration) -> Self {
        Self { ticker, after, place: Wait::None }
    }

    /// Ready when the time is over; `runtime`: where to wait when there is no current one.
    pub(crate) fn poll(&mut self, runtime: Option<&Handle>, cx: &mut Context<'_>) -> Poll<Result<(), NoRuntime>> {
        match &mut self.place {
            Wait::None => {
                let until = from_now(self.after);
                if let Some(seat) = self.coarse(until, cx.waker()) {
                    self.place = seat;
                    return Poll::Pending;
                }
                self.own(until, runtime, cx)
            }
            Wait::Seat { home, .. } if elsewhere(*home, runtime) => self.move_here(runtime, cx),
            Wait::Seat { shard, seat, .. } => {
                // A waker is foreign code: it is cloned before there is a lock, and dropped after.
                let mut waker = cx.waker().clone();
                let mut seats = lock(&self.ticker.borrow().shards[*shard].0);
                let Some(seat) = seats.taken.get_mut(*seat) else { return Poll::Ready(Ok(())) };
                match seat.state {
                    State::Over => Poll::Ready(Ok(())),
                    State::Waiting => {
                        std::mem::swap(&mut seat.waker, &mut waker);
                        drop(seats);
                        Poll::Pending
                    }
                    State::Orphan => {
                        let until = seat.until;
                        drop(seats);
                        self.own(until, runtime, cx)
                    }
                }
            }
            Wait::Own(timer) => timer.poll_over(cx).map(Ok),
        }
    }

    /// A seat, where the time is long enough for one and the task ticks in this runtime.
    fn coarse(&self, until: Instant, waker: &Waker) -> Option<Wait> {
        if self.after < SHORTEST {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        self.ticker.borrow().sit(&runtime, Seat { until, waker: waker.clone(), state: State::Waiting }).ok()
    }

    fn own(&mut self, until: Instant, runtime: Option<&Handle>, cx: &mut Context<'_>) -> Poll<Result<(), NoRuntime>> {
        self.leave();
        let Some(mut timer) = Timer::until(until, runtime) else { return Poll::Ready(Err(NoRuntime)) };
        // A runtime without timers says so when one is polled.
        let polled = catch_unwind(std::panic::AssertUnwindSafe(|| timer.poll_over(cx)));
        self.place = Wait::Own(timer);
        polled.map_or(Poll::Ready(Err(NoRuntime)), |polled| polled.map(Ok))
    }

    /// Who waits is polled in another runtime now, and the one with the seat may stand still.
    #[cold]
    fn move_here(&mut self, runtime: Option<&Handle>, cx: &mut Context<'_>) -> Poll<Result<(), NoRuntime>> {
        let Wait::Seat { shard, seat, .. } = self.place else { return Poll::Pending };
        let seats = lock(&self.ticker.borrow().shards[shard].0);
        let waiting = seats.taken.get(seat).filter(|seat| seat.state != State::Over).map(|seat| seat.until);
        drop(seats);
        let Some(until) = waiting else { return Poll::Ready(Ok(())) };
        self.leave();
        match self.coarse(until, cx.waker()) {
            Some(seat) => {
                self.place = seat;
                Poll::Pending
            }
            None => self.own(until, runtime, cx),
        }
    }

    fn leave(&mut self) {
        if let Wait::Seat { shard, seat, .. } = std::mem::replace(&mut self.place, Wait::None) {
            let gone = lock(&self.ticker.borrow().shards[shard].0).taken.try_remove(seat);
            // A waker is foreign code.
            drop(gone);
        }
    }
}

/// Whether who polls now is in a runtime, and not in `home`; `given`: the one that counts where there is no current one.
fn elsewhere(home: Id, given: Option<&Handle>) -> bool {
    let here = Handle::try_current().map_or_else(|_| given.map(Handle::id), |here| Some(here.id()));
    here.is_some_and(|here| here != home)
}

impl<T: Borrow<Arc<Ticker>>> Drop for Limit<T> {
    fn drop(&mut self) {
        self.leave();
    }
}
