//! The law of an L2 store that tells how old its values are.

use std::time::{Duration, Instant};

use super::l2::{LONG, bytes, fresh_key};
use super::l2_lease::LEASE;
use super::l2_time::short;
use super::time::Time;
use crate::traits::l2::L2Store;
use crate::traits::l2::outcomes::Outcomes;

/// Where reads tell ages, each kind of read does, and no value is older than what it says: neither one that was just
/// written nor one that has been there for a while, nor one that replaced another.
pub async fn an_age_is_no_less_than_it_is<S: L2Store + ?Sized>(store: &S, time: &Time<'_>) {
    if !store.limits().ages {
        return;
    }
    let (key, missing, step) = (fresh_key(), fresh_key(), short(store) / 4);
    for round in 0..2 {
        store.set(&key, bytes("value"), LONG).await.expect("set");
        let (stored, mut moved) = (Instant::now(), Duration::ZERO);
        for _ in 0..3 {
            let at_least = time.passed(stored, moved);
            let ages = ages(store, &key, &missing).await;
            for (how, age) in ages {
                let tells = age.is_some_and(|age| age >= at_least);
                assert!(tells, "{how} in round {round}: {age:?} old at most, but {at_least:?} have passed");
            }
            time.pass(step).await;
            moved += step;
        }
    }
}

/// What each kind of read tells.
async fn ages<S: L2Store + ?Sized>(store: &S, key: &str, missing: &str) -> Vec<(&'static str, Option<Duration>)> {
    let (value, age) = store.get_aged(key).await.expect("get_aged");
    assert_eq!(value, Some(bytes("value")));
    let mut told = vec![("get_aged", age)];
    let mut out = Outcomes::new(3);
    store.mget_into(&[key, missing, key], &mut out).await;
    told.extend([("mget_into", out.age(0)), ("mget_into", out.age(2))]);
    if store.limits().leases {
        let (_, age) = store.get_or_lease_aged(key, LEASE).await.expect("get_or_lease_aged");
        let mut out = Outcomes::new(2);
        store.mget_or_lease_into(&[key, key], LEASE, &mut out).await;
        told.extend([
            ("get_or_lease_aged", age),
            ("mget_or_lease_into", out.age(0)),
            ("mget_or_lease_into", out.age(1)),
        ]);
    }
    told
}
