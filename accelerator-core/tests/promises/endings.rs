//! After the end. After `shutdown` L1 is still read, so it never keeps what a refused write or invalidation was about; and
//! a future that has answered says so where it is asked again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use accelerator_core::testkit::{MemoryL2, settle};
use accelerator_core::{
    Begin, Cache, CacheFuture, CacheResult, Clock, Entry, ErrorKind, L1Store, Lookup, Tickets, WriteOptions,
};
use futures_util::FutureExt;

use crate::common::{World, ok};

fn kind<T: std::fmt::Debug>(answer: CacheResult<T>) -> ErrorKind {
    answer.expect_err("refused").kind()
}

#[tokio::test(start_paused = true)]
async fn after_shutdown_a_refused_write_still_takes_the_older_value_out_of_l1() {
    for with_l2 in [false, true] {
        for way in ["set", "set absent", "set for no time", "del", "mset", "mdel", "clear", "write_guard"] {
            let w = World::new();
            let builder = if with_l2 { w.both() } else { w.l1() };
            let cache = ok(builder);
            let keys = [1, 2];
            cache.mset(keys.map(|key| (key, Some(5)))).await.unwrap();
            let face: Arc<dyn Cache<u64, u64>> = Arc::new(cache.clone());
            let Begin::Lead(ticket) = cache.begin(&3).await else { panic!("nothing is there") };
            cache.shutdown(Duration::ZERO).await;
            let asked = w.l2.log().len();
            assert_eq!(cache.try_get(&1), Lookup::Hit(5));
            match way {
                "set" => drop(cache.set(&1, 6)),
                "set absent" => drop(face.set(&1, None)),
                "set for no time" => drop(cache.set_with(&1, 6, WriteOptions::new().ttl(Duration::ZERO))),
                "del" => drop(face.del(&1)),
                "mset" => assert_eq!(kind(cache.mset(keys.map(|key| (key, Some(6)))).await), ErrorKind::Shutdown),
                "mdel" => assert_eq!(kind(face.mdel(&keys).await), ErrorKind::Shutdown),
                "clear" => assert_eq!(kind(cache.clear().await), ErrorKind::Shutdown),
                _ => assert_eq!(cache.write_guard(&1).await.unwrap_err().kind(), ErrorKind::Shutdown),
            }
            settle().await;
            assert_eq!(cache.try_get(&1), Lookup::Miss, "{way}, with L2: {with_l2}");
            assert_eq!(kind(cache.get(&1).await), ErrorKind::Shutdown);
            let both = matches!(way, "mset" | "mdel" | "clear");
            assert_eq!(cache.try_get(&2), if both { Lookup::Miss } else { Lookup::Hit(5) }, "{way}");
            // What was on its way is not to bring it back either.
            drop(cache.del(&3));
            ticket.fill(Some(7));
            settle().await;
            assert_eq!(cache.try_get(&3), Lookup::Miss, "{way}, with L2: {with_l2}");
            assert_eq!(w.l2.log().len(), asked, "{way}: L2 was asked after the shutdown");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_ends_after_shutdown_takes_the_older_value_out_of_l1() {
    for finishes in [true, false] {
        let w = World::new();
        let l2 = MemoryL2::with_clock(w.clock.clone()).with_leases();
        let cache = ok(w.bare().l1(w.l1.clone()).l2(l2));
        let guard = cache.write_guard(&1).await.unwrap();
        L1Store::<u64, u64>::insert(&w.l1, 1, Entry::new(Some(5), w.clock.monotonic_ms(), u64::MAX, u64::MAX, 1));
        cache.shutdown(Duration::ZERO).await;
        assert_eq!(cache.try_get(&1), Lookup::Hit(5));
        match finishes {
            true => assert_eq!(kind(guard.finish().await), ErrorKind::Shutdown),
            false => drop(guard),
        }
        assert_eq!(cache.try_get(&1), Lookup::Miss);
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_polled_after_its_end_panics_and_does_not_hang() {
    let again = async |mut future: CacheFuture<'_, u64>| {
        assert_eq!((&mut future).await, 5);
        let again = AssertUnwindSafe(future).catch_unwind().await.expect_err("a second answer");
        let said = again.downcast_ref::<&str>().copied().unwrap_or_default();
        assert!(said.contains("`CacheFuture` polled after completion"), "{said}");
    };
    again(CacheFuture::ready(5)).await;
    again(CacheFuture::boxed(async { 5 })).await;
    // One that would never end.
    again(CacheFuture::boxed(std::future::poll_fn({
        let mut first = true;
        move |_| if std::mem::take(&mut first) { Poll::Ready(5) } else { Poll::Pending }
    })))
    .await;
    let cache = ok(World::new().both());
    let mut set = cache.set(&1, 5);
    (&mut set).await.unwrap();
    assert!(AssertUnwindSafe(set).catch_unwind().await.is_err());
}
