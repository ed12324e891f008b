//! The place of the work: with its leader until somebody else depends on it, then in a task, and always at its end once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::sync::mpsc::channel;
use shuttle::thread::{self, JoinHandle};

use crate::level::drive::host::Host;
use crate::level::drive::in_task::look_after;
use crate::level::drive::wait::LoadsWith;
use crate::level::flight::handoff::{ASLEEP, Looked};
use crate::level::flight::join::Join;
use crate::rig::{Cache, Flight, Follow, InTask, Led, Outcome, Waited, Wire, launch_first, poll_once, take_over};

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a short time")
}

fn get(cache: &Arc<Cache>, wire: &Arc<Wire>) -> JoinHandle<Outcome> {
    let (cache, wire) = (cache.clone(), wire.clone());
    thread::spawn(move || block_on(cache.get_by_work(&wire)))
}

fn answers(wire: &Arc<Wire>) -> JoinHandle<()> {
    let wire = wire.clone();
    thread::spawn(move || wire.answer())
}

fn leads(cache: &Arc<Cache>, borrowed: bool) -> Arc<Flight> {
    match cache.join(borrowed) {
        Join::Lead(flight) => flight,
        _ => panic!("nobody else is there yet"),
    }
}

pub(crate) fn follower_moves_the_work() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let threads = [get(&cache, &wire), get(&cache, &wire), get(&cache, &wire)];
    let answer = answers(&wire);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Outcome::Value(0));
    }
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the work");
    cache.is_empty();
}

/// The leader is dropped where it waits, at the same time as somebody follows.
pub(crate) fn dropped_leader_moves_the_work() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let flight = leads(&cache, false);
    let leader = {
        let (cache, wire) = (cache.clone(), wire.clone());
        thread::spawn(move || drop(block_on(launch_first(&cache, flight, &wire))))
    };
    let follower = get(&cache, &wire);
    let answer = answers(&wire);
    assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    leader.join().unwrap();
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the work");
    cache.is_empty();
}

/// Nobody follows: the load goes on all the same, and the value is cached.
pub(crate) fn dropped_leader_alone() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let leader = {
        let (cache, wire) = (cache.clone(), wire.clone());
        thread::spawn(move || poll_once(cache.get_by_work(&wire)))
    };
    leader.join().unwrap();
    answers(&wire).join().unwrap();
    // The task is nobody's: its end is seen in L1.
    while cache.l1().is_none() || cache.table.len() > 0 {
        thread::yield_now();
    }
    assert_eq!(wire.ends(), 1, "ends of the work");
}

/// The leader's future is held without being polled until the follower has its answer.
pub(crate) fn held_leader_holds_nobody() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let flight = leads(&cache, false);
    let (done, is_done) = channel();
    let leader = {
        let (cache, wire) = (cache.clone(), wire.clone());
        thread::spawn(move || {
            let held = block_on(launch_first(&cache, flight, &wire));
            is_done.recv().unwrap();
            drop(held);
        })
    };
    let follower = get(&cache, &wire);
    let answer = answers(&wire);
    assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    done.send(()).unwrap();
    leader.join().unwrap();
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the work");
    cache.is_empty();
}

/// The same for who takes over from a leader that disappeared.
pub(crate) fn held_heir_holds_nobody() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let led = Led::new(leads(&cache, true));
    let (done, is_done) = channel();
    let leader = thread::spawn(move || drop(led));
    let heir = {
        let (cache, wire) = (cache.clone(), wire.clone());
        thread::spawn(move || {
            let led = match cache.join(false) {
                Join::Lead(flight) => Some(Led::new(flight)),
                Join::Follow(flight) => match block_on(Follow::new(flight, LoadsWith::Loader)) {
                    Waited::Lead(led) => Some(led),
                    _ => None,
                },
                Join::Hit(_) => None,
            };
            let held = led.map(|led| block_on(take_over(&cache, led, &wire)));
            is_done.recv().unwrap();
            drop(held);
        })
    };
    let follower = get(&cache, &wire);
    let answer = answers(&wire);
    assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    done.send(()).unwrap();
    leader.join().unwrap();
    heir.join().unwrap();
    answer.join().unwrap();
    cache.is_empty();
}

/// The leader gives up instead of polling (a ticket, or a runtime that shuts down): who takes over works itself.
pub(crate) fn dropped_task_hands_over() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let led = Led::new(leads(&cache, true));
    let leader = thread::spawn(move || drop(led));
    let threads = [get(&cache, &wire), get(&cache, &wire)];
    let answer = answers(&wire);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Outcome::Value(0));
    }
    leader.join().unwrap();
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the work");
    cache.is_empty();
}

/// A task that its runtime doesn't run, made by a leader that went away.
fn asleep(cache: &Arc<Cache>, wire: &Arc<Wire>) -> (Arc<Flight>, InTask) {
    let flight = leads(cache, false);
    let in_place = block_on(launch_first(cache, flight.clone(), wire)).expect_err("there is no answer yet");
    let Looked::Task(hand) = flight.detach(false, cache.now()) else { panic!("it was with its leader") };
    drop(in_place);
    (flight.clone(), InTask::new(flight, hand).expect("it was parked for a task"))
}

/// Another task takes its place, before its runtime ends at last.
pub(crate) fn replaced_task_takes_nothing_with_it() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let (flight, asleep) = asleep(&cache, &wire);
    // Who would have to load anew would wait for ever.
    let follower = get(&cache, &Wire::new());
    cache.ahead.fetch_add(ms(ASLEEP), Relaxed);
    look_after(&flight);
    let late = thread::spawn(move || drop(asleep));
    let answer = answers(&wire);
    assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    late.join().unwrap();
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the work");
    cache.is_empty();
}

/// Another task takes its place while its runtime begins to run it.
pub(crate) fn replaced_task_may_wake_up() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let (flight, asleep) = asleep(&cache, &wire);
    let late = thread::spawn(move || block_on(asleep));
    let follower = get(&cache, &Wire::new());
    let answer = answers(&wire);
    // The first look wakes it where it is waiting, the next takes its place.
    for looks in 1..=3 {
        cache.ahead.fetch_add(ms(ASLEEP) * 2 * looks, Relaxed);
        look_after(&flight);
    }
    assert_eq!(follower.join().unwrap(), Outcome::Value(0));
    late.join().unwrap();
    answer.join().unwrap();
    assert_eq!(wire.ends(), 1, "ends of the work");
    cache.is_empty();
}
