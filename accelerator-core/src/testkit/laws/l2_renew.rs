//! The laws of an L2 store about renewing leases, and about reads that are given up. Where the limits name no shortest
//! lease, there is nothing to renew.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::timeout;

use super::l2::{LONG, fresh_key, get};
use super::l2_lease::{LEASE, assert_hit, fill, lease, read, token, value};
use super::l2_time::{assert_goes, outlive_short, short};
use super::time::Time;
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken};

async fn renew<S: L2Store + ?Sized>(store: &S, key: &str, token: &LeaseToken) -> Option<LeaseToken> {
    store.renew(key, token, LEASE).await.expect("renew")
}

fn renews<S: L2Store + ?Sized>(store: &S) -> bool {
    store.limits().leases && store.limits().shortest_lease.is_some()
}

async fn assert_busy<S: L2Store + ?Sized>(store: &S, key: &str, what: &str) {
    let read = read(store, key).await;
    assert!(matches!(read, L2Read::Busy), "{what} reads {read:?}");
}

/// A lease goes on by renewals, is still nobody else's and no value, and ends as any: filled, or given back.
pub async fn a_renewed_lease_is_filled_and_released<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !renews(store) {
        return;
    }
    for filled in [true, false] {
        let (key, loaded) = (fresh_key(), value("loaded"));
        let mut token = lease(store, &key).await;
        for _ in 0..3 {
            token = renew(store, &key, &token).await.expect("a lease that stands");
            assert_busy(store, &key, "a renewed lease").await;
            assert_eq!(get(store, &key).await, None, "a plain read of a renewed lease");
        }
        if filled {
            assert_eq!(fill(store, &key, &token, &loaded).await, Filled::Stored);
            assert_hit(&read(store, &key).await, &loaded);
        } else {
            store.release(&key, token).await.expect("release");
            lease(store, &key).await;
        }
    }
}

/// Whatever ends a lease ends it for renewals, which leave alone what came in its place.
pub async fn a_lease_that_is_gone_is_not_renewed<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !renews(store) {
        return;
    }
    for then in ["a delete", "a set", "a fill", "a hold", "a release", "another's lease"] {
        let (key, there) = (fresh_key(), value("there"));
        let token = lease(store, &key).await;
        match then {
            "a set" => store.set(&key, there.clone(), LONG).await,
            "a hold" => store.hold(&key, HoldOwner::random(), LEASE).await,
            "a release" => store.release(&key, token).await,
            "a fill" => store.fill(&key, &token, there.clone(), LONG).await.map(drop),
            _ => store.del(&key).await,
        }
        .expect(then);
        let others = if then == "another's lease" { Some(lease(store, &key).await) } else { None };
        assert_eq!(renew(store, &key, &token).await, None, "after {then}");
        match (then, others) {
            ("a set" | "a fill", _) => assert_hit(&read(store, &key).await, &there),
            ("a hold", _) => assert_eq!(read(store, &key).await, L2Read::Held),
            (_, Some(others)) => assert_eq!(fill(store, &key, &others, &there).await, Filled::Stored, "after {then}"),
            _ => assert!(token != lease(store, &key).await, "after {then}"),
        }
    }
}

/// The token of a value that was seen renews nothing: the value stays.
pub async fn a_value_seen_is_not_renewed<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !renews(store) {
        return;
    }
    let (key, stored) = (fresh_key(), value("stored"));
    store.set(&key, stored.clone(), LONG).await.expect("set");
    if let L2Read::Hit { seen: Some(seen), .. } = read(store, &key).await {
        assert_eq!(renew(store, &key, &seen).await, None);
        assert_hit(&read(store, &key).await, &stored);
        let refreshed = value("refreshed");
        assert_eq!(fill(store, &key, &seen, &refreshed).await, Filled::Stored, "what was seen is still there");
    }
}

/// A token that was never given, or for another key, renews nothing. It may be an error.
pub async fn a_foreign_token_renews_nothing<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !renews(store) {
        return;
    }
    let (missing, there, leased, other) = (fresh_key(), fresh_key(), fresh_key(), fresh_key());
    let stored = value("there");
    store.set(&there, stored.clone(), LONG).await.expect("set");
    let own = lease(store, &leased).await;
    for token in [lease(store, &other).await, LeaseToken::new([0; 32]), LeaseToken::new([0xFF; 32])] {
        for key in [&missing, &there, &leased] {
            let renewed = store.renew(key, &token, LEASE).await;
            assert!(matches!(renewed, Ok(None) | Err(_)), "renewed by a foreign token");
        }
    }
    lease(store, &missing).await;
    assert_hit(&read(store, &there).await, &stored);
    assert_eq!(fill(store, &leased, &own, &value("loaded")).await, Filled::Stored, "the lease of the one who has it");
}

/// A batch of renewals answers in the order of its input, and nothing by nothing.
pub async fn renewals_of_a_batch_answer_in_order<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !renews(store) {
        return;
    }
    assert!(store.mrenew(Vec::new(), LEASE).await.is_empty(), "mrenew of nothing");
    let keys: Vec<String> = (0..300).map(|_| fresh_key()).collect();
    let mut items = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        let token = lease(store, key).await;
        if n % 3 == 1 {
            store.release(key, token).await.expect("release");
        }
        items.push((&**key, token));
    }
    let renewed = store.mrenew(items, LEASE).await;
    assert_eq!(renewed.len(), keys.len(), "one answer per key");
    for (n, (key, renewed)) in keys.iter().zip(renewed).enumerate() {
        let token = renewed.expect("mrenew");
        assert_eq!(token.is_none(), n % 3 == 1, "of the key at {n}");
        if let Some(token) = token {
            assert_eq!(fill(store, key, &token, &value("loaded")).await, Filled::Stored, "of the key at {n}");
        }
    }
}

/// A renewed lease stands after its first time is over.
pub async fn a_renewed_lease_stands_longer<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !renews(store) {
        return;
    }
    let (key, start) = (fresh_key(), Instant::now());
    let read = store.get_or_lease(&key, short(store)).await.expect("get_or_lease");
    let first = token(&read).ok_or(read).expect("the lease of a key that nobody has");
    let renewed = renew(store, &key, &first).await;
    // On a machine that slept through the first time, the law has nothing to say.
    let Some(renewed) = renewed.or_else(|| time.is_within(start, short(store) / 3).then_some(first)) else { return };
    outlive_short(store, time).await;
    assert_busy(store, &key, "a renewed lease").await;
    assert_eq!(fill(store, &key, &renewed, &value("loaded")).await, Filled::Stored);
}

/// A renewal lasts as long as it says; it begins no lease anew that has ended, and lengthens no value's life.
pub async fn a_renewal_ends<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !renews(store) {
        return;
    }
    let (renewed, over, there) = (fresh_key(), fresh_key(), fresh_key());
    let first = lease(store, &renewed).await;
    let late = store.get_or_lease(&over, short(store)).await.expect("get_or_lease");
    store.set(&there, value("there"), short(store)).await.expect("set");
    let second = store.renew(&renewed, &first, short(store)).await.expect("renew").expect("a lease that stands");
    if let L2Read::Hit { seen: Some(seen), .. } = read(store, &there).await {
        let _ = store.renew(&there, &seen, LEASE).await;
    }
    outlive_short(store, time).await;
    let start = Instant::now();
    while token(&read(store, &renewed).await).is_none() {
        assert!(start.elapsed() < time.patience(), "a renewed lease did not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(fill(store, &renewed, &second, &value("late")).await, Filled::Lost, "a renewal past its end");
    if let Some(late) = token(&late) {
        assert_eq!(renew(store, &over, &late).await, None, "a lease past its end");
        lease(store, &over).await;
    }
    assert_goes(store, time, &there, "a value lives longer by a renewal").await;
}

/// How long after the read was given up its lease must be free: far less than it lasts.
const GIVEN_BACK: Duration = Duration::from_secs(1);

/// Who gives a read up, whenever that is, leaves no lease behind that nobody knows of.
pub async fn a_read_that_is_given_up_leaves_no_lease<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    for micros in [0, 0, 20, 50, 100, 200, 400, 800, 1600] {
        let keys = [fresh_key(), fresh_key(), fresh_key()];
        let [one, two, three] = keys.each_ref().map(String::as_str);
        let limit = Duration::from_micros(micros);
        let (single, batch) = match micros {
            0 => (
                store.get_or_lease(one, LEASE).now_or_never(),
                store.mget_or_lease(&[two, three], LEASE).now_or_never(),
            ),
            _ => (
                timeout(limit, store.get_or_lease(one, LEASE)).await.ok(),
                timeout(limit, store.mget_or_lease(&[two, three], LEASE)).await.ok(),
            ),
        };
        let answers = batch.into_iter().flatten().zip([two, three]).chain(single.map(|answer| (answer, one)));
        for (answer, key) in answers.collect::<Vec<_>>() {
            if let Some(token) = answer.ok().as_ref().and_then(token) {
                store.release(key, token).await.expect("release");
            }
        }
        let start = Instant::now();
        for key in [one, two, three] {
            while token(&read(store, key).await).is_none() {
                assert!(start.elapsed() < GIVEN_BACK, "a lease that nobody knows of");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}
