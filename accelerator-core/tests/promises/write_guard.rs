//! A write guard leaves no window: from its hold until its end no node caches the key.

use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, settle};
use accelerator_core::{ErrorKind, Lookup, StoreErrorKind};

use crate::common::{World, ok, secs};

fn world() -> World {
    let mut w = World::new();
    w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_leases());
    w
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_hold_load_and_cache_nothing() {
    let w = world();
    let (writer, other) = (ok(w.both()), ok(w.twin().batches()));
    writer.get(&1).await.unwrap();
    let guard = writer.write_guard(&1).await.unwrap();
    for _ in 0..2 {
        assert_eq!(writer.get(&1).await.unwrap(), Some(1001));
        assert_eq!(other.mget(&[1, 2]).await.into_values().unwrap()[0], Some(1001));
        let source = w.source.clone();
        assert_eq!(other.get_or_load(&1, source.load(1)).await.unwrap(), Some(1001));
        settle().await;
        assert_eq!((writer.try_get(&1), other.try_get(&1)), (Lookup::Miss, Lookup::Miss));
        assert_eq!(w.l2.inner().keys(), ["t.2"]);
    }
    w.source.put(2);
    guard.finish().await.unwrap();
    assert_eq!((writer.get(&1).await.unwrap(), other.get(&1).await.unwrap()), (Some(1002), Some(1002)));
    assert_eq!(w.in_l2(1).await, Some(Some(1002)));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_the_hold_fills_neither_level() {
    let w = world();
    let (writer, other) = (ok(w.both()), ok(w.twin().both()));
    let doors = [w.source.door(), w.source.door()];
    let reads = [writer.clone(), other.clone()].map(|cache| tokio::spawn(async move { cache.get(&1).await }));
    doors[0].reached().await;
    let guard = writer.write_guard(&1).await.unwrap();
    w.source.put(2);
    guard.finish().await.unwrap();
    doors.iter().for_each(crate::common::Door::open);
    for read in reads {
        read.await.unwrap().unwrap();
    }
    settle().await;
    assert_eq!(writer.get(&1).await.unwrap(), Some(1002));
    assert!(w.in_l2(1).await.is_none_or(|found| found == Some(1002)));
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_lost_leaves_the_hold_until_it_ends() {
    let w = world();
    let cache = ok(w.both());
    let guard = cache.write_guard(&1).await.unwrap();
    w.source.put(2);
    drop(guard);
    assert_eq!(cache.get(&1).await.unwrap(), Some(1002));
    assert!(w.l2.inner().is_empty());
    w.clock.advance(secs(10)).await;
    assert_eq!(cache.get(&1).await.unwrap(), Some(1002));
    assert_eq!(w.in_l2(1).await, Some(Some(1002)));
}

#[tokio::test(start_paused = true)]
async fn without_a_confirmed_hold_there_is_no_guard() {
    let w = world();
    let cache = ok(w.both());
    w.l2.push_for(Op::Hold, Fault::Error(StoreErrorKind::Unavailable));
    assert_eq!(cache.write_guard(&1).await.unwrap_err().kind(), ErrorKind::Unconfirmed);
    w.l2.push_for(Op::Hold, Fault::Hang);
    assert_eq!(cache.write_guard(&1).await.unwrap_err().kind(), ErrorKind::Unconfirmed);
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    for without in [World::new().both(), World::new().l1()] {
        let e = ok(without).write_guard(&1).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidConfig);
        assert!(e.to_string().contains("leases") && e.to_string().contains("del"), "{e}");
    }
    cache.shutdown(secs(1)).await;
    assert_eq!(cache.write_guard(&1).await.unwrap_err().kind(), ErrorKind::Shutdown);
}
