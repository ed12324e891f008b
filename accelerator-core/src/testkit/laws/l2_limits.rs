//! The laws of an L2 store about what it takes.

use bytes::Bytes;

use super::l2::{LONG, bytes, fresh_key, get, set};
use super::l2_lease::{lease, value};
use super::time::Time;
use crate::error::{StoreErrorKind, StoreResult};
use crate::traits::l2::{Filled, L2Store};

/// Sizes around what buffers and length fields are made for, as far as the store takes them.
const SIZES: [usize; 6] = [1, 255, 256, 65_535, 65_536, 1 << 20];
/// Greater values cost a test more than they show.
const PRACTICAL_VALUE: usize = 8 << 20;
const PRACTICAL_KEY: usize = 1 << 20;

fn filler(size: usize) -> Bytes {
    (0..size).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// Values up to `max_value_bytes` are kept whole, the greatest among them.
pub async fn values_of_any_size_within_limits_are_kept<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let most = store.limits().max_value_bytes;
    let greatest = (most <= PRACTICAL_VALUE).then_some(most);
    for size in SIZES.map(|size| size.min(most)).into_iter().chain(greatest) {
        let (key, value) = (fresh_key(), filler(size));
        store.set(&key, value.clone(), LONG).await.expect("set");
        assert!(get(store, &key).await == Some(value), "a value of {size} bytes came back changed");
    }
}

/// A value beyond `max_value_bytes` is kept whole or refused as too large, alone in its batch. Nobody reads a part of it,
/// and the next operations get their own answers.
pub async fn values_beyond_the_limit_are_refused_or_kept_whole<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let most = store.limits().max_value_bytes;
    if most > PRACTICAL_VALUE {
        return;
    }
    let (key, before, after) = (fresh_key(), fresh_key(), fresh_key());
    let great = filler(most + 1);
    for batch in [false, true] {
        set(store, &key, "old").await;
        let outcome = if batch {
            let items =
                vec![(&*before, bytes("before"), LONG), (&*key, great.clone(), LONG), (&*after, bytes("after"), LONG)];
            let mut outcomes = store.mset(items).await;
            assert_eq!(outcomes.len(), 3, "one answer per item");
            let outcome = outcomes.remove(1);
            outcomes.into_iter().for_each(|one| one.expect("an item beside one that is too large"));
            assert_eq!(get(store, &before).await, Some(bytes("before")), "the item before it");
            assert_eq!(get(store, &after).await, Some(bytes("after")), "the item after it");
            outcome
        } else {
            store.set(&key, great.clone(), LONG).await
        };
        let stored = taken(outcome).is_some();
        let read = get(store, &key).await;
        let whole = if stored { read == Some(great.clone()) } else { read.is_none_or(|old| old == "old") };
        assert!(whole, "a part is left of a value beyond the limit (in a batch: {batch})");
    }
    if store.limits().leases {
        let (key, great) = (fresh_key(), Bytes::from([&value("")[..], &great].concat()));
        let token = lease(store, &key).await;
        let stored = taken(store.fill(&key, &token, great.clone(), LONG).await) == Some(Filled::Stored);
        assert!(get(store, &key).await == stored.then_some(great), "a part is left of a fill beyond the limit");
    }
    set(store, &key, "new").await;
    assert_eq!(get(store, &key).await, Some(bytes("new")), "the next value");
}

/// What became of something too large, if it was taken. Whoever refuses it must say why.
fn taken<T>(outcome: StoreResult<T>) -> Option<T> {
    match outcome {
        Ok(answer) => Some(answer),
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::TooLarge, "the refusal of what is too large");
            None
        }
    }
}

/// Two keys of so many bytes that differ in the last.
fn long_keys(length: usize) -> [String; 2] {
    let base = fresh_key();
    assert!(length > base.len(), "keys of {length} bytes leave no room for the hash of a long one");
    let stem = format!("{base}{}", "x".repeat(length - base.len() - 1));
    ["1", "2"].map(|end| format!("{stem}{end}"))
}

/// Keys up to `max_key_bytes` are taken, and differ in their last byte.
pub async fn keys_of_the_greatest_length_are_kept_apart<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let keys = long_keys(store.limits().max_key_bytes);
    set(store, &keys[0], "1").await;
    set(store, &keys[1], "2").await;
    assert_eq!(get(store, &keys[0]).await, Some(bytes("1")));
    assert_eq!(get(store, &keys[1]).await, Some(bytes("2")));
    store.del(&keys[0]).await.expect("del of a long key");
}

/// A key beyond `max_key_bytes` is refused as too large, alone in its batch, or kept apart from others.
pub async fn keys_beyond_the_limit_are_refused_or_kept_apart<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let most = store.limits().max_key_bytes;
    if most > PRACTICAL_KEY {
        return;
    }
    let (keys, short) = (long_keys(most + 1), fresh_key());
    set(store, &short, "short").await;
    let mut stored = [false; 2];
    for ((key, value), stored) in keys.iter().zip(["1", "2"]).zip(&mut stored) {
        *stored = taken(store.set(key, bytes(value), LONG).await).is_some();
    }
    let mut answers = store.mget(&[&keys[0], &short, &keys[1]]).await;
    assert_eq!(answers.len(), 3, "one answer per key");
    let beside = answers.remove(1).expect("a key beside one that is too long");
    assert_eq!(beside, Some(bytes("short")), "a key beside one that is too long");
    for ((answer, value), stored) in answers.into_iter().zip(["1", "2"]).zip(stored) {
        assert_eq!(taken(answer).flatten(), stored.then(|| bytes(value)), "a key beyond the limit");
    }
    taken(store.del(&keys[0]).await);
    assert_eq!(get(store, &short).await, Some(bytes("short")), "after operations on keys beyond the limit");
}
