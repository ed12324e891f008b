//! The run of a batch: whoever follows one of its keys depends on nobody's polling, and its leader hears of its end
//! wherever that was.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use shuttle::future::block_on;
use shuttle::sync::atomic::Ordering::SeqCst;
use shuttle::sync::mpsc::{Receiver, channel};
use shuttle::thread::{self, JoinHandle};

use crate::level::drive::host::give_up;
use crate::level::flight::handoff::ASLEEP;
use crate::level::flight::join::Join;
use crate::level::flight::reservation::LedBy;
use crate::level::flight::shared_run::Report;
use crate::level::flight::token::Reservation;
use crate::rig::{BatchRun, Cache, Flight, KEY, Load, Outcome, Stage, Step, Wire, poll_once, spawn};

/// As `local/batch_run.rs`: the key of the batch, which reports to the leader when it is dropped.
struct BatchKeys {
    cache: Arc<Cache>,
    reserved: Option<Reservation>,
    outcome: Option<Outcome>,
    report: Arc<Report<Option<Outcome>>>,
}

impl BatchKeys {
    fn new(cache: &Arc<Cache>, reserved: Reservation) -> Self {
        Self { cache: cache.clone(), reserved: Some(reserved), outcome: None, report: Report::new() }
    }

    fn lead(self, run: Arc<BatchRun>, wire: &Arc<Wire>) -> LeadingBatch {
        let (report, wire) = (self.report.clone(), wire.clone());
        let leading = LeadingBatch { run, report };
        let mut wants = self;
        let work = async move {
            let mut load = Load::new(&wire);
            std::future::poll_fn(|cx| load.poll(cx)).await;
            wants.end(wants.cache.source.load(SeqCst));
        };
        leading.run.begin(Box::pin(work), spawn);
        leading
    }

    fn end(&mut self, value: u64) {
        let Some(reserved) = self.reserved.take() else { return };
        let (outcome, mut followed) = (Outcome::Value(value), None);
        let store = self.cache.store(value, reserved.token);
        self.cache.table.commit_reserved(&KEY, &reserved, || self.cache.generation(), &mut followed, store);
        if let Some(flight) = followed {
            flight.publish(outcome);
        }
        self.outcome = Some(outcome);
    }
}

impl Drop for BatchKeys {
    fn drop(&mut self) {
        if let Some(reserved) = self.reserved.take() {
            // As `Local::give_up_reserved`.
            if let Some(flight) = self.cache.table.leave(&KEY, &reserved) {
                give_up(&flight, false);
            }
        }
        self.report.tell(self.outcome);
    }
}

/// As `local/batch_run.rs`.
struct LeadingBatch {
    run: Arc<BatchRun>,
    report: Arc<Report<Option<Outcome>>>,
}

impl Future for LeadingBatch {
    type Output = Option<Outcome>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        if self.run.poll(cx, |work, cx| work.as_mut().poll(cx), spawn) {
            return Poll::Pending;
        }
        Poll::Ready(ready!(self.report.poll(cx)).flatten())
    }
}

impl Drop for LeadingBatch {
    fn drop(&mut self) {
        self.run.move_to_task(false, Instant::now(), spawn);
    }
}

type Joined = Join<u64, Reservation, Arc<Flight>>;

fn join(cache: &Arc<Cache>, run: Option<&Arc<BatchRun>>) -> Joined {
    let seen = cache.table.observe(&KEY);
    if let Some(value) = cache.l1() {
        return Join::Hit(value);
    }
    cache.table.join_reserved(
        &KEY,
        Some(seen),
        run.map_or(LedBy::Leader, LedBy::Run),
        cache,
        || cache.generation(),
        || cache.l1(),
    )
}

/// As `read/many.rs`, with one key.
async fn get(cache: &Arc<Cache>, wire: &Arc<Wire>) -> Outcome {
    let run = BatchRun::new();
    let flight = match join(cache, Some(&run)) {
        Join::Hit(value) => return Outcome::Value(value),
        Join::Lead(reserved) => match BatchKeys::new(cache, reserved).lead(run, wire).await {
            Some(outcome) => return outcome,
            None => return cache.get_by_work(wire).await,
        },
        Join::Follow(flight) => flight,
    };
    cache.get_on(Stage::Joined(Step::Follow(flight)), wire).await
}

fn reader(cache: &Arc<Cache>, wire: &Arc<Wire>) -> JoinHandle<Outcome> {
    let (cache, wire) = (cache.clone(), wire.clone());
    thread::spawn(move || cache.checked(|| block_on(get(&cache, &wire))))
}

fn answers(wire: &Arc<Wire>) -> JoinHandle<()> {
    let wire = wire.clone();
    thread::spawn(move || wire.answer())
}

fn leads(cache: &Arc<Cache>, run: Option<&Arc<BatchRun>>) -> Reservation {
    match join(cache, run) {
        Join::Lead(reserved) => reserved,
        _ => panic!("nobody else is there yet"),
    }
}

pub(crate) fn run_one_load_for_all() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let readers = [reader(&cache, &wire), reader(&cache, &wire), reader(&cache, &wire)];
    let answer = answers(&wire);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Outcome::Value(0));
    }
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "loads of a key that nobody invalidates");
    cache.is_empty();
}

fn run_against(invalidate: impl Fn(&Cache)) {
    let (cache, wire) = (Cache::new(), Wire::new());
    let answer = answers(&wire);
    let readers = [reader(&cache, &wire), reader(&cache, &wire)];
    let change = cache.change();
    invalidate(&cache);
    cache.acknowledge(change);
    assert_eq!(cache.checked(|| block_on(get(&cache, &wire))), Outcome::Value(1));
    answer.join().unwrap();
    for reader in readers {
        reader.join().unwrap();
    }
    cache.at_rest();
}

pub(crate) fn run_against_del() {
    run_against(Cache::del);
}

pub(crate) fn run_against_clear() {
    run_against(Cache::clear);
}

/// The leader is dropped where it waits, at the same time as somebody follows.
pub(crate) fn dropped_leader_of_a_run() {
    let (cache, wire, run) = (Cache::new(), Wire::new(), BatchRun::new());
    let leading = BatchKeys::new(&cache, leads(&cache, Some(&run))).lead(run, &wire);
    let leader = thread::spawn(move || {
        let _ = poll_once(leading);
    });
    let follower = reader(&cache, &wire);
    let answer = answers(&wire);
    assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    leader.join().unwrap();
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the run");
    cache.is_empty();
}

/// Polls once, and then holds the leader's future until it is told to go on.
fn hold(mut leading: LeadingBatch, until: &Receiver<()>) -> Option<Outcome> {
    let first = block_on(std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut leading).poll(cx))));
    until.recv().unwrap();
    match first {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => block_on(leading),
    }
}

/// The leader's future is held without being polled until the follower has its answer.
pub(crate) fn held_leader_of_a_run_holds_nobody() {
    held_until_followed(|cache, wire, until| {
        let run = BatchRun::new();
        let wants = BatchKeys::new(cache, leads(cache, Some(&run)));
        let wire = wire.clone();
        thread::spawn(move || hold(wants.lead(run, &wire), &until))
    });
}

/// As `read/many_inline.rs`: the load was tried in place, where somebody may have followed, and goes on as a run.
pub(crate) fn run_that_begins_late_holds_nobody() {
    held_until_followed(|cache, wire, until| {
        let reserved = leads(cache, None);
        let (cache, wire) = (cache.clone(), wire.clone());
        thread::spawn(move || {
            let (run, wants) = (BatchRun::new(), BatchKeys::new(&cache, reserved));
            let flight = cache.table.go_on(&KEY, &reserved, run.clone());
            let awaited = flight.is_some_and(|flight| flight.park_part(run.clone()));
            let leading = wants.lead(run, &wire);
            if awaited {
                leading.run.move_to_task(false, Instant::now(), spawn);
            }
            hold(leading, &until)
        })
    });
}

fn held_until_followed(lead: impl FnOnce(&Arc<Cache>, &Arc<Wire>, Receiver<()>) -> JoinHandle<Option<Outcome>>) {
    let (cache, wire) = (Cache::new(), Wire::new());
    let (done, is_done) = channel();
    let leader = lead(&cache, &wire, is_done);
    let follower = reader(&cache, &wire);
    let answer = answers(&wire);
    assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    done.send(()).unwrap();
    assert_eq!(leader.join().unwrap(), Some(Outcome::Value(0)), "what the leader was told");
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the run");
    cache.is_empty();
}

/// The runtime ends, and the work with it: those who followed take over, and the leader begins anew.
pub(crate) fn run_that_is_given_up_hands_over() {
    let (cache, wire, run) = (Cache::new(), Wire::new(), BatchRun::new());
    let wants = BatchKeys::new(&cache, leads(&cache, Some(&run)));
    let report = wants.report.clone();
    let gone = thread::spawn(move || drop(wants));
    let readers = [reader(&cache, &wire), reader(&cache, &wire)];
    let answer = answers(&wire);
    assert_eq!(block_on(std::future::poll_fn(|cx| report.poll(cx))), Some(None), "what the leader was told");
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Outcome::Value(0));
    }
    gone.join().unwrap();
    answer.join().unwrap();
    // The run's keeper: slots hold it as long as they like.
    drop(run);
    cache.is_empty();
}

/// The runtime of the run's task stands still: whoever waits has another task take its place.
pub(crate) fn run_that_sleeps_is_replaced() {
    let (cache, wire, run) = (Cache::new(), Wire::new(), BatchRun::new());
    let leading = BatchKeys::new(&cache, leads(&cache, Some(&run))).lead(run.clone(), &wire);
    let mut asleep = None;
    run.move_to_task(false, Instant::now(), |task| asleep = Some(task));
    let asleep = asleep.expect("it was with its leader");
    run.move_to_task(true, Instant::now() + ASLEEP, spawn);
    let leader = thread::spawn(move || block_on(leading));
    // Its runtime ends at last.
    let late = thread::spawn(move || drop(asleep));
    let follower = reader(&cache, &wire);
    let answer = answers(&wire);
    assert_eq!(leader.join().unwrap(), Some(Outcome::Value(0)), "what the leader was told");
    assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    late.join().unwrap();
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the run");
    cache.is_empty();
}
