//! Signs of life of loads that callers run themselves.
//!
//! ```text
//! suspend    a body that suspends leaves its waker here, under the hash of its key
//! ask        who has waited long enough wakes it
//! is_alive   a moment later: it was polled, and does not wait for the cache itself
//! ```
//! A body that is ready at once leaves nothing. One that waits for the cache may wait for whoever asks.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use hashbrown::HashTable;

use crate::inside::{forget_panic, report_panic};

const SHARDS: usize = 16;

thread_local! {
    // How often something in this thread has suspended because it waits for somebody's ticket.
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

/// Whoever is polled right now waits for somebody's ticket.
pub(crate) fn waits_for_the_cache() {
    WAITS.set(WAITS.get().wrapping_add(1));
}

/// The suspended bodies of a cache.
pub(crate) struct Pulses(Box<[Shard]>);

// A line of its own for each shard.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<HashTable<(u64, Arc<Sign>)>>);

/// What is known of one suspended body.
struct Sign {
    // The keys that it loads, the first one apart.
    first: PulsePoint,
    more: Vec<PulsePoint>,
    state: Mutex<State>,
}

struct State {
    waker: Waker,
    // Polled since it was asked last.
    answered: bool,
    // When it was polled last, it waited for the cache itself.
    waits: bool,
}

/// Where those who wait for a load look for its pulse.
#[derive(Clone)]
pub struct PulsePoint {
    pulses: Arc<Pulses>,
    hash: u64,
}

impl fmt::Debug for PulsePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PulsePoint")
    }
}

/// The pulse of one body. Dropped, it is gone.
#[derive(Default)]
pub(crate) struct Pulse(Option<Arc<Sign>>);

/// As `sync::lock`, whose mutex may be another one in proofs.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pulses {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self((0..SHARDS).map(|_| Shard::default()).collect()))
    }

    /// The place of the keys with this hash.
    pub(crate) fn point(self: &Arc<Self>, hash: u64) -> PulsePoint {
        PulsePoint { pulses: self.clone(), hash }
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<(u64, Arc<Sign>)>> {
        &self.0[(hash >> 48) as usize % SHARDS].0
    }

    fn signs(&self, hash: u64) -> Vec<Arc<Sign>> {
        lock(self.shard(hash)).iter_hash(hash).filter(|(own, _)| *own == hash).map(|(_, sign)| sign.clone()).collect()
    }

    /// Wakes whoever loads a key with this hash. `false`: nobody who could be.
    pub(crate) fn ask(&self, hash: u64) -> bool {
        let signs = self.signs(hash);
        for sign in &signs {
            let waker = {
                let mut state = lock(&sign.state);
                state.answered = false;
                std::mem::replace(&mut state.waker, Waker::noop().clone())
            };
            // Foreign code, whose panic is not the panic of whoever asks.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                report_panic("a waker");
                forget_panic(payload);
            }
        }
        !signs.is_empty()
    }

    /// Whether one of those who load a key with this hash was polled since it was asked, and does not wait itself.
    pub(crate) fn is_alive(&self, hash: u64) -> bool {
        let answers = |sign: &Arc<Sign>| {
            let state = lock(&sign.state);
            state.answered && !state.waits
        };
        self.signs(hash).iter().any(answers)
    }
}

impl Pulse {
    /// Polls a body; where it suspends, it can be asked whether it is alive by all who wait at `points`.
    #[inline]
    pub(crate) fn poll<F: Future, P: IntoIterator<Item = PulsePoint>>(
        &mut self,
        body: Pin<&mut F>,
        points: impl FnOnce() -> P,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        self.poll_from(true, body, points, cx)
    }

    /// [`poll`](Self::poll) of what may be asked only from some time on: `yes`, now.
    #[inline]
    pub(crate) fn poll_from<F: Future, P: IntoIterator<Item = PulsePoint>>(
        &mut self,
        yes: bool,
        body: Pin<&mut F>,
        points: impl FnOnce() -> P,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let before = WAITS.get();
        let polled = body.poll(cx);
        if yes && polled.is_pending() {
            self.suspend(points, cx.waker(), WAITS.get() != before);
        }
        polled
    }

    #[cold]
    #[inline(never)]
    fn suspend<P: IntoIterator<Item = PulsePoint>>(&mut self, points: impl FnOnce() -> P, waker: &Waker, waits: bool) {
        let Some(sign) = &self.0 else {
            let mut points = points().into_iter();
            let Some(first) = points.next() else { return };
            let state = Mutex::new(State { waker: waker.clone(), answered: true, waits });
            let sign = Arc::new(Sign { first, more: points.collect(), state });
            for PulsePoint { pulses, hash } in sign.points() {
                lock(pulses.shard(*hash)).insert_unique(*hash, (*hash, sign.clone()), |(hash, _)| *hash);
            }
            self.0 = Some(sign);
            return;
        };
        let known = {
            let mut state = lock(&sign.state);
            (state.answered, state.waits) = (true, waits);
            state.waker.will_wake(waker)
        };
        if !known {
            // Foreign code: cloned before there is a lock, and dropped after.
            let waker = waker.clone();
            let old = std::mem::replace(&mut lock(&sign.state).waker, waker);
            drop(old);
        }
    }
}

impl Sign {
    fn points(&self) -> impl Iterator<Item = &PulsePoint> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

impl Drop for Pulse {
    #[inline]
    fn drop(&mut self) {
        if let Some(sign) = self.0.take() {
            leave(sign);
        }
    }
}

#[cold]
#[inline(never)]
#[expect(
    clippy::needless_pass_by_value,
    reason = "its drop is no business of the caller's: a hit pays for what is inlined"
)]
fn leave(sign: Arc<Sign>) {
    for PulsePoint { pulses, hash } in sign.points() {
        let gone = lock(pulses.shard(*hash))
            .find_entry(*hash, |(_, own)| Arc::ptr_eq(own, &sign))
            .map(|entry| entry.remove().0)
            .ok();
        // Not under the lock: the waker in it is foreign code.
        drop(gone);
    }
}
