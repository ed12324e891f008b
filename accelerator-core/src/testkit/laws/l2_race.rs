//! The laws of an L2 store about leases in the hands of many at once.

use futures_util::FutureExt;
use futures_util::future::{join, join_all};

use super::l2::{LONG, fresh_key, get};
use super::l2_lease::{LEASE, assert_hit, fill, lease, read, token, value};
use super::time::Time;
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken};

/// Readers of one key at once.
const READERS: usize = 100;
const ROUNDS: usize = 32;

/// Of a hundred readers that miss at once, one gets the lease.
pub async fn of_many_readers_at_once_one_gets_the_lease<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, loaded) = (fresh_key(), value("loaded"));
    let reads = join_all((0..READERS).map(|_| read(store, &key))).await;
    let tokens: Vec<LeaseToken> = reads.iter().filter_map(token).collect();
    let busy = reads.iter().filter(|read| matches!(read, L2Read::Busy)).count();
    assert_eq!((tokens.len(), busy), (1, READERS - 1), "leases granted, and readers who heard that somebody loads");
    assert_eq!(fill(store, &key, &tokens[0], &loaded).await, Filled::Stored);
    for read in join_all((0..READERS).map(|_| read(store, &key))).await {
        assert_hit(&read, &loaded);
    }
}

/// Of many batches that miss the same keys at once, each key's lease goes to one.
pub async fn of_many_batches_at_once_one_gets_each_lease<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let keys: Vec<String> = (0..20).map(|_| fresh_key()).collect();
    let mut orders: Vec<Vec<&str>> = (0..8).map(|_| keys.iter().map(String::as_str).collect()).collect();
    orders.iter_mut().for_each(|order| fastrand::shuffle(order));
    let batches = join_all(orders.iter().map(|order| store.mget_or_lease(order, LEASE))).await;
    for key in &keys {
        let of_key = orders.iter().zip(&batches).flat_map(|(order, reads)| order.iter().zip(reads));
        let reads = of_key.filter(|(of, _)| **of == key).map(|(_, read)| read.as_ref().expect("mget_or_lease"));
        assert_eq!(reads.filter_map(token).count(), 1, "leases granted of one key");
    }
}

/// Of many fills at once with one token, one is stored, and that is the value.
pub async fn of_many_fills_at_once_one_is_stored<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    let token = lease(store, &key).await;
    let values: Vec<_> = (0..ROUNDS).map(|n| value(&n.to_string())).collect();
    let fills = join_all(values.iter().map(|value| fill(store, &key, &token, value))).await;
    let stored: Vec<usize> = (0..ROUNDS).filter(|&n| fills[n] == Filled::Stored).collect();
    assert_eq!(stored.len(), 1, "fills stored under one lease");
    assert_eq!(get(store, &key).await.as_ref(), Some(&values[stored[0]]), "the one that was stored");
}

/// A fill and a delete at once leave nothing, whichever is first: nothing stale survives its invalidation.
pub async fn a_fill_racing_a_delete_leaves_nothing<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    for round in 0..ROUNDS {
        let key = fresh_key();
        let (token, stale) = (lease(store, &key).await, value("stale"));
        let filling = fill(store, &key, &token, &stale);
        let deleting = async { store.del(&key).await.expect("del") };
        if round % 2 == 0 {
            join(filling, deleting).map(drop).await;
        } else {
            join(deleting, filling).map(drop).await;
        }
        assert_eq!(get(store, &key).await, None, "a fill survived a delete");
        lease(store, &key).await;
    }
}

/// Lease operations may be dropped at any await, as all others: the next ones get their own answers.
pub async fn a_dropped_lease_operation_leaves_the_store_usable<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    // What is dropped may still happen, later. So it has a key of its own, and others show what it disturbed.
    let (dropped, there) = (fresh_key(), value("there"));
    let token = lease(store, &fresh_key()).await;
    let assert_usable = async |after: &str| {
        let key = fresh_key();
        let own = lease(store, &key).await;
        assert_eq!(fill(store, &key, &own, &there).await, Filled::Stored, "after a dropped {after}");
        assert_hit(&read(store, &key).await, &there);
    };
    for _ in 0..8 {
        let _ = store.get_or_lease(&dropped, LEASE).now_or_never();
        assert_usable("get_or_lease").await;
        let _ = store.mget_or_lease(&[&dropped, &dropped], LEASE).now_or_never();
        assert_usable("mget_or_lease").await;
        let _ = store.fill(&dropped, &token, value("dropped"), LONG).now_or_never();
        assert_usable("fill").await;
        let _ = store.mfill(vec![(&*dropped, token, value("dropped"), LONG)]).now_or_never();
        assert_usable("mfill").await;
        let _ = store.release(&dropped, token).now_or_never();
        assert_usable("release").await;
        let owner = HoldOwner::random();
        let _ = store.hold(&dropped, owner, LEASE).now_or_never();
        assert_usable("hold").await;
        let _ = store.unhold(&dropped, owner).now_or_never();
        assert_usable("unhold").await;
    }
    read(store, &dropped).await;
}
