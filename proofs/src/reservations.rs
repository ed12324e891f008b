//! Reservation flights: a leader that has made no flight misses nobody who followed, and holds nobody who came later.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::atomic::Ordering::SeqCst;
use shuttle::sync::mpsc::channel;
use shuttle::thread::{self, JoinHandle};

use crate::level::drive::host::give_up;
use crate::level::drive::in_task::run_in_task;
use crate::level::flight::join::Join;
use crate::level::flight::reservation::LedBy;
use crate::level::flight::token::Reservation;
use crate::rig::{Cache, Flight, InPlace, KEY, Outcome, Stage, Step, Wire, Work};

type Started<'c> = Result<Outcome, Stage<'c>>;

/// As `local/commit.rs`: what a reserved leader owes to those who followed. Dropped before its end, it fails for them.
struct Ending {
    cache: Arc<Cache>,
    reserved: Option<Reservation>,
}

impl Ending {
    fn end(mut self, value: u64) -> Outcome {
        self.commit(Outcome::Value(value));
        Outcome::Value(value)
    }

    fn commit(&mut self, outcome: Outcome) {
        let Some(reserved) = self.reserved.take() else { return };
        let mut followed = None;
        let store = match outcome {
            Outcome::Value(value) => Some(self.cache.store(value, reserved.token)),
            Outcome::Failed => None,
        };
        let store = |valid| store.into_iter().for_each(|store| store(valid));
        self.cache.table.commit_reserved(&KEY, &reserved, || self.cache.generation(), &mut followed, store);
        if let Some(flight) = followed {
            flight.publish(outcome);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.commit(Outcome::Failed);
    }
}

fn join(cache: &Arc<Cache>) -> Join<u64, Reservation, Arc<Flight>> {
    cache.table.join_reserved(&KEY, None, LedBy::Leader, cache, || cache.generation(), || cache.l1())
}

fn leads(cache: &Arc<Cache>) -> Ending {
    ending(cache, join(cache))
}

fn ending(cache: &Arc<Cache>, joined: Join<u64, Reservation, Arc<Flight>>) -> Ending {
    match joined {
        Join::Lead(reserved) => Ending { cache: cache.clone(), reserved: Some(reserved) },
        _ => panic!("nobody else is there yet"),
    }
}

/// As `load/one_inline.rs`.
fn launch<'c>(
    cache: &'c Arc<Cache>,
    reserved: Reservation,
    wire: &Arc<Wire>,
    cx: &mut std::task::Context<'_>,
) -> Started<'c> {
    let mut ending = Ending { cache: cache.clone(), reserved: Some(reserved) };
    let mut work = Work::new(wire);
    if work.poll(cx).is_ready() {
        return Ok(ending.end(cache.source.load(SeqCst)));
    }
    let make = || Flight::new(KEY, reserved.hash, reserved.token, false, cache.clone());
    let (flight, _) = cache.table.make(&KEY, &reserved, make);
    ending.reserved = None;
    if let Some(hand) = flight.park(work, cx.waker()) {
        run_in_task(flight.clone(), hand);
    }
    Err(Stage::LeadingBatch(InPlace::new(cache, flight)))
}

/// As `get_missed` of `read/one.rs`, without L2.
async fn get(cache: &Arc<Cache>, wire: &Arc<Wire>) -> Outcome {
    if let Some(value) = cache.l1() {
        return Outcome::Value(value);
    }
    get_by(|| join(cache), cache, wire).await
}

async fn get_by(
    join: impl FnOnce() -> Join<u64, Reservation, Arc<Flight>>,
    cache: &Arc<Cache>,
    wire: &Arc<Wire>,
) -> Outcome {
    let mut join = Some(join);
    let first = std::future::poll_fn(|cx| {
        let joined = join.take().expect("polled once")();
        std::task::Poll::Ready(match joined {
            Join::Hit(value) => Ok(Outcome::Value(value)),
            Join::Lead(reserved) => launch(cache, reserved, wire, cx),
            Join::Follow(flight) => Err(Stage::Joined(Step::Follow(flight))),
        })
    });
    match first.await {
        Ok(outcome) => outcome,
        Err(stage) => cache.get_on(stage, wire).await,
    }
}

/// [`get`], by one who has seen the key's place before it asked L1: as the keys of a batch.
async fn get_seen(cache: &Arc<Cache>, wire: &Arc<Wire>) -> Outcome {
    let seen = cache.table.observe(&KEY);
    if let Some(value) = cache.l1() {
        return Outcome::Value(value);
    }
    let join =
        || cache.table.join_reserved(&KEY, Some(seen), LedBy::Leader, cache, || cache.generation(), || cache.l1());
    get_by(join, cache, wire).await
}

fn reader(cache: &Arc<Cache>, wire: &Arc<Wire>) -> JoinHandle<Outcome> {
    let (cache, wire) = (cache.clone(), wire.clone());
    thread::spawn(move || cache.checked(|| block_on(get(&cache, &wire))))
}

fn seeing_reader(cache: &Arc<Cache>, wire: &Arc<Wire>) -> JoinHandle<Outcome> {
    let (cache, wire) = (cache.clone(), wire.clone());
    thread::spawn(move || cache.checked(|| block_on(get_seen(&cache, &wire))))
}

fn answered(wire: &Arc<Wire>) -> JoinHandle<()> {
    let wire = wire.clone();
    thread::spawn(move || wire.answer())
}

pub(crate) fn latent_one_load_for_all() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let readers = [reader(&cache, &wire), seeing_reader(&cache, &wire), seeing_reader(&cache, &wire)];
    wire.answer();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), Outcome::Value(0));
    }
    assert_eq!(wire.ends(), 1, "loads of a key that nobody invalidates");
    cache.is_empty();
}

fn load_against(invalidate: impl Fn(&Cache)) {
    let (cache, wire) = (Cache::new(), Wire::new());
    let answer = answered(&wire);
    let readers = [reader(&cache, &wire), seeing_reader(&cache, &wire)];
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

pub(crate) fn latent_load_against_del() {
    load_against(Cache::del);
}

pub(crate) fn latent_load_against_clear() {
    load_against(Cache::clear);
}

/// A reserved leader is inside its loader until the newer reader has its value.
pub(crate) fn latent_newer_readers_wait_for_no_older_flight() {
    let (cache, wire) = (Cache::new(), Wire::new());
    wire.answer();
    let (done, is_done) = channel();
    let ending = leads(&cache);
    let leader = thread::spawn(move || {
        is_done.recv().unwrap();
        ending.end(0)
    });
    let older = reader(&cache, &wire);
    let change = cache.change();
    cache.del();
    cache.acknowledge(change);
    assert_eq!(cache.checked(|| block_on(get(&cache, &wire))), Outcome::Value(1));
    done.send(()).unwrap();
    leader.join().unwrap();
    older.join().unwrap();
    cache.at_rest();
}

/// A loader's panic, or that of storing what it gave, is the answer for all who followed.
pub(crate) fn latent_panic_releases_everybody() {
    let (cache, wire) = (Cache::new(), Wire::new());
    wire.answer();
    let ending = leads(&cache);
    let followers = [reader(&cache, &wire), reader(&cache, &wire)];
    drop(ending);
    for follower in followers {
        follower.join().unwrap();
    }
    cache.is_empty();
    assert_eq!(block_on(get(&cache, &wire)), Outcome::Value(0), "the next call starts clean");
    cache.is_empty();
}

/// As `ticket/hold.rs`: the holder of a ticket loads by itself, and those who followed wait for it.
fn holds_ticket(cache: &Arc<Cache>) -> Ending {
    let joined = cache.table.join_reserved(&KEY, None, LedBy::Ticket, cache, || cache.generation(), || cache.l1());
    ending(cache, joined)
}

pub(crate) fn latent_ticket_is_filled_for_all() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let ticket = holds_ticket(&cache);
    let followers = [reader(&cache, &wire), reader(&cache, &wire)];
    let holder = thread::spawn(move || ticket.end(0));
    let answer = answered(&wire);
    for follower in followers {
        assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    }
    holder.join().unwrap();
    answer.join().unwrap();
    cache.is_empty();
}

/// A dropped ticket passes the load on, to one at a time.
pub(crate) fn latent_ticket_hands_over() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let mut ticket = holds_ticket(&cache);
    let followers = [reader(&cache, &wire), reader(&cache, &wire)];
    let holder = {
        let cache = cache.clone();
        thread::spawn(move || {
            // As `Local::give_up_reserved`.
            let reserved = ticket.reserved.take().expect("not ended");
            if let Some(flight) = cache.table.leave(&KEY, &reserved) {
                give_up(&flight, false);
            }
        })
    };
    let answer = answered(&wire);
    for follower in followers {
        assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    }
    holder.join().unwrap();
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "loads of those who followed");
    cache.is_empty();
}

/// The ticket is out until a newer reader has its own value.
pub(crate) fn latent_ticket_holds_no_newer_reader() {
    let (cache, wire) = (Cache::new(), Wire::new());
    wire.answer();
    let (done, is_done) = channel();
    let ticket = holds_ticket(&cache);
    let holder = thread::spawn(move || {
        is_done.recv().unwrap();
        ticket.end(0)
    });
    let older = reader(&cache, &wire);
    let change = cache.change();
    cache.del();
    cache.acknowledge(change);
    assert_eq!(cache.checked(|| block_on(get(&cache, &wire))), Outcome::Value(1));
    done.send(()).unwrap();
    holder.join().unwrap();
    older.join().unwrap();
    cache.at_rest();
}
