//! The laws of an L2 store with leases. Where the limits say that there are none, they ask nothing.

use std::time::Duration;

use bytes::Bytes;

use super::l2::{LONG, fresh_key, get};
use super::time::Time;
use crate::traits::head::{Head, Kind};
use crate::traits::l2::{Filled, L2Read, L2Store, LeaseToken};

/// Long enough for a law, and for servers that count in seconds.
const LEASE: Duration = Duration::from_secs(30);

/// A value as the engine writes it: backends with leases read its head.
fn value(payload: &str) -> Bytes {
    [&Head::random(Kind::Value).to_bytes()[..], payload.as_bytes()].concat().into()
}

async fn read<S: L2Store + ?Sized>(store: &S, key: &str) -> L2Read {
    store.get_or_lease(key, LEASE).await.expect("get_or_lease")
}

/// Takes a lease that must be free.
async fn lease<S: L2Store + ?Sized>(store: &S, key: &str) -> LeaseToken {
    let read = read(store, key).await;
    let token = token(&read);
    assert!(token.is_some(), "the lease of a key that nobody has: {read:?}");
    token.expect("just asserted")
}

fn token(read: &L2Read) -> Option<LeaseToken> {
    if let L2Read::Leased { token, .. } = read { Some(*token) } else { None }
}

async fn fill<S: L2Store + ?Sized>(store: &S, key: &str, token: &LeaseToken, value: &Bytes) -> Filled {
    store.fill(key, token, value.clone(), LONG).await.expect("fill")
}

fn assert_hit(read: &L2Read, value: &Bytes) {
    assert!(matches!(read, L2Read::Hit { bytes, .. } if bytes == value), "expected the value, read {read:?}");
}

/// Of those who miss, one gets the lease, and the others hear that somebody loads.
pub async fn a_lease_is_granted_once<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, other) = (fresh_key(), fresh_key());
    lease(store, &key).await;
    for _ in 0..3 {
        let second = read(store, &key).await;
        assert!(matches!(second, L2Read::Busy { .. }), "a second reader read {second:?}");
    }
    lease(store, &other).await;
}

/// The holder's value is stored, and is a hit from then on, with and without leases.
pub async fn a_fill_under_the_lease_is_stored<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, value) = (fresh_key(), value("loaded"));
    let token = lease(store, &key).await;
    assert_eq!(fill(store, &key, &token, &value).await, Filled::Stored);
    assert_hit(&read(store, &key).await, &value);
    assert_eq!(get(store, &key).await, Some(value), "a plain get");
}

/// A delete ends the lease: what was loaded before it must not be stored after it.
pub async fn a_fill_after_a_delete_is_lost<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    let before = lease(store, &key).await;
    store.del(&key).await.expect("del");
    assert_eq!(fill(store, &key, &before, &value("stale")).await, Filled::Lost, "with nothing in its place");
    let after = lease(store, &key).await;
    assert_eq!(fill(store, &key, &before, &value("stale")).await, Filled::Lost, "with another's lease in its place");
    let fresh = value("fresh");
    assert_eq!(fill(store, &key, &after, &fresh).await, Filled::Stored, "the newer lease");
    assert_eq!(fill(store, &key, &before, &value("stale")).await, Filled::Lost, "with a value in its place");
    assert_hit(&read(store, &key).await, &fresh);
}

/// A set ends the lease as a delete does.
pub async fn a_fill_after_a_set_is_lost<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, written) = (fresh_key(), value("written"));
    let token = lease(store, &key).await;
    store.set(&key, written.clone(), LONG).await.expect("set");
    assert_eq!(fill(store, &key, &token, &value("stale")).await, Filled::Lost);
    assert_hit(&read(store, &key).await, &written);
}

/// A token is good for one fill.
pub async fn a_used_token_fills_nothing<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, first) = (fresh_key(), value("first"));
    let token = lease(store, &key).await;
    assert_eq!(fill(store, &key, &token, &first).await, Filled::Stored);
    assert_eq!(fill(store, &key, &token, &value("second")).await, Filled::Lost);
    assert_hit(&read(store, &key).await, &first);
}

/// Where a hit comes with proof of what was read, exactly this value can be replaced, once.
pub async fn a_value_seen_can_be_replaced_once<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, refreshed) = (fresh_key(), value("refreshed"));
    store.set(&key, value("old"), LONG).await.expect("set");
    if let L2Read::Hit { seen: Some(seen), .. } = read(store, &key).await {
        assert_eq!(fill(store, &key, &seen, &refreshed).await, Filled::Stored);
        assert_eq!(fill(store, &key, &seen, &value("late")).await, Filled::Lost);
        assert_hit(&read(store, &key).await, &refreshed);
    }
}

/// A lease given back is free for the next, and worth nothing to the one who gave it back.
pub async fn a_released_lease_is_free<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    let first = lease(store, &key).await;
    store.release(&key, first).await.expect("release");
    let (second, loaded) = (lease(store, &key).await, value("loaded"));
    assert_eq!(fill(store, &key, &first, &value("late")).await, Filled::Lost, "a lease given back");
    // Giving it back twice must not take the next holder's lease.
    store.release(&key, first).await.expect("release");
    assert_eq!(fill(store, &key, &second, &loaded).await, Filled::Stored);
    store.release(&key, second).await.expect("release after the fill");
    assert_hit(&read(store, &key).await, &loaded);
}

/// A writer's hold gives no leases and ends those given; a delete ends the hold.
pub async fn a_hold_blocks_leases_and_older_fills<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    let older = lease(store, &key).await;
    store.hold(&key, LEASE).await.expect("hold");
    assert_eq!(fill(store, &key, &older, &value("stale")).await, Filled::Lost, "an older lease");
    assert_eq!(read(store, &key).await, L2Read::Held);
    store.release(&key, older).await.expect("release");
    assert_eq!(read(store, &key).await, L2Read::Held, "an older lease's release ended the hold");
    store.del(&key).await.expect("del");
    lease(store, &key).await;
}

/// A holder that died doesn't block the key for ever, and its late fill is lost.
pub async fn a_lease_ends<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let grain = store.limits().ttl_granularity.max(Duration::from_millis(50));
    let (key, short) = (fresh_key(), grain * 2);
    let first = store.get_or_lease(&key, short).await.expect("get_or_lease");
    let first = token(&first).expect("the lease of a key that nobody has");
    time.pass(short + grain).await;
    let start = std::time::Instant::now();
    let second = loop {
        match read(store, &key).await {
            L2Read::Busy { .. } if start.elapsed() < time.patience() => time.pass(grain).await,
            ended => break token(&ended).expect("the lease after another's end"),
        }
    };
    assert_eq!(fill(store, &key, &first, &value("late")).await, Filled::Lost, "a lease past its end");
    assert_eq!(fill(store, &key, &second, &value("loaded")).await, Filled::Stored);
}

/// The batch forms answer in the order of their input.
pub async fn lease_batches_answer_in_order<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (there, busy, free) = (fresh_key(), fresh_key(), fresh_key());
    let stored = value("there");
    store.set(&there, stored.clone(), LONG).await.expect("set");
    lease(store, &busy).await;
    let reads = store.mget_or_lease(&[&free, &there, &busy], LEASE).await;
    let mut reads = reads.into_iter().map(|read| read.expect("mget_or_lease"));
    let token = token(&reads.next().expect("three answers")).expect("the lease of the free key");
    assert_hit(&reads.next().expect("three answers"), &stored);
    let third = reads.next().expect("three answers");
    assert!(matches!(third, L2Read::Busy { .. }), "a leased key read {third:?}");
    assert!(reads.next().is_none(), "more answers than keys");
    let loaded = value("loaded");
    let items = vec![(&*busy, token, value("stale"), LONG), (&*free, token, loaded.clone(), LONG)];
    let filled: Vec<_> = store.mfill(items).await.into_iter().map(|filled| filled.expect("mfill")).collect();
    assert_eq!(filled, [Filled::Lost, Filled::Stored], "the token is that of the second key");
    assert_eq!(get(store, &free).await, Some(loaded));
}
