//! Flights: one load for all who ask at once, and nobody waits for ever, whoever disappears.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::atomic::Ordering::SeqCst;
use shuttle::sync::mpsc::channel;
use shuttle::thread::{self, JoinHandle};

use crate::level::drive::wait::LoadsWith;
use crate::level::flight::join::Join;
use crate::rig::{Cache, Follow, Led, Outcome, Waited, poll_once};

fn get(cache: &Arc<Cache>) -> JoinHandle<Outcome> {
    let cache = cache.clone();
    thread::spawn(move || cache.read())
}

fn leads(cache: &Arc<Cache>) -> Led {
    match cache.join(true) {
        Join::Lead(flight) => Led::new(flight),
        _ => panic!("nobody else is there yet"),
    }
}

pub(crate) fn one_load_for_all() {
    let cache = Cache::new();
    for reader in [get(&cache), get(&cache), get(&cache)] {
        assert_eq!(reader.join().unwrap(), Outcome::Value(0));
    }
    assert_eq!(cache.loads.load(SeqCst), 1, "loads of a key that nobody invalidates");
    cache.is_empty();
}

/// The end of an older, detached flight leaves the newer one to its readers.
pub(crate) fn one_joinable_flight() {
    let cache = Cache::new();
    let readers = [get(&cache), get(&cache), get(&cache)];
    cache.del();
    for reader in readers {
        reader.join().unwrap();
    }
    let loads = cache.loads.load(SeqCst);
    assert!(loads <= 2, "{loads} loads with one invalidation");
    cache.is_empty();
}

/// The older flight ends only after the newer reader has its value: whoever waits for it, waits for ever.
fn newer_readers_wait_not(invalidate: impl Fn(&Cache)) {
    let cache = Cache::new();
    let (done, is_done) = channel();
    let led = leads(&cache);
    let leader = {
        let cache = cache.clone();
        thread::spawn(move || {
            is_done.recv().unwrap();
            cache.load(led);
        })
    };
    let older = get(&cache);
    let change = cache.change();
    invalidate(&cache);
    cache.acknowledge(change);
    assert_eq!(cache.read(), Outcome::Value(1));
    done.send(()).unwrap();
    leader.join().unwrap();
    older.join().unwrap();
    cache.at_rest();
}

pub(crate) fn newer_readers_wait_for_no_older_flight() {
    newer_readers_wait_not(Cache::del);
}

pub(crate) fn newer_readers_wait_for_no_flight_of_another_generation() {
    newer_readers_wait_not(Cache::clear);
}

/// A leader that disappears; `how` decides by what end.
fn without_leader(how: impl FnOnce(Led) + Send + 'static) {
    let cache = Cache::new();
    let led = leads(&cache);
    let leader = thread::spawn(move || how(led));
    let followers = [get(&cache), get(&cache)];
    leader.join().unwrap();
    for follower in followers {
        assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    }
    assert_eq!(cache.loads.load(SeqCst), 1, "one takes over");
    cache.is_empty();
}

pub(crate) fn dropped_leader_hands_over() {
    without_leader(drop);
}

pub(crate) fn panic_releases_everybody() {
    // As a panic, but without the hook, which would report a failed schedule.
    without_leader(|led| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _led = led;
            resume_unwind(Box::new("the body panicked"));
        }));
        assert!(panicked.is_err());
    });
}

/// Who was woken to take over may be dropped before it is polled.
pub(crate) fn dropped_heir_passes_on() {
    let cache = Cache::new();
    let led = leads(&cache);
    let leader = thread::spawn(move || drop(led));
    let heir = {
        let cache = cache.clone();
        thread::spawn(move || match cache.join(true) {
            Join::Follow(flight) => {
                // Whether it waits or leads, it is gone at once.
                if let Some(Waited::Over(outcome)) = poll_once(Follow::new(flight, LoadsWith::Body)) {
                    assert_eq!(outcome, Outcome::Value(0));
                }
            }
            Join::Lead(flight) => drop(Led::new(flight)),
            Join::Hit(_) => {}
        })
    };
    let next = get(&cache);
    leader.join().unwrap();
    heir.join().unwrap();
    assert_eq!(next.join().unwrap(), Outcome::Value(0));
    assert_eq!(cache.loads.load(SeqCst), 1);
    cache.is_empty();
}

/// Everybody disappears; the next reader starts anew.
pub(crate) fn dropped_leader_without_heirs_is_forgotten() {
    let cache = Cache::new();
    let led = leads(&cache);
    let leader = thread::spawn(move || drop(led));
    let heir = {
        let cache = cache.clone();
        thread::spawn(move || poll_once(cache.get()))
    };
    leader.join().unwrap();
    heir.join().unwrap();
    cache.is_empty();
    assert_eq!(block_on(cache.get()), Outcome::Value(0));
    cache.is_empty();
}

/// A panic that the engine caught, or an error, is the answer for all who wait; whoever comes later loads.
pub(crate) fn failure_releases_everybody() {
    let cache = Cache::new();
    let led = leads(&cache);
    let leader = {
        let cache = cache.clone();
        thread::spawn(move || cache.finish(led, Outcome::Failed))
    };
    let followers = [get(&cache), get(&cache)];
    leader.join().unwrap();
    for follower in followers {
        follower.join().unwrap();
    }
    assert!(cache.loads.load(SeqCst) <= 1);
    cache.is_empty();
    assert_eq!(cache.read(), Outcome::Value(0), "the next call starts clean");
    cache.is_empty();
}
