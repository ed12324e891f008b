//! Several leaders of one flight: a ticket beside a late one. The first end is everybody's, none is in the way of another,
//! and nothing old stays.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::sync::atomic::Ordering::SeqCst;
use shuttle::sync::mpsc::channel;
use shuttle::thread::{self, JoinHandle};
use tokio::time::Instant;

use crate::level::drive::host::unregister;
use crate::level::flight::join::Join;
use crate::level::flight::patience::Limits;
use crate::rig::{Cache, Flight, Led, Outcome, Wire, take_over};

fn reads(cache: &Arc<Cache>) -> JoinHandle<Outcome> {
    let cache = cache.clone();
    thread::spawn(move || cache.read())
}

fn loads(cache: &Arc<Cache>, led: Led) -> JoinHandle<Outcome> {
    let cache = cache.clone();
    thread::spawn(move || cache.load(led))
}

/// As `Follow::wait_patiently`, of one whose patience is over.
fn beside(flight: &Arc<Flight>) -> Option<Led> {
    let cache = &flight.context;
    if !cache.table.register_beside(flight, || cache.generation()) {
        return None;
    }
    let arrived = Instant::now().checked_sub(Duration::from_millis(20)).expect("it runs since longer than that");
    if flight.lead_beside(&mut None, arrived, Limits::new(Duration::ZERO, Duration::ZERO)) {
        return Some(Led::new(flight.clone()));
    }
    unregister(flight);
    None
}

/// One who leads, and one who leads beside it.
fn two_leaders(cache: &Arc<Cache>) -> (Led, Led) {
    let Join::Lead(first) = cache.join(true) else { panic!("nobody else is there yet") };
    let Join::Follow(followed) = cache.join(true) else { panic!("somebody leads") };
    let second = beside(&followed).expect("nobody is in the way");
    (Led::new(first), second)
}

pub(crate) fn two_leaders_answer_all() {
    let cache = Cache::new();
    let (first, second) = two_leaders(&cache);
    let all = [reads(&cache), loads(&cache, first), loads(&cache, second), reads(&cache)];
    for one in all {
        assert_eq!(one.join().unwrap(), Outcome::Value(0));
    }
    assert_eq!(cache.loads.load(SeqCst), 2, "nobody else loads");
    cache.at_rest();
}

pub(crate) fn two_leaders_against_del() {
    let cache = Cache::with_l2(false);
    let (first, second) = two_leaders(&cache);
    let all = [loads(&cache, first), loads(&cache, second), reads(&cache)];
    let change = cache.change();
    cache.del();
    cache.acknowledge(change);
    assert_eq!(cache.read(), Outcome::Value(1));
    for one in all {
        one.join().unwrap();
    }
    cache.at_rest();
}

/// The one who leads beside comes while the flight ends, is given up or is invalidated.
pub(crate) fn second_leader_against_the_end_of_the_first() {
    for end in [0, 1, 2] {
        let cache = Cache::new();
        let Join::Lead(first) = cache.join(true) else { panic!("nobody else is there yet") };
        let Join::Follow(followed) = cache.join(true) else { panic!("somebody leads") };
        let first = Led::new(first);
        let ends = {
            let cache = cache.clone();
            thread::spawn(move || match end {
                0 => drop(cache.load(first)),
                1 => drop(first),
                _ => {
                    cache.del();
                    cache.load(first);
                }
            })
        };
        let reader = reads(&cache);
        if let Some(second) = beside(&followed) {
            cache.load(second);
        }
        ends.join().unwrap();
        assert_eq!(reader.join().unwrap(), Outcome::Value(0));
        drop(followed);
        cache.at_rest();
    }
}

/// One of two goes: nobody need take over.
pub(crate) fn one_of_two_leaders_goes() {
    let cache = Cache::new();
    let (first, second) = two_leaders(&cache);
    let goes = thread::spawn(move || drop(first));
    let all = [reads(&cache), loads(&cache, second)];
    goes.join().unwrap();
    for one in all {
        assert_eq!(one.join().unwrap(), Outcome::Value(0));
    }
    assert_eq!(cache.loads.load(SeqCst), 1, "one load goes on");
    cache.at_rest();
}

pub(crate) fn both_leaders_go() {
    let cache = Cache::new();
    let (first, second) = two_leaders(&cache);
    let goes = [thread::spawn(move || drop(first)), thread::spawn(move || drop(second))];
    assert_eq!(cache.read(), Outcome::Value(0), "whoever waits takes over, and whoever comes starts anew");
    goes.into_iter().for_each(|one| one.join().unwrap());
    assert_eq!(cache.loads.load(SeqCst), 1);
    cache.at_rest();
}

/// The registration of the one who is late lasts until it ends: its end is not taken from somebody else.
pub(crate) fn a_late_leader_ends_nobody_elses_registration() {
    let cache = Cache::new();
    let (first, second) = two_leaders(&cache);
    cache.load(second);
    cache.del();
    let Join::Lead(newer) = cache.join(true) else { panic!("it was invalidated") };
    let (newer, before) = (Led::new(newer), cache.loads.load(SeqCst));
    let late = thread::spawn(move || drop(first));
    let reader = reads(&cache);
    late.join().unwrap();
    // The slot of the newer flight is still there, and so is the flight.
    assert!(matches!(cache.join(true), Join::Follow(_)));
    cache.load(newer);
    assert_eq!(reader.join().unwrap(), Outcome::Value(0));
    assert_eq!(cache.loads.load(SeqCst), before + 1);
    cache.at_rest();
}

/// A load that is polled in place beside a ticket ends with the ticket: its leader is woken.
pub(crate) fn a_ticket_ends_the_work_beside_it() {
    let (cache, wire) = (Cache::new(), Wire::new());
    let (first, second) = two_leaders(&cache);
    let (done, is_done) = channel();
    let works = {
        let (cache, wire) = (cache.clone(), wire.clone());
        thread::spawn(move || {
            let outcome = block_on(async {
                match take_over(&cache, second, &wire).await {
                    Ok(outcome) => outcome,
                    Err(in_place) => match in_place.expect("it leads").await {
                        Ok(outcome) => outcome,
                        Err(moved) => moved.and_then(|flight| flight.result().copied()).expect("nobody moves it"),
                    },
                }
            });
            done.send(outcome).unwrap();
        })
    };
    assert_eq!(cache.load(first), Outcome::Value(0));
    // The wire has not answered: only the ticket has.
    assert_eq!(is_done.recv().unwrap(), Outcome::Value(0));
    works.join().unwrap();
    wire.answer();
    // Work that was being polled just then goes on in a task.
    while cache.table.len() > 0 {
        thread::yield_now();
    }
    cache.at_rest();
}
