//! The laws of an L2 store about leases in batches.

use super::l2::{LONG, fresh_key, get};
use super::l2_batch::{MANY, fresh_keys, mget, refs};
use super::l2_lease::{LEASE, assert_hit, lease, token, value};
use super::time::Time;
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken};
use bytes::Bytes;

async fn read_all<S: L2Store + ?Sized>(store: &S, keys: &[&str]) -> Vec<L2Read> {
    let reads = store.mget_or_lease(keys, LEASE).await;
    assert_eq!(reads.len(), keys.len(), "one answer per key");
    reads.into_iter().map(|read| read.expect("mget_or_lease")).collect()
}

async fn fill_all<S: L2Store + ?Sized>(store: &S, items: &[(&str, LeaseToken, &Bytes)]) -> Vec<Filled> {
    let filled =
        store.mfill(items.iter().map(|&(key, token, value)| (key, token, value.clone(), LONG)).collect()).await;
    assert_eq!(filled.len(), items.len(), "one answer per item");
    filled.into_iter().map(|filled| filled.expect("mfill")).collect()
}

/// The batch forms answer in the order of their input.
pub async fn lease_batches_answer_in_order<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (there, busy, held, free) = (fresh_key(), fresh_key(), fresh_key(), fresh_key());
    let stored = value("there");
    store.set(&there, stored.clone(), LONG).await.expect("set");
    store.hold(&held, HoldOwner::random(), LEASE).await.expect("hold");
    lease(store, &busy).await;
    let reads = read_all(store, &[&free, &there, &busy, &held]).await;
    let token = token(&reads[0]).expect("the lease of the free key");
    assert_hit(&reads[1], &stored);
    assert!(matches!(reads[2], L2Read::Busy), "a leased key read {:?}", reads[2]);
    assert_eq!(reads[3], L2Read::Held);
    let loaded = value("loaded");
    let filled = fill_all(store, &[(&busy, token, &value("stale")), (&free, token, &loaded)]).await;
    assert_eq!(filled, [Filled::Lost, Filled::Stored], "the token is that of the second key");
    assert_eq!(get(store, &free).await, Some(loaded));
}

/// A batch of nothing is answered by nothing, without an error.
pub async fn an_empty_lease_batch_has_no_answers<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    assert!(store.mget_or_lease(&[], LEASE).await.is_empty(), "mget_or_lease");
    assert!(store.mfill(Vec::new()).await.is_empty(), "mfill");
}

/// A key named twice in a batch is one key: its lease is granted once, its value is read twice, and its token is good for
/// one fill.
pub async fn a_key_named_twice_is_leased_and_filled_once<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (free, there) = (fresh_key(), fresh_key());
    let stored = value("there");
    store.set(&there, stored.clone(), LONG).await.expect("set");
    let reads = read_all(store, &[&free, &there, &free, &there, &free]).await;
    let tokens: Vec<LeaseToken> = reads.iter().filter_map(token).collect();
    assert_eq!(tokens.len(), 1, "leases granted: {reads:?}");
    let busy = reads.iter().filter(|read| matches!(read, L2Read::Busy)).count();
    assert_eq!(busy, 2, "of the free key {reads:?}");
    assert_hit(&reads[1], &stored);
    assert_hit(&reads[3], &stored);
    let loaded = [value("one"), value("other")];
    let filled = fill_all(store, &[(&free, tokens[0], &loaded[0]), (&free, tokens[0], &loaded[1])]).await;
    let kept = filled.iter().position(|filled| *filled == Filled::Stored).expect("the lease's only fill");
    assert_eq!(filled[1 - kept], Filled::Lost, "the second fill under one lease");
    assert_eq!(get(store, &free).await.as_ref(), Some(&loaded[kept]), "the one that was stored");
}

/// A batch of a thousand is leased and filled as a small one.
pub async fn a_large_lease_batch_is_answered_whole<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let keys = fresh_keys(MANY);
    let reads = read_all(store, &refs(&keys)).await;
    let tokens: Vec<LeaseToken> = reads.iter().filter_map(token).collect();
    assert_eq!(tokens.len(), MANY, "leases of free keys");
    let values: Vec<Bytes> = keys.iter().map(|key| value(key)).collect();
    let items: Vec<_> =
        keys.iter().zip(&tokens).zip(&values).map(|((key, token), value)| (&**key, *token, value)).collect();
    let stored = fill_all(store, &items).await.into_iter().filter(|filled| *filled == Filled::Stored).count();
    assert_eq!(stored, MANY, "fills under leases");
    let found = mget(store, &refs(&keys)).await;
    assert!(found.into_iter().zip(values).all(|(found, value)| found == Some(value)), "another key's value");
    store.mdel(&refs(&keys)).await.into_iter().for_each(|deleted| deleted.expect("mdel"));
}
