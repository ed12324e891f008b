//! The laws of an L2 store about whose a hold is, and what ends it.

use std::time::Instant;

use futures_util::future::join_all;

use super::l2::{LONG, fresh_key, get};
use super::l2_lease::{LEASE, assert_hit, fill, lease, read, value};
use super::l2_lease_time::assert_gets_free;
use super::l2_time::{grain, outlive_short, short};
use super::time::Time;
use crate::error::{StoreErrorKind, StoreResult};
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store};

/// So many writers of one key at once are few.
const WRITERS: usize = 8;

async fn hold<S: L2Store + ?Sized>(store: &S, key: &str) -> HoldOwner {
    let owner = HoldOwner::random();
    store.hold(key, owner, LEASE).await.expect("hold");
    owner
}

async fn unhold<S: L2Store + ?Sized>(store: &S, key: &str, owner: HoldOwner) {
    store.unhold(key, owner).await.expect("unhold");
}

async fn assert_held<S: L2Store + ?Sized>(store: &S, key: &str, what: &str) {
    assert_eq!(read(store, key).await, L2Read::Held, "{what}");
    let batch = store.mget_or_lease(&[key], LEASE).await;
    assert!(matches!(batch[..], [Ok(L2Read::Held)]), "{what}, in a batch: {batch:?}");
    assert_eq!(get(store, key).await, None, "{what}");
}

/// The set of a held key says so, and nothing else went wrong.
fn assert_refused(set: StoreResult<()>) {
    assert_eq!(set.map_err(|e| e.kind()), Err(StoreErrorKind::Held), "a set of a held key");
}

/// Of two holds the one ends that is ended. The key is free when both have.
pub async fn a_hold_ends_by_its_owner_alone<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    for first_ends_first in [true, false] {
        let key = fresh_key();
        let (first, second) = (hold(store, &key).await, hold(store, &key).await);
        let (ends, stays) = if first_ends_first { (first, second) } else { (second, first) };
        unhold(store, &key, ends).await;
        assert_held(store, &key, "the hold of another was ended").await;
        unhold(store, &key, ends).await;
        unhold(store, &key, HoldOwner::random()).await;
        assert_held(store, &key, "the hold of another was ended by one that was over").await;
        unhold(store, &key, stays).await;
        lease(store, &key).await;
    }
}

/// What others delete and set beside a hold leaves it standing, and leaves no value.
pub async fn a_delete_or_set_leaves_a_hold<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    let owner = hold(store, &key).await;
    store.del(&key).await.expect("del");
    assert_held(store, &key, "a delete ended a hold").await;
    assert_refused(store.set(&key, value("set"), LONG).await);
    assert_held(store, &key, "a set ended a hold").await;
    unhold(store, &key, owner).await;
    let token = lease(store, &key).await;
    assert_eq!(fill(store, &key, &token, &value("loaded")).await, Filled::Stored, "once it was free");
}

/// The same of batches, whose other keys are deleted and set.
pub async fn a_batch_leaves_a_hold<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (held, free, written) = (fresh_key(), fresh_key(), value("written"));
    let owner = hold(store, &held).await;
    let mut set = store.mset(vec![(&*held, value("set"), LONG), (&*free, written.clone(), LONG)]).await.into_iter();
    assert_refused(set.next().expect("an answer per item"));
    set.next().expect("an answer per item").expect("mset of a free key");
    assert_held(store, &held, "a batch of sets ended a hold").await;
    assert_hit(&read(store, &free).await, &written);
    for deleted in store.mdel(&[&held, &free]).await {
        deleted.expect("mdel");
    }
    assert_held(store, &held, "a batch of deletes ended a hold").await;
    assert_eq!(get(store, &free).await, None, "the other key of the batch");
    unhold(store, &held, owner).await;
    lease(store, &held).await;
}

/// Who ends a hold that is over deletes what is there instead: the value, or the lease.
pub async fn an_end_of_no_hold_is_a_delete<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    store.set(&key, value("older"), LONG).await.expect("set");
    unhold(store, &key, HoldOwner::random()).await;
    assert_eq!(get(store, &key).await, None, "a value outlived the end of a hold");
    let older = lease(store, &key).await;
    unhold(store, &key, HoldOwner::random()).await;
    assert_eq!(fill(store, &key, &older, &value("stale")).await, Filled::Lost, "a lease outlived the end of a hold");
}

/// A dead writer's hold ends at its own time, though others hold the key later and for longer.
pub async fn each_hold_ends_at_its_own_time<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, lasting, start) = (fresh_key(), fresh_key(), Instant::now());
    for key in [&key, &lasting] {
        store.hold(key, HoldOwner::random(), short(store)).await.expect("hold");
    }
    let (ends, stays) = (hold(store, &key).await, hold(store, &lasting).await);
    store.hold(&lasting, HoldOwner::random(), short(store)).await.expect("hold");
    unhold(store, &key, ends).await;
    if read(store, &key).await != L2Read::Held {
        // On a machine that slept through the hold, the law has nothing to say.
        assert!(!time.is_within(start, short(store) - grain(store)), "a hold was over before its time");
        return;
    }
    outlive_short(store, time).await;
    assert_gets_free(store, time, &key, "a hold did not end").await;
    assert_held(store, &lasting, "a longer hold ended with a shorter one").await;
    unhold(store, &lasting, stays).await;
    lease(store, &lasting).await;
}

/// Holds of one key, as many as may come together, are counted one by one.
pub async fn many_holds_of_one_key_are_counted<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, mut owners) = (fresh_key(), Vec::new());
    for _ in 0..20 {
        owners.push(hold(store, &key).await);
    }
    // The same hold once more is one.
    store.hold(&key, owners[0], LEASE).await.expect("hold");
    for owner in owners {
        assert_held(store, &key, "holds are left").await;
        unhold(store, &key, owner).await;
    }
    lease(store, &key).await;
}

/// Holds that come and go at the same time don't lose each other.
pub async fn of_many_holds_at_once_each_counts<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    for newest_first in [true, false] {
        let mut owners = join_all((0..WRITERS).map(|_| hold(store, &key))).await;
        if newest_first {
            owners.reverse();
        }
        for owner in owners {
            assert_held(store, &key, "one that began at the same time is left").await;
            unhold(store, &key, owner).await;
        }
    }
    let owners = join_all((0..WRITERS).map(|_| hold(store, &key))).await;
    let last = hold(store, &key).await;
    join_all(owners.into_iter().map(|owner| unhold(store, &key, owner))).await;
    assert_held(store, &key, "others ended at the same time").await;
    join_all([unhold(store, &key, last), unhold(store, &key, last)]).await;
    lease(store, &key).await;
}
