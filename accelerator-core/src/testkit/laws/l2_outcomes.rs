//! The laws of an L2 store about outcomes that are put as they come.

use std::future::{Future, poll_fn};
use std::task::Poll;

use bytes::Bytes;

use super::l2::{LONG, bytes, fresh_key, get, set};
use super::l2_batch::{fresh_keys, refs};
use super::l2_lease::{LEASE, assert_hit, token, value};
use super::time::Time;
use crate::error::StoreResult;
use crate::traits::l2::outcomes::Outcomes;
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store};

fn all<T>(outcomes: Outcomes<T>, what: &str) -> Vec<T> {
    assert_eq!(outcomes.missing(), 0, "{what}: outcomes that never came");
    outcomes.ended().into_iter().map(|outcome| outcome.expect("an outcome")).collect()
}

/// The `_into` forms of batches put every outcome, each at the place of its key.
pub async fn outcomes_are_put_at_the_places_of_their_keys<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let keys = fresh_keys(20);
    let mut set = Outcomes::new(keys.len());
    store.mset_into(keys.iter().map(|key| (&**key, bytes(key), LONG)).collect(), &mut set).await;
    all(set, "mset_into");
    let missing = fresh_key();
    let mut asked = refs(&keys);
    fastrand::shuffle(&mut asked);
    asked.insert(7, &missing);
    asked.push(asked[0]);
    let mut got = Outcomes::new(asked.len());
    store.mget_into(&asked, &mut got).await;
    let expected: Vec<_> = asked.iter().map(|key| (*key != missing).then(|| bytes(key))).collect();
    assert_eq!(all(got, "mget_into"), expected, "outcomes out of place");
    let mut deleted = Outcomes::new(10);
    store.mdel_into(&refs(&keys[..10]), &mut deleted).await;
    all(deleted, "mdel_into");
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(get(store, key).await.is_some(), n >= 10, "key {n} of 20, of which 10 were deleted");
    }
}

/// The same for leases and fills.
pub async fn lease_outcomes_are_put_at_the_places_of_their_keys<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (there, held, free) = (fresh_key(), fresh_key(), fresh_key());
    let stored = value("there");
    store.set(&there, stored.clone(), LONG).await.expect("set");
    store.hold(&held, HoldOwner::random(), LEASE).await.expect("hold");
    let mut reads = Outcomes::new(3);
    store.mget_or_lease_into(&[&held, &there, &free], LEASE, &mut reads).await;
    let reads = all(reads, "mget_or_lease_into");
    assert_eq!(reads[0], L2Read::Held);
    assert_hit(&reads[1], &stored);
    let token = token(&reads[2]).expect("the lease of the free key");
    let loaded = value("loaded");
    let mut filled = Outcomes::new(2);
    let items = vec![(&*held, token, value("stale"), LONG), (&*free, token, loaded.clone(), LONG)];
    store.mfill_into(items, &mut filled).await;
    assert_eq!(all(filled, "mfill_into"), [Filled::Lost, Filled::Stored]);
    assert_eq!(get(store, &free).await, Some(loaded));
}

/// What was put before a call is dropped is true, wherever it is dropped: the caller keeps it.
pub async fn what_was_put_before_a_call_is_dropped_is_true<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let keys = fresh_keys(20);
    for key in &keys {
        set(store, key, key).await;
    }
    let asked = refs(&keys);
    for polls in 1..12 {
        let mut got = Outcomes::new(asked.len());
        dropped_after(polls, store.mget_into(&asked, &mut got)).await;
        for (n, key) in asked.iter().enumerate() {
            let outcome: Option<StoreResult<Option<Bytes>>> = got.take(n);
            if let Some(Ok(found)) = outcome {
                assert_eq!(found, Some(bytes(key)), "put before it was known");
            }
        }
    }
    assert_eq!(get(store, &keys[0]).await, Some(bytes(&keys[0])), "the store is of use afterwards");
}

/// Polls a call so often, giving way in between, and drops it.
async fn dropped_after(polls: usize, call: impl Future<Output = ()> + Unpin) {
    let mut call = call;
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut call).poll(cx))).await.is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
