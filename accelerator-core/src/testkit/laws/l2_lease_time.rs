//! The laws of an L2 store about how long leases, holds and fills last.

use std::time::{Duration, Instant};

use super::l2::{fresh_key, get};
use super::l2_lease::{fill, lease, read, token, value};
use super::l2_time::{assert_goes, grain, outlive_short, short};
use super::time::Time;
use crate::traits::l2::{Filled, HoldOwner, L2Store, LeaseToken};

/// Takes a lease of so long, which must be free.
async fn lease_for<S: L2Store + ?Sized>(store: &S, key: &str, time: Duration) -> LeaseToken {
    let read = store.get_or_lease(key, time).await.expect("get_or_lease");
    token(&read).ok_or(read).expect("the lease of a key that nobody has")
}

/// Reads until the lease is free, as long as a server may take to notice the time.
pub(super) async fn assert_gets_free<S: L2Store + ?Sized>(
    store: &S,
    time: &Time<'_>,
    key: &str,
    what: &str,
) -> LeaseToken {
    let start = Instant::now();
    loop {
        let read = read(store, key).await;
        if let Some(token) = token(&read) {
            return token;
        }
        assert!(start.elapsed() < time.patience(), "{what}: {read:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A holder that died doesn't block the key for ever, and its late fill is lost, whoever has the key by then.
pub async fn a_lease_ends<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    let first = lease_for(store, &key, short(store)).await;
    outlive_short(store, time).await;
    let second = assert_gets_free(store, time, &key, "a lease did not end").await;
    assert_eq!(fill(store, &key, &first, &value("late")).await, Filled::Lost, "a lease past its end");
    assert_eq!(fill(store, &key, &second, &value("loaded")).await, Filled::Stored);
}

/// A fill that comes after its lease's end is lost, also where nobody came in between.
pub async fn a_fill_after_the_end_of_its_lease_is_lost<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, witness) = (fresh_key(), fresh_key());
    let late = lease_for(store, &key, short(store)).await;
    lease_for(store, &witness, short(store)).await;
    outlive_short(store, time).await;
    // Taken at the same time, and asked for in place of the other, which nobody may touch.
    assert_gets_free(store, time, &witness, "a lease did not end").await;
    assert_eq!(fill(store, &key, &late, &value("late")).await, Filled::Lost);
    assert_eq!(get(store, &key).await, None);
}

/// A writer that died doesn't hold the key for ever.
pub async fn a_hold_ends<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    store.hold(&key, HoldOwner::random(), short(store)).await.expect("hold");
    outlive_short(store, time).await;
    assert_gets_free(store, time, &key, "a hold did not end").await;
}

/// Neither is a lease or a hold of no time for ever: some servers take nothing for that.
pub async fn leases_and_holds_of_no_time_end<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (leased, held) = (fresh_key(), fresh_key());
    let _ = store.get_or_lease(&leased, Duration::ZERO).await;
    let _ = store.hold(&held, HoldOwner::random(), Duration::ZERO).await;
    outlive_short(store, time).await;
    assert_gets_free(store, time, &leased, "a lease of no time did not end").await;
    assert_gets_free(store, time, &held, "a hold of no time did not end").await;
}

/// What is filled lives as long as the fill says, not as long as its lease would have.
pub async fn a_fill_brings_its_own_ttl<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (longer, shorter, batched, start) = (fresh_key(), fresh_key(), fresh_key(), Instant::now());
    let token = lease_for(store, &longer, short(store)).await;
    if fill(store, &longer, &token, &value("longer")).await != Filled::Stored {
        // On a machine that slept through the lease, the law has nothing to say.
        assert!(!time.is_within(start, short(store) - grain(store)), "a lease was over before its time");
        return;
    }
    let token = lease(store, &shorter).await;
    let filled = store.fill(&shorter, &token, value("shorter"), short(store)).await;
    assert_eq!(filled.expect("fill"), Filled::Stored);
    let token = lease(store, &batched).await;
    let filled = store.mfill(vec![(&*batched, token, value("batched"), short(store))]).await;
    assert_eq!(filled.into_iter().map(|one| one.expect("mfill")).collect::<Vec<_>>(), [Filled::Stored]);
    outlive_short(store, time).await;
    assert_goes(store, time, &shorter, "a fill was served past its TTL").await;
    assert_goes(store, time, &batched, "a fill of a batch was served past its TTL").await;
    assert!(get(store, &longer).await.is_some(), "a fill died with its lease");
}

/// Leases, holds and fills without end are taken for as long as the store can keep something.
pub async fn endless_leases_are_taken<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (filled, held) = (fresh_key(), fresh_key());
    let first = lease_for(store, &filled, Duration::MAX).await;
    assert_eq!(token(&read(store, &filled).await), None, "the lease was gone at once");
    let answer = store.fill(&filled, &first, value("for ever"), Duration::MAX).await;
    assert_eq!(answer.expect("fill"), Filled::Stored);
    assert!(get(store, &filled).await.is_some(), "the fill was gone at once");
    let owner = HoldOwner::random();
    store.hold(&held, owner, Duration::MAX).await.expect("hold");
    assert_eq!(token(&read(store, &held).await), None, "the hold was gone at once");
    store.unhold(&held, owner).await.expect("unhold");
}
