//! One coarse timer for all limits of a cache: a timer of the runtime for each call would cost a tenth of a fast L2 read.
//!
//! ```text
//! wait     a seat with a waker and an end, in the shard of the thread
//! tick     every 10 ms, one task looks through the seats and wakes those whose time is over
//! rest     after a second without a seat the task ends; the next wait starts it again
//! ```
//! The task lives in the runtime of the first who waits. Who waits in another runtime, or for so short a time that a tick
//! is much, has a timer of its own ([`Timer`]): the ticking runtime may stand still.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, sleep};

use crate::level::cells::number;
use crate::level::timer::{Timer, from_now};
use crate::sync::{Mutex, lock};

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
struct Shard(Mutex<Slab<Seat>>);

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

    /// Whether the task ticks in this runtime; starts it where there is none.
    fn ticks_in(self: &Arc<Self>, runtime: &Handle) -> bool {
        let mut home = lock(&self.home);
        if home.is_none() {
            *home = Some(runtime.id());
            runtime.spawn(tick(Ticking(self.clone())));
        }
        *home == Some(runtime.id())
    }

    /// Wakes all who wait and whose time `is_over`. `true`: somebody still waits.
    fn wake(&self, state: State, is_over: impl Fn(&Seat) -> bool) -> bool {
        let (mut wakers, mut waits) = (Vec::new(), false);
        for shard in &self.shards {
            for (_, seat) in lock(&shard.0).iter_mut().filter(|(_, seat)| seat.state == State::Waiting) {
                if is_over(seat) {
                    seat.state = state;
                    wakers.push(seat.waker.clone());
                } else {
                    waits = true;
                }
            }
        }
        wakers.into_iter().for_each(Waker::wake);
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

/// A wait that ends: a limit of some work, from its first poll on. Dropped, it leaves its seat.
pub(crate) struct Limit {
    after: Duration,
    place: Place,
}

enum Place {
    None,
    Seat { ticker: Arc<Ticker>, shard: usize, seat: usize },
    Own(Timer),
}

/// There is no runtime to wait in.
pub(crate) struct NoRuntime;

impl Limit {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, place: Place::None }
    }

    /// Ready when the time is over; `runtime`: where to wait when there is no current one.
    pub(crate) fn poll(
        &mut self,
        ticker: &Arc<Ticker>,
        runtime: Option<&Handle>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NoRuntime>> {
        match &mut self.place {
            Place::None => {
                let until = from_now(self.after);
                if let Some(shard) = self.coarse(ticker) {
                    let seat = Seat { until, waker: cx.waker().clone(), state: State::Waiting };
                    let seat = lock(&ticker.shards[shard].0).insert(seat);
                    self.place = Place::Seat { ticker: ticker.clone(), shard, seat };
                    // The task may have ended just before the seat was taken.
                    if lock(&ticker.home).is_some() {
                        return Poll::Pending;
                    }
                }
                self.own(until, runtime, cx)
            }
            Place::Seat { ticker, shard, seat } => {
                let mut seats = lock(&ticker.shards[*shard].0);
                let Some(seat) = seats.get_mut(*seat) else { return Poll::Ready(Ok(())) };
                match seat.state {
                    State::Over => Poll::Ready(Ok(())),
                    State::Waiting => {
                        seat.waker.clone_from(cx.waker());
                        Poll::Pending
                    }
                    State::Orphan => {
                        let until = seat.until;
                        drop(seats);
                        self.own(until, runtime, cx)
                    }
                }
            }
            Place::Own(timer) => timer.poll_over(cx).map(Ok),
        }
    }

    fn coarse(&self, ticker: &Arc<Ticker>) -> Option<usize> {
        if self.after < SHORTEST {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        ticker.ticks_in(&runtime).then(|| number() % SHARDS)
    }

    fn own(&mut self, until: Instant, runtime: Option<&Handle>, cx: &mut Context<'_>) -> Poll<Result<(), NoRuntime>> {
        self.leave();
        let Some(mut timer) = Timer::until(until, runtime) else { return Poll::Ready(Err(NoRuntime)) };
        // A runtime without timers says so when one is polled.
        let polled = catch_unwind(std::panic::AssertUnwindSafe(|| timer.poll_over(cx)));
        self.place = Place::Own(timer);
        polled.map_or(Poll::Ready(Err(NoRuntime)), |polled| polled.map(Ok))
    }

    fn leave(&mut self) {
        if let Place::Seat { ticker, shard, seat } = std::mem::replace(&mut self.place, Place::None) {
            let gone = lock(&ticker.shards[shard].0).try_remove(seat);
            // A waker is foreign code.
            drop(gone);
        }
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        self.leave();
    }
}
