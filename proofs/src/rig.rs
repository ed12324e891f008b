//! A cache of one key around the table: what `level/load`, `level/read` and `level/write` do with it, without timers,
//! codecs and counters. Its flights are driven by the code of `level/drive` as it is. The source counts up, so "older" is
//! "smaller".

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use crate::level::drive::host::{FlightOf, Host, release};
use crate::level::drive::in_place::{self, first_poll, launch};
use crate::level::drive::in_task::move_to_task;
use crate::level::drive::wait::{self, LoadsWith};
use crate::level::drive::{in_task, led};
use crate::level::flight::join::Join;
use crate::level::flight::patience::Limits;
use crate::level::flight::shared_run::SharedRun;
use crate::level::flight::slots::SlotTable;
use crate::level::flight::state::{Parked, is_unshared};
use crate::level::flight::token::{Registered, Token};
use crate::sync::{Mutex, lock};

pub(crate) const KEY: u8 = 7;

pub(crate) type Flight = FlightOf<Arc<Cache>>;
type Table = SlotTable<u8, Outcome, Work, Arc<Cache>>;
type Joined = Join<u64, Arc<Flight>, Arc<Flight>>;
pub(crate) type Led = led::Led<Arc<Cache>>;
pub(crate) type Step = led::Step<u64, Arc<Cache>>;
pub(crate) type Follow = wait::Follow<Arc<Cache>>;
pub(crate) type Waited = wait::Waited<Arc<Cache>>;
pub(crate) type InPlace<'c> = in_place::InPlace<'c, Arc<Cache>>;
pub(crate) type InTask = in_task::InTask<Arc<Cache>>;

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Value(u64),
    Failed,
}

/// An entry of L1: its value and the generation it belongs to.
#[derive(Clone, Copy)]
struct Entry {
    value: u64,
    generation: u32,
}

/// A value in L2, and when it was written.
#[derive(Clone, Copy)]
struct Sealed {
    value: u64,
    written_at: u64,
}

pub(crate) struct Cache {
    pub(crate) table: Table,
    generation: AtomicU32,
    l1: Mutex<Option<Entry>>,
    // `None`: the cache has no L2.
    l2: Option<Mutex<Option<Sealed>>>,
    clock: AtomicU64,
    cleared_at: AtomicU64,
    pub(crate) source: AtomicU64,
    pub(crate) loads: AtomicUsize,
    // The newest write that was acknowledged.
    acknowledged: AtomicU64,
    // The newest `clear` that has returned.
    cleared: AtomicU32,
    // By how many milliseconds its time is ahead.
    pub(crate) ahead: std::sync::atomic::AtomicU64,
}

impl Cache {
    /// L1 only, empty.
    pub(crate) fn new() -> Arc<Self> {
        Self::build(None)
    }

    /// Both levels; L2 has the oldest value, if `filled`.
    pub(crate) fn with_l2(filled: bool) -> Arc<Self> {
        let old = filled.then_some(Sealed { value: 0, written_at: 1 });
        Self::build(Some(Mutex::new(old)))
    }

    fn build(l2: Option<Mutex<Option<Sealed>>>) -> Arc<Self> {
        Arc::new(Self {
            table: SlotTable::new(),
            generation: AtomicU32::new(0),
            l1: Mutex::new(None),
            l2,
            clock: AtomicU64::new(2),
            cleared_at: AtomicU64::new(0),
            source: AtomicU64::new(0),
            loads: AtomicUsize::new(0),
            acknowledged: AtomicU64::new(0),
            cleared: AtomicU32::new(0),
            ahead: std::sync::atomic::AtomicU64::new(0),
        })
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(SeqCst)
    }

    /// A value of L1 that a reader may have.
    pub(crate) fn l1(&self) -> Option<u64> {
        let entry = (*lock(&self.l1))?;
        (entry.generation == self.generation()).then_some(entry.value)
    }

    /// A value of L2 that a reader may have.
    pub(crate) fn l2(&self) -> Option<u64> {
        let sealed = (*lock(self.l2.as_ref()?))?;
        (sealed.written_at > self.cleared_at.load(SeqCst)).then_some(sealed.value)
    }

    fn seal(&self, value: u64) -> Sealed {
        Sealed { value, written_at: self.clock.fetch_add(1, SeqCst) }
    }

    fn write_l2(&self, sealed: Option<Sealed>) {
        if let Some(l2) = &self.l2 {
            *lock(l2) = sealed;
        }
    }

    // Reading.

    pub(crate) fn join(self: &Arc<Self>, borrowed: bool) -> Joined {
        let make = |key, hash, token| Flight::new(key, hash, token, borrowed, self.clone());
        self.table.join(&KEY, self, || self.generation(), make, || self.l1())
    }

    /// `get_or_load`: leads with a ticket, or follows.
    pub(crate) async fn get(self: &Arc<Self>) -> Outcome {
        if let Some(value) = self.l1() {
            return Outcome::Value(value);
        }
        let mut joined = self.join(true);
        loop {
            let waited = match joined {
                Join::Hit(value) => return Outcome::Value(value),
                Join::Lead(flight) => return self.load(Led::new(flight)),
                Join::Follow(flight) => Follow::new(flight, LoadsWith::Body).await,
            };
            joined = match waited {
                Waited::Over(outcome) => return outcome,
                Waited::Lead(led) => return self.load(led),
                Waited::Restart | Waited::TooLong => self.join(true),
            };
        }
    }

    /// Steps 1 to 5 of a load.
    pub(crate) fn load(&self, led: Led) -> Outcome {
        let value = self.l2().unwrap_or_else(|| {
            self.loads.fetch_add(1, SeqCst);
            let value = self.source.load(SeqCst);
            if let Some(flight) = led.flight() {
                self.fill(flight, value);
            }
            value
        });
        self.finish(led, Outcome::Value(value))
    }

    /// As `Remote::fill`.
    fn fill(&self, flight: &Flight, value: u64) {
        if self.l2.is_some() {
            let sealed = self.seal(value);
            let (hash, token) = (flight.hash(), flight.token());
            if let Some(_turn) = self.table.turn_to_fill(&KEY, hash, token, || self.generation()) {
                self.write_l2(Some(sealed));
            }
        }
    }

    /// As `Local::finish`.
    pub(crate) fn finish(&self, led: Led, outcome: Outcome) -> Outcome {
        led.take().map_or(outcome, |flight| self.end_flight(flight, outcome))
    }

    /// As `Ending::end`.
    fn end_flight(&self, flight: Arc<Flight>, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Value(value) => self.commit(&flight, value),
            Outcome::Failed => release(&flight),
        }
        if !is_unshared(&flight) {
            flight.publish(outcome);
        }
        outcome
    }

    fn commit(&self, flight: &Arc<Flight>, value: u64) {
        let (hash, token) = (flight.hash(), flight.token());
        let store = self.store(value, token);
        self.table.commit(&KEY, hash, token, Some(flight), || self.generation(), store);
    }

    /// What to do under the table's lock, for a commit that begins now.
    pub(crate) fn store(&self, value: u64, token: Token) -> impl FnOnce(bool) {
        // Harmless where L1 stamps its entries, as ours does; but the table promises it to every L1.
        let cleared = self.cleared.load(SeqCst);
        move |valid| {
            assert!(!valid || token.generation >= cleared, "a fill from before a clear was let through");
            if valid {
                *lock(&self.l1) = Some(Entry { value, generation: token.generation });
            }
        }
    }

    /// `lookup`: reads L2 outside any flight, and fills L1 with it.
    pub(crate) fn lookup(&self) -> Option<u64> {
        if let Some(value) = self.l1() {
            return Some(value);
        }
        let at = self.begin();
        let found = self.l2();
        self.table.commit(
            &KEY,
            at.hash,
            at.token,
            None,
            || self.generation(),
            |valid| {
                if let (true, Some(value)) = (valid, found) {
                    *lock(&self.l1) = Some(Entry { value, generation: at.token.generation });
                }
            },
        );
        found
    }

    // Writing.

    pub(crate) fn begin(&self) -> Registered {
        self.table.begin(&KEY, || self.generation())
    }

    fn purge(&self) {
        self.table.invalidate(&KEY, || *lock(&self.l1) = None);
    }

    /// `del`: purge; with an L2: its turn, delete there, purge again.
    pub(crate) fn del(&self) {
        let at = self.call_del();
        self.end_del(&at);
    }

    /// What `del` does when it is called.
    pub(crate) fn call_del(&self) -> Registered {
        self.purge();
        self.begin()
    }

    /// What it does in its task.
    pub(crate) fn end_del(&self, at: &Registered) {
        let turn = self.l2.is_some().then(|| block_on(self.table.turn(&KEY, at.hash).lock_owned()));
        if turn.is_some() {
            self.write_l2(None);
            self.table.overtake(&KEY, at);
            self.purge();
        }
        self.unregister(at);
    }

    fn unregister(&self, at: &Registered) {
        self.table.commit(&KEY, at.hash, at.token, None, || self.generation(), |_| {});
    }

    /// `set` from its registration on, without the purge that the engine makes at the call: the table must do without.
    /// `in_turn`: as the engine does it; else as in protocols §1, which needs no turns to keep L1 at one with L2.
    pub(crate) fn set(&self, at: &Registered, value: u64, in_turn: bool) {
        let sealed = self.seal(value);
        let turn = in_turn.then(|| block_on(self.table.turn(&KEY, at.hash).lock_owned()));
        if turn.is_some() && self.table.is_overtaken(&KEY, at, self.generation()) {
            return self.unregister(at);
        }
        self.write_l2(Some(sealed));
        self.table.commit_write(
            &KEY,
            at,
            || self.generation(),
            |valid| {
                *lock(&self.l1) = valid.then_some(Entry { value, generation: at.token.generation });
            },
        );
        drop(turn);
    }

    /// As `write/delete.rs`.
    pub(crate) fn clear(&self) {
        let mut before = self.generation.fetch_add(1, SeqCst);
        if self.l2.is_some() {
            self.cleared_at.fetch_max(self.clock.fetch_add(1, SeqCst), SeqCst);
            before = self.generation.fetch_add(1, SeqCst);
        }
        *lock(&self.l1) = None;
        self.cleared.fetch_max(before + 1, SeqCst);
    }

    // What must hold.

    /// A write to the source, which readers may see from now on.
    pub(crate) fn change(&self) -> u64 {
        self.source.fetch_add(1, SeqCst) + 1
    }

    /// The invalidation of this change was acknowledged: from now on readers must see it.
    pub(crate) fn acknowledge(&self, change: u64) {
        self.acknowledged.fetch_max(change, SeqCst);
    }

    /// A read; it must not be older than what was acknowledged before it began.
    pub(crate) fn read(self: &Arc<Self>) -> Outcome {
        self.checked(|| block_on(self.get()))
    }

    /// As [`read`](Self::read), in the caller's way.
    pub(crate) fn checked(&self, read: impl FnOnce() -> Outcome) -> Outcome {
        let floor = self.acknowledged.load(SeqCst);
        let outcome = read();
        if let Outcome::Value(value) = outcome {
            assert!(value >= floor, "read {value}, though {floor} was acknowledged");
        }
        outcome
    }

    /// As [`read`](Self::read), by lookup.
    pub(crate) fn look(&self) {
        let floor = self.acknowledged.load(SeqCst);
        if let Some(value) = self.lookup() {
            assert!(value >= floor, "looked up {value}, though {floor} was acknowledged");
        }
    }

    /// When everybody is gone: nothing old is left in either level, and no slot.
    pub(crate) fn at_rest(&self) {
        let newest = self.source.load(SeqCst);
        assert!(self.l1().is_none_or(|value| value == newest), "an old value stayed in L1");
        assert!(self.l2().is_none_or(|value| value == newest), "an old value stayed in L2");
        self.is_empty();
    }

    pub(crate) fn is_empty(&self) {
        assert_eq!(self.table.len(), 0, "a slot outlived its operations");
    }
}

/// The work of a flight: a load of its own.
pub(crate) struct Work(Load);

pub(crate) type BatchRun = SharedRun<Pin<Box<dyn Future<Output = ()> + Send>>>;

impl Parked for Work {
    type Run = Arc<BatchRun>;

    fn is_same(one: &Arc<BatchRun>, other: &Arc<BatchRun>) -> bool {
        Arc::ptr_eq(one, other)
    }
}

impl Work {
    pub(crate) fn new(wire: &Arc<Wire>) -> Self {
        Self(Load::new(wire))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx)
    }
}

/// A load that suspends until its answer arrives. As every future it wakes whoever polled it last, and nobody else.
pub(crate) struct Load {
    wire: Arc<Wire>,
    place: Option<usize>,
}

/// Where the answer of a [`Load`] arrives.
pub(crate) struct Wire(Mutex<Line>);

struct Line {
    answered: bool,
    ends: u32,
    asking: Vec<Waker>,
}

impl Wire {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Line { answered: false, ends: 0, asking: Vec::new() })))
    }

    /// The answer arrives.
    pub(crate) fn answer(&self) {
        let mut line = lock(&self.0);
        line.answered = true;
        let asking = std::mem::take(&mut line.asking);
        drop(line);
        asking.into_iter().for_each(Waker::wake);
    }

    /// How often the work came to its end.
    pub(crate) fn ends(&self) -> u32 {
        lock(&self.0).ends
    }
}

impl Load {
    pub(crate) fn new(wire: &Arc<Wire>) -> Self {
        Self { wire: wire.clone(), place: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut line = lock(&self.wire.0);
        if line.answered {
            line.ends += 1;
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        match self.place.and_then(|place| line.asking.get_mut(place)) {
            Some(last) => *last = waker,
            None => {
                self.place = Some(line.asking.len());
                line.asking.push(waker);
            }
        }
        Poll::Pending
    }
}

impl Host for Arc<Cache> {
    type Key = u8;
    type Result = Outcome;
    type Work = Work;
    type End = ();
    type Limit = ();

    fn table(&self) -> &Table {
        &self.table
    }

    fn generation(&self) -> u32 {
        Cache::generation(self)
    }

    fn poll_work(&self, work: &mut Work, cx: &mut Context<'_>) -> Poll<()> {
        work.poll(cx)
    }

    fn drop_work(&self, work: Work) {
        drop(work);
    }

    fn end(&self, flight: Arc<Flight>, _: Option<Work>, (): (), _: bool) -> Outcome {
        self.end_flight(flight, Outcome::Value(self.source.load(SeqCst)))
    }

    fn is_answer(_: &Outcome) -> bool {
        true
    }

    fn move_run(&self, run: &Arc<BatchRun>, looks: bool) -> bool {
        run.move_to_task(looks, self.now(), spawn)
    }

    fn now(&self) -> Instant {
        // Not shuttle's: it is no place for a switch.
        Instant::now() + Duration::from_millis(self.ahead.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn has_runtime(&self) -> bool {
        true
    }

    // The threads of shuttle are not daemons: a task that never ends is a failure.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        spawn(task);
    }

    fn patience(&self) -> Limits {
        Limits::new(Duration::ZERO, Duration::ZERO)
    }

    // Nobody loses patience, and nobody looks, but by a scenario's own doing.

    fn limit(&self, _: Duration) {}

    fn is_over(&self, (): &mut (), _: &mut Context<'_>) -> bool {
        false
    }

    fn ask(&self, _: u64) -> bool {
        false
    }

    fn is_alive(&self, _: u64) -> bool {
        false
    }

    fn is_waited_for(&self) {}
}

pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    shuttle::thread::spawn(move || block_on(task));
}

/// As `read/one.rs`: where a read stands.
pub(crate) enum Stage<'c> {
    Joined(Step),
    LeadingBatch(InPlace<'c>),
}

impl Cache {
    /// `get` with a loader: leads in place, or follows and moves the work into a task.
    pub(crate) async fn get_by_work(self: &Arc<Self>, wire: &Arc<Wire>) -> Outcome {
        let stage = match self.join(false) {
            Join::Lead(flight) => match launch_first(self, flight, wire).await {
                Ok(outcome) => return outcome,
                Err(in_place) => Stage::LeadingBatch(in_place),
            },
            joined => Stage::Joined(Step::new(joined)),
        };
        self.get_on(stage, wire).await
    }

    pub(crate) async fn get_on<'c>(self: &'c Arc<Self>, mut stage: Stage<'c>, wire: &Arc<Wire>) -> Outcome {
        loop {
            let flight = match stage {
                Stage::Joined(Step::Hit(value)) => return Outcome::Value(value),
                Stage::Joined(Step::Lead(led)) => match take_over(self, led, wire).await {
                    Ok(outcome) => return outcome,
                    Err(Some(in_place)) => {
                        stage = Stage::LeadingBatch(in_place);
                        continue;
                    }
                    Err(None) => None,
                },
                Stage::LeadingBatch(in_place) => match in_place.await {
                    Ok(outcome) => return outcome,
                    Err(flight) => flight,
                },
                Stage::Joined(Step::Follow(flight)) => {
                    move_to_task(&flight);
                    Some(flight)
                }
            };
            let waited = match flight {
                Some(flight) => Follow::new(flight, LoadsWith::Loader).await,
                None => Waited::Restart,
            };
            stage = Stage::Joined(match waited {
                Waited::Over(outcome) => return outcome,
                Waited::Lead(led) => Step::Lead(led),
                Waited::Restart | Waited::TooLong => Step::new(self.join(false)),
            });
        }
    }
}

/// As `get_first` of `read/one.rs`: nobody can have waited for this flight before.
pub(crate) async fn launch_first<'c>(
    cache: &'c Arc<Cache>,
    flight: Arc<Flight>,
    wire: &Arc<Wire>,
) -> Result<Outcome, InPlace<'c>> {
    let mut flight = Some(flight);
    let launched = std::future::poll_fn(|cx| {
        Poll::Ready(flight.take().map(|flight| launch(cache, flight, |_| Ok(Work::new(wire)), cx)))
    });
    launched.await.unwrap_or(Ok(Outcome::Failed)).map_err(|flight| InPlace::new(cache, flight))
}

/// Takes over a flight that may have had a leader before, for whom others wait. `Err`: it goes on.
pub(crate) async fn take_over<'c>(
    cache: &'c Arc<Cache>,
    led: Led,
    wire: &Arc<Wire>,
) -> Result<Outcome, Option<InPlace<'c>>> {
    first_poll(cache, led, |_| Ok(Work::new(wire))).await
}

/// Polls once and drops.
pub(crate) fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    block_on(std::future::poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    }))
}
