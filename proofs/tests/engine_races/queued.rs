//! Writes that L2 doesn't confirm, and writes of many keys.

use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, settle};
use accelerator_core::{LevelCache, Lookup, StoreErrorKind};

use super::{KEY, LONG, Rig, within};

/// What L2 confirmed is not deleted by what it did not confirm before.
#[tokio::test]
async fn confirmed_set_ends_the_queued_delete() {
    within(async {
        let rig = Rig::new();
        rig.l2.push_for(Op::Set, Fault::Error(StoreErrorKind::Unavailable));
        rig.l2.always_for(Op::Del, Some(Fault::Error(StoreErrorKind::Unavailable)));
        rig.cache.set(&KEY, 2).await.unwrap_err();
        rig.cache.set(&KEY, 3).await.unwrap();
        assert_eq!(rig.cache.stats().unconfirmed, 0);
        assert_eq!(rig.in_l2().await, Lookup::Hit(3));
    })
    .await;
}

/// A key that somebody writes keeps no other key of a call back.
#[tokio::test]
async fn busy_key_keeps_no_other_back() {
    within(async {
        let rig = Rig::new();
        let gate = rig.l2.gate(Op::Set);
        let busy = rig.cache.set(&KEY, 1);
        gate.reached().await;
        let both = rig.cache.mset([(KEY, Some(2)), (8, Some(2))]);
        settle().await;
        assert!(rig.l2.inner().peek("races.8").is_some());
        gate.open();
        busy.await.unwrap();
        both.await.unwrap();
        assert_eq!(rig.in_l2().await, Lookup::Hit(2));
    })
    .await;
}

/// What L2 confirmed of a batch is confirmed, whatever became of the rest.
#[tokio::test]
async fn late_outcome_is_its_own_keys() {
    within(async {
        let l2 = Faulty::new(MemoryL2::new());
        let limit = Duration::from_millis(50);
        let builder = LevelCache::<u64, u64>::builder().area("races").ttl(LONG).l2(l2.clone()).l2_timeout(limit);
        let cache = builder.build().unwrap();
        l2.push_for(Op::Set, Fault::at([0], Fault::Hang));
        l2.always_for(Op::Del, Some(Fault::Error(StoreErrorKind::Unavailable)));
        cache.mset([(7, Some(1)), (8, Some(1))]).await.unwrap_err();
        assert_eq!(cache.stats().unconfirmed, 1);
        assert_eq!(cache.lookup(&8).await, Lookup::Hit(1));
    })
    .await;
}
