//! The laws of an L2 store with leases. Where the limits say that there are none, they ask nothing.

use std::time::Duration;

use bytes::Bytes;

use super::l2::{LONG, fresh_key, get};
use super::l2_batch::mget;
use super::time::Time;
use crate::traits::l2::head::{Head, Kind};
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken};

/// Long enough for a law, and for servers that count in seconds.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// A value as the engine writes it: backends with leases read its head.
pub(super) fn value(payload: &str) -> Bytes {
    [&Head::random(Kind::Value).to_bytes()[..], payload.as_bytes()].concat().into()
}

pub(super) async fn read<S: L2Store + ?Sized>(store: &S, key: &str) -> L2Read {
    store.get_or_lease(key, LEASE).await.expect("get_or_lease")
}

/// Takes a lease that must be free.
pub(super) async fn lease<S: L2Store + ?Sized>(store: &S, key: &str) -> LeaseToken {
    let read = read(store, key).await;
    token(&read).ok_or(read).expect("the lease of a key that nobody has")
}

pub(super) fn token(read: &L2Read) -> Option<LeaseToken> {
    if let L2Read::Leased { token, .. } = read { Some(*token) } else { None }
}

pub(super) async fn fill<S: L2Store + ?Sized>(store: &S, key: &str, token: &LeaseToken, value: &Bytes) -> Filled {
    store.fill(key, token, value.clone(), LONG).await.expect("fill")
}

pub(super) fn assert_hit(read: &L2Read, value: &Bytes) {
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
        assert!(matches!(second, L2Read::Busy), "a second reader read {second:?}");
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

/// A writer's hold gives no leases and ends those given; its owner ends it.
pub async fn a_hold_blocks_leases_and_older_fills<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, owner) = (fresh_key(), HoldOwner::random());
    let older = lease(store, &key).await;
    store.hold(&key, owner, LEASE).await.expect("hold");
    assert_eq!(fill(store, &key, &older, &value("stale")).await, Filled::Lost, "an older lease");
    assert_eq!(read(store, &key).await, L2Read::Held);
    store.release(&key, older).await.expect("release");
    assert_eq!(read(store, &key).await, L2Read::Held, "an older lease's release ended the hold");
    store.unhold(&key, owner).await.expect("unhold");
    lease(store, &key).await;
}

/// A read for a lease answers every value that a plain read answers: known absence, nothing, and what isn't ours.
pub async fn a_read_for_a_lease_finds_what_a_plain_read_finds<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let absent = Head::random(Kind::Absent).to_bytes();
    let half_a_head = &absent[..5];
    for bytes in
        [&absent[..], half_a_head, b"", b"\0", b"\r\n", b"EN\r\n", b"foreign, and longer than a head", &[0xC7; 40]]
    {
        let (key, stored) = (fresh_key(), Bytes::copy_from_slice(bytes));
        store.set(&key, stored.clone(), LONG).await.expect("set");
        assert_eq!(get(store, &key).await.as_ref(), Some(&stored), "a plain read");
        assert_hit(&read(store, &key).await, &stored);
        assert_hit(&read(store, &key).await, &stored);
    }
}

/// What marks a lease or a hold in the store is no value: a plain read finds nothing, and least of all the mark.
pub async fn a_lease_or_hold_is_no_value<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (leased, held, there) = (fresh_key(), fresh_key(), fresh_key());
    let stored = value("there");
    store.set(&held, value("before the hold"), LONG).await.expect("set");
    store.set(&there, stored.clone(), LONG).await.expect("set");
    lease(store, &leased).await;
    store.hold(&held, HoldOwner::random(), LEASE).await.expect("hold");
    assert_eq!(get(store, &leased).await, None, "a lease");
    assert_eq!(get(store, &held).await, None, "a hold");
    assert_eq!(mget(store, &[&leased, &there, &held]).await, [None, Some(stored), None], "a batch");
    let second = read(store, &leased).await;
    assert!(matches!(second, L2Read::Busy), "a plain read ended the lease: {second:?}");
    assert_eq!(read(store, &held).await, L2Read::Held, "a plain read ended the hold");
}
