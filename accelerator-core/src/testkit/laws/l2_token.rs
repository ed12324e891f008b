//! The laws of an L2 store about tokens: what each proves, and that it proves nothing else.

use std::collections::HashSet;

use super::l2::{LONG, fresh_key, get};
use super::l2_lease::{assert_hit, fill, lease, read, value};
use super::time::Time;
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken};

/// A token is good for one fill.
pub async fn a_used_token_fills_nothing<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, first) = (fresh_key(), value("first"));
    let token = lease(store, &key).await;
    assert_eq!(fill(store, &key, &token, &first).await, Filled::Stored);
    assert_eq!(fill(store, &key, &token, &value("second")).await, Filled::Lost);
    assert_hit(&read(store, &key).await, &first);
}

/// Every lease has a token of its own, also where one client takes the same key again and again: the tokens of earlier
/// attempts fill nothing and end nothing.
pub async fn each_lease_has_a_token_of_its_own<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let key = fresh_key();
    let mut tokens: Vec<LeaseToken> = Vec::new();
    for round in 0..6 {
        let token = lease(store, &key).await;
        for earlier in &tokens {
            assert_eq!(fill(store, &key, earlier, &value("late")).await, Filled::Lost, "an earlier attempt's token");
            store.release(&key, *earlier).await.expect("release");
        }
        let second = read(store, &key).await;
        assert!(matches!(second, L2Read::Busy), "after a release by an earlier attempt: {second:?}");
        tokens.push(token);
        // A lease ends in several ways.
        if round % 3 == 0 {
            store.release(&key, token).await.expect("release");
        } else {
            if round % 3 == 1 {
                assert_eq!(fill(store, &key, &token, &value("loaded")).await, Filled::Stored);
            }
            store.del(&key).await.expect("del");
        }
    }
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), tokens.len(), "different leases, different tokens");
}

/// A token that was never given, or for another key, fills nothing and ends nothing. It may be an error.
pub async fn a_foreign_token_is_worth_nothing<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (missing, there, leased, other) = (fresh_key(), fresh_key(), fresh_key(), fresh_key());
    let stored = value("there");
    store.set(&there, stored.clone(), LONG).await.expect("set");
    let own = lease(store, &leased).await;
    for token in [lease(store, &other).await, LeaseToken::new([0; 32]), LeaseToken::new([0xFF; 32])] {
        for key in [&missing, &there, &leased] {
            let filled = store.fill(key, &token, value("foreign"), LONG).await;
            assert!(filled.is_err() || filled.is_ok_and(|it| it == Filled::Lost), "filled by a foreign token");
            let _ = store.release(key, token).await;
        }
    }
    assert_eq!(get(store, &missing).await, None);
    assert_eq!(get(store, &there).await, Some(stored), "released by a foreign token");
    assert_eq!(fill(store, &leased, &own, &value("loaded")).await, Filled::Stored, "the lease of the one who has it");
}

/// Where a hit comes with proof of what was read, exactly this value can be replaced, once.
pub async fn a_value_seen_can_be_replaced_once<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, refreshed) = (fresh_key(), value("refreshed"));
    store.set(&key, value("old"), LONG).await.expect("set");
    if let L2Read::Hit { seen: Some(seen), .. } = read(store, &key).await {
        assert_eq!(fill(store, &key, &seen, &refreshed).await, Filled::Stored);
        assert_eq!(fill(store, &key, &seen, &value("late")).await, Filled::Lost);
        assert_hit(&read(store, &key).await, &refreshed);
    }
}

/// Where a hit comes with proof of what was read, exactly this value can be removed.
pub async fn a_value_seen_can_be_removed<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    let (key, newer) = (fresh_key(), value("newer"));
    for then in ["nothing", "a set"] {
        store.set(&key, value("old"), LONG).await.expect("set");
        let L2Read::Hit { seen: Some(seen), .. } = read(store, &key).await else { return };
        if then == "a set" {
            store.set(&key, newer.clone(), LONG).await.expect("set");
        }
        store.release(&key, seen).await.expect("release");
        let left = if then == "a set" { Some(newer.clone()) } else { None };
        assert_eq!(get(store, &key).await, left, "after {then}");
    }
}

/// What was seen can't be replaced any more when something else came: nothing, another value, a hold.
pub async fn a_value_seen_and_gone_is_not_replaced<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if !store.limits().leases {
        return;
    }
    for then in ["a delete", "a set", "a hold"] {
        let (key, owner) = (fresh_key(), HoldOwner::random());
        store.set(&key, value("old"), LONG).await.expect("set");
        let L2Read::Hit { seen: Some(seen), .. } = read(store, &key).await else { return };
        let newer = value("newer");
        match then {
            "a delete" => store.del(&key).await,
            "a set" => store.set(&key, newer.clone(), LONG).await,
            _ => store.hold(&key, owner, LONG).await,
        }
        .expect(then);
        assert_eq!(fill(store, &key, &seen, &value("stale")).await, Filled::Lost, "after {then}");
        assert_eq!(get(store, &key).await, (then == "a set").then_some(newer), "after {then}");
        store.unhold(&key, owner).await.expect("unhold");
    }
}
