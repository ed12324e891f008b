//! The laws of an L2 store about batches.

use std::time::Duration;

use bytes::Bytes;

use super::l2::{LONG, bytes, fresh_key, get, set};
use super::time::Time;
use crate::traits::l2::L2Store;

/// More than a default pipeline or argument limit is made for.
pub(super) const MANY: usize = 1_000;

pub(super) fn fresh_keys(n: usize) -> Vec<String> {
    (0..n).map(|_| fresh_key()).collect()
}

pub(super) fn refs(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

pub(super) async fn mget<S: L2Store + ?Sized>(store: &S, keys: &[&str]) -> Vec<Option<Bytes>> {
    let answers = store.mget(keys).await;
    assert_eq!(answers.len(), keys.len(), "one answer per key");
    answers.into_iter().map(|answer| answer.expect("mget")).collect()
}

pub(super) async fn mset<S: L2Store + ?Sized>(store: &S, items: &[(&str, &str, Duration)]) {
    let answers = store.mset(items.iter().map(|&(key, value, ttl)| (key, bytes(value), ttl)).collect()).await;
    assert_eq!(answers.len(), items.len(), "one answer per item");
    answers.into_iter().for_each(|answer| answer.expect("mset"));
}

async fn mdel<S: L2Store + ?Sized>(store: &S, keys: &[&str]) {
    let answers = store.mdel(keys).await;
    assert_eq!(answers.len(), keys.len(), "one answer per key");
    answers.into_iter().for_each(|answer| answer.expect("mdel"));
}

/// The answers of `mget` are in the order of its keys, whatever that order is.
pub async fn mget_answers_in_the_order_of_its_keys<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let mut keys = fresh_keys(20);
    for key in &keys {
        set(store, key, key).await;
    }
    for _ in 0..4 {
        fastrand::shuffle(&mut keys);
        let expected: Vec<_> = keys.iter().map(|key| Some(bytes(key))).collect();
        assert_eq!(mget(store, &refs(&keys)).await, expected, "answers out of order");
    }
}

/// A key asked for twice is answered twice; a missing one is `None` in its place.
pub async fn mget_answers_duplicates_and_missing_keys<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let (there, missing) = (fresh_key(), fresh_key());
    set(store, &there, "value").await;
    let value = Some(bytes("value"));
    let answers = mget(store, &[&there, &there]).await;
    assert_eq!(answers, [value.clone(), value.clone()], "duplicates");
    let answers = mget(store, &[&there, &missing, &there]).await;
    assert_eq!(answers, [value.clone(), None, value.clone()], "a missing key in the middle");
    assert_eq!(mget(store, &[&missing, &missing]).await, [None, None], "nothing but missing keys");
}

/// A batch of nothing is answered by nothing, without an error.
pub async fn an_empty_batch_has_no_answers<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    assert!(store.mget(&[]).await.is_empty(), "mget");
    assert!(store.mset(Vec::new()).await.is_empty(), "mset");
    assert!(store.mdel(&[]).await.is_empty(), "mdel");
}

/// Every item of `mset` is stored under its own key, replacing what is there; of a key named twice, the later item.
pub async fn mset_stores_all_its_items<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let keys = fresh_keys(20);
    set(store, &keys[3], "old").await;
    mset(store, &keys.iter().map(|key| (&**key, &**key, LONG)).collect::<Vec<_>>()).await;
    for key in &keys {
        assert_eq!(get(store, key).await, Some(bytes(key)));
    }
    mset(store, &[(&keys[0], "first", LONG), (&keys[0], "second", LONG)]).await;
    assert_eq!(get(store, &keys[0]).await, Some(bytes("second")), "the later item of the same key");
}

/// When `mdel` has answered, all its keys are gone; named twice or missing is no error.
pub async fn mdel_deletes_its_keys<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let keys = fresh_keys(20);
    for key in &keys {
        set(store, key, key).await;
    }
    let missing = fresh_key();
    let mut doomed = refs(&keys);
    doomed.extend([&*missing, &*keys[0]]);
    mdel(store, &doomed).await;
    for key in &keys {
        assert_eq!(get(store, key).await, None, "a value survived its deletion in a batch");
    }
}

/// `mdel` deletes no other key.
pub async fn mdel_leaves_other_keys<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let keys = fresh_keys(20);
    for key in &keys {
        set(store, key, key).await;
    }
    let (doomed, spared): (Vec<_>, Vec<_>) = keys.iter().enumerate().partition(|(i, _)| i % 3 == 0);
    mdel(store, &doomed.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>()).await;
    for (_, key) in spared {
        assert_eq!(get(store, key).await, Some(bytes(key)), "deleted with the others");
    }
}

/// A batch of a thousand is answered as a small one.
pub async fn a_large_batch_is_answered_whole<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let keys = fresh_keys(MANY);
    let items: Vec<_> = keys.iter().map(|key| (&**key, &**key, LONG)).collect();
    mset(store, &items).await;
    let found = mget(store, &refs(&keys)).await.into_iter().flatten().count();
    assert_eq!(found, MANY, "values found of those set");
    mdel(store, &refs(&keys)).await;
}
