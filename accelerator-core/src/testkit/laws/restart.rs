//! The law of a restart. It needs a server of its own, which others don't use, so it is a function to call in a test
//! and not on the list of [`l2_laws!`](crate::l2_laws).

use std::time::{Duration, Instant};

use super::l2::{LONG, fresh_key, get};
use super::l2_lease::{LEASE, assert_hit, fill, lease, read, value};
use crate::traits::l2::{Filled, L2Read, L2Store, LeaseToken};

/// How long a store may take until it works again.
const RECOVERY: Duration = Duration::from_secs(30);
/// So many reads in a row must succeed: a store may have several connections, each of which has to find out.
const CALM: usize = 20;
const KEYS: usize = 8;

/// After a restart of its server a store works again by itself, an emptied server reads as empty, and nothing that was
/// given before the restart fills or ends anything: no lease, and no proof of what was seen. Answers how long the store
/// took to work again, at most.
///
/// `restart` restarts the server and returns when it takes connections; it is called twice, so that the server counts
/// from its beginning both times, and gives the same numbers again if it counts at all. It may block the thread.
///
/// ```
/// use accelerator_core::testkit::{MemoryL2, block_on, laws::restart::a_restart_ends_leases};
/// let store = MemoryL2::new().with_leases();
/// block_on(a_restart_ends_leases(&store, || store.wipe()));
/// ```
///
/// With a server: `a_restart_ends_leases(&store, || server.restart())`.
///
/// # Panics
///
/// The store breaks the law.
///
/// # Cancel safety
///
/// Dropped, it leaves keys behind, as any law does.
pub async fn a_restart_ends_leases<S: L2Store + ?Sized>(store: &S, restart: impl Fn()) -> Duration {
    restart();
    let mut longest = recovery(store).await;
    let (leased, seen, stored): (Vec<_>, Vec<_>, _) = (fresh(), fresh(), fresh_key());
    let before = tokens(store, &leased, &seen).await;
    store.set(&stored, value("before"), LONG).await.expect("set");

    restart();
    longest = longest.max(recovery(store).await);
    assert_eq!(get(store, &stored).await, None, "an emptied server's value");
    if !store.limits().leases {
        return longest;
    }
    for (key, token) in leased.iter().chain(&seen).zip(&before) {
        assert_fills_nothing(store, key, token).await;
        assert_eq!(get(store, key).await, None, "a fill from before the restart");
    }
    // In the same order as before: servers that count give the same numbers.
    let after = tokens(store, &leased, &seen).await;
    for (key, token) in leased.iter().chain(&seen).zip(&before) {
        assert_fills_nothing(store, key, token).await;
        // It may say that it can't reach who gave the lease.
        let _ = store.release(key, *token).await;
    }
    for key in &leased {
        let read = read(store, key).await;
        assert!(matches!(read, L2Read::Busy), "a lease from before the restart ended a newer one: {read:?}");
    }
    for (key, token) in leased.iter().chain(&seen).zip(&after) {
        let loaded = value("after");
        assert_eq!(fill(store, key, token, &loaded).await, Filled::Stored, "under a lease since the restart");
        assert_hit(&read(store, key).await, &loaded);
    }
    longest
}

fn fresh() -> Vec<String> {
    (0..KEYS).map(|_| fresh_key()).collect()
}

/// Leases of the first keys, and proofs of values under the others, as far as the store gives any.
async fn tokens<S: L2Store + ?Sized>(store: &S, leased: &[String], seen: &[String]) -> Vec<LeaseToken> {
    let mut out = Vec::new();
    if !store.limits().leases {
        return out;
    }
    for key in leased {
        out.push(lease(store, key).await);
    }
    for key in seen {
        store.set(key, value("seen"), LONG).await.expect("set");
        if let L2Read::Hit { seen: Some(token), .. } = store.get_or_lease(key, LEASE).await.expect("get_or_lease") {
            out.push(token);
        }
    }
    out
}

/// An error is an answer too: who gave the token may be out of reach for ever.
async fn assert_fills_nothing<S: L2Store + ?Sized>(store: &S, key: &str, token: &LeaseToken) {
    let filled = store.fill(key, token, value("stale"), LONG).await;
    assert!(!filled.is_ok_and(|it| it == Filled::Stored), "filled under a lease from before the restart");
}

/// Reads until the store works again; how long that took.
async fn recovery<S: L2Store + ?Sized>(store: &S) -> Duration {
    let (start, key) = (Instant::now(), fresh_key());
    let (mut calm, mut took) = (0, Duration::ZERO);
    while calm < CALM {
        match store.get(&key).await {
            Ok(_) if calm == 0 => (calm, took) = (1, start.elapsed()),
            Ok(_) => calm += 1,
            Err(error) => {
                assert!(start.elapsed() < RECOVERY, "the store does not work again after a restart: {error}");
                calm = 0;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    took
}
