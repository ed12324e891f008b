//! The laws of an L2 store about TTLs.

use std::time::{Duration, Instant};

use super::l2::{LONG, bytes, fresh_key, get, set};
use super::l2_batch::mset;
use super::time::Time;
use crate::traits::l2::L2Store;

/// A short TTL that the store can tell from none: servers that count seconds take one second for "about now".
pub(super) fn short<S: L2Store + ?Sized>(store: &S) -> Duration {
    grain(store).max(Duration::from_millis(50)) * 3
}

/// How far off a time of the store may be.
pub(super) fn grain<S: L2Store + ?Sized>(store: &S) -> Duration {
    store.limits().ttl_granularity
}

/// Lets a short TTL end, and a grain more.
pub(super) async fn outlive_short<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    time.pass(short(store) + grain(store)).await;
}

/// Asks until the key is gone, as long as a server may take to notice the time.
pub(super) async fn assert_goes<S: L2Store + ?Sized>(store: &S, time: &Time<'_>, key: &str, what: &str) {
    let start = Instant::now();
    while get(store, key).await.is_some() {
        assert!(start.elapsed() < time.patience(), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A TTL isn't cut short by more than the store's grain.
pub async fn a_value_is_there_before_its_ttl_ends<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    let (key, ttl, start) = (fresh_key(), short(store), Instant::now());
    store.set(&key, bytes("value"), ttl).await.expect("set");
    for _ in 0..2 {
        let got = get(store, &key).await;
        // On a machine that slept through the TTL, the law has nothing to say.
        let due = time.is_within(start, ttl.saturating_sub(grain(store)));
        assert!(got.is_some() || !due, "a value was gone before its TTL");
        time.pass(ttl / 2).await;
    }
}

/// A value isn't served past its TTL; one with a longer TTL is.
pub async fn a_value_is_gone_after_its_ttl<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    let (key, longer) = (fresh_key(), fresh_key());
    set(store, &longer, "longer").await;
    store.set(&key, bytes("value"), short(store)).await.expect("set");
    outlive_short(store, time).await;
    assert_goes(store, time, &key, "a value was served past its TTL").await;
    assert_eq!(get(store, &longer).await, Some(bytes("longer")), "the value with the longer TTL");
}

/// A set replaces the TTL with the value, by a longer or a shorter one.
pub async fn a_later_set_brings_its_own_ttl<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    let (longer, shorter) = (fresh_key(), fresh_key());
    store.set(&longer, bytes("first"), short(store)).await.expect("set");
    set(store, &longer, "second").await;
    set(store, &shorter, "first").await;
    store.set(&shorter, bytes("second"), short(store)).await.expect("set");
    outlive_short(store, time).await;
    assert_goes(store, time, &shorter, "a value kept the longer TTL of the one it replaced").await;
    assert_eq!(get(store, &longer).await, Some(bytes("second")), "a value died at the TTL of the one it replaced");
}

/// The items of one `mset` live as long as each says.
pub async fn every_item_of_a_batch_has_its_own_ttl<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    let keys = [fresh_key(), fresh_key(), fresh_key()];
    let items = [(&*keys[0], "0", LONG), (&*keys[1], "1", short(store)), (&*keys[2], "2", LONG)];
    mset(store, &items).await;
    outlive_short(store, time).await;
    assert_goes(store, time, &keys[1], "an item of a batch was served past its TTL").await;
    assert_eq!(get(store, &keys[0]).await, Some(bytes("0")), "an item before the short-lived one");
    assert_eq!(get(store, &keys[2]).await, Some(bytes("2")), "an item after the short-lived one");
}

/// A TTL of nothing may be refused, but is not for ever: some servers take it for that.
pub async fn a_ttl_of_nothing_is_not_for_ever<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    let keys = [fresh_key(), fresh_key()];
    let _ = store.set(&keys[0], bytes("value"), Duration::ZERO).await;
    let _ = store.mset(vec![(&*keys[1], bytes("value"), Duration::ZERO)]).await;
    outlive_short(store, time).await;
    for key in &keys {
        assert_goes(store, time, key, "a value was served for ever that was set for no time").await;
    }
}

/// A TTL of years, or without end, is taken for as long as the store can keep a value: to some servers it is a date.
pub async fn an_endless_ttl_is_taken<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    const DAY: u64 = 24 * 60 * 60;
    let ttls = [Duration::from_secs(31 * DAY), Duration::from_secs(36_500 * DAY), Duration::MAX];
    for ttl in ttls {
        let keys = [fresh_key(), fresh_key()];
        store.set(&keys[0], bytes("value"), ttl).await.expect("set");
        mset(store, &[(&keys[1], "value", ttl)]).await;
        for key in &keys {
            assert_eq!(get(store, key).await, Some(bytes("value")), "a value with a TTL of {ttl:?}");
        }
    }
}
