//! What is told, when, and what becomes of what the bus does not take.

use std::sync::Arc;

use accelerator_core::testkit::{Fault, MemoryBus, Op, settle};
use accelerator_core::{
    BoxStream, BusEvent, BusLimits, Bytes, ErrorKind, GapCause, InvalidationBus, Lookup, StoreErrorKind, StoreResult,
    async_trait,
};

use super::{Doored, Pair, WAYS, Way, keys_of, told};
use crate::common::{World, ms, ok, secs};

const DOWN: Fault = Fault::Error(StoreErrorKind::Unavailable);

#[tokio::test(start_paused = true)]
async fn one_message_is_on_its_way_and_the_rest_goes_together() {
    for way in [Way::L1, Way::Both] {
        let (w, hub) = (way.world(), MemoryBus::new());
        let bus = Doored::new(&hub);
        let cache = ok(way.builder(&w).bus(bus.clone()));
        settle().await;
        let first = cache.del(&1);
        settle().await;
        let others: Vec<_> = [5, 3, 5, 4].map(|key| cache.del(&key)).into();
        let many = cache.mdel(&[3, 6]);
        settle().await;
        assert_eq!(told(&hub).len(), 0, "{way:?}");
        bus.door.add_permits(1);
        first.await.expect("confirmed");
        settle().await;
        assert_eq!(told(&hub), [1], "{way:?}");
        bus.door.add_permits(1);
        for other in others {
            other.await.expect("confirmed");
        }
        many.await.expect("confirmed");
        assert_eq!(told(&hub), [1, 1], "{way:?}");
        let (_, last) = hub.published().pop().expect("a message");
        let mut keys = keys_of(&last);
        // Behind an L2 they come as it answers.
        if way == Way::Both {
            keys.sort();
            assert_eq!(keys, ["3", "4", "5", "6"]);
        } else {
            assert_eq!(keys, ["5", "3", "4", "6"]);
        }
        assert_eq!(cache.stats().published, 5, "{way:?}: duplicates once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_is_acknowledged_when_the_others_are_told() {
    for way in WAYS {
        for how in ["del", "set", "clear"] {
            let (w, hub) = (way.world(), MemoryBus::new());
            let bus = Doored::new(&hub);
            let cache = ok(way.builder(&w).bus(bus.clone()));
            settle().await;
            let mut write = match how {
                "del" => cache.del(&1),
                "set" => cache.set(&1, 1001),
                _ => cache.clear(),
            };
            settle().await;
            assert!(futures_util::FutureExt::now_or_never(&mut write).is_none(), "{way:?} {how}");
            bus.door.add_permits(1);
            write.await.expect("confirmed");
            assert_eq!(told(&hub).len(), 1, "{way:?} {how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn l2_comes_before_the_news() {
    for how in ["del", "mdel", "set", "mset"] {
        let p = Pair::new(Way::Both).await;
        p.fill(&[1]).await;
        let gate = p.w.l2.gate_after(if how.ends_with("del") { Op::Del } else { Op::Set });
        let write = match how {
            "del" => p.a.del(&1),
            "mdel" => p.a.mdel(&[1, 2]),
            "set" => p.a.set(&1, 7),
            _ => p.a.mset([(1, Some(7)), (2, Some(7))]),
        };
        gate.reached().await;
        settle().await;
        assert_eq!(told(&p.at_a).len(), 0, "{how}");
        gate.open();
        write.await.expect("confirmed");
        assert_eq!(told(&p.at_a), [1], "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_ends_nothing() {
    for way in WAYS {
        for how in ["del", "mdel", "set", "mset", "clear"] {
            let p = Pair::new(way).await;
            p.fill(&[1]).await;
            match how {
                "del" => drop(p.a.del(&1)),
                "mdel" => drop(p.a.mdel(&[1])),
                "set" => drop(p.a.set(&1, 7)),
                "mset" => drop(p.a.mset([(1, Some(7))])),
                _ => drop(p.a.clear()),
            }
            // Nor does a handle that goes away.
            let (b, at_a) = (p.b.clone(), p.at_a.clone());
            drop(p);
            settle().await;
            assert_eq!((told(&at_a).len(), b.try_get(&1)), (1, Lookup::Miss), "{way:?} {how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_bus_does_not_take_is_an_error_and_is_told_later() {
    for way in WAYS {
        for how in ["del", "mdel", "set", "mset", "clear"] {
            let p = Pair::new(way).await;
            p.fill(&[1]).await;
            p.at_a.cut(GapCause::Disconnected);
            settle().await;
            let failed = match how {
                "del" => p.a.del(&1).await,
                "mdel" => p.a.mdel(&[1, 2]).await,
                "set" => p.a.set(&1, 7).await,
                "mset" => p.a.mset([(1, Some(7)), (2, Some(7))]).await,
                _ => p.a.clear().await,
            };
            let (error, keys) = (failed.expect_err("the bus is away"), if how.len() == 4 { 2 } else { 1 });
            assert!(error.kind() == ErrorKind::Unconfirmed && error.is_queued(), "{way:?} {how}: {error}");
            let said = error.to_string();
            assert!(
                said.contains("the bus did not confirm") && said.contains("all is right but for other nodes"),
                "{said}"
            );
            assert_eq!(p.a.stats().unpublished, keys, "{way:?} {how}");
            assert!(p.a.stats().publishes_failed >= keys as u64, "{way:?} {how}");
            assert_eq!(p.a.stats().unconfirmed, 0, "{way:?} {how}: L2 is not read past");
            assert_eq!(p.b.try_get(&1), Lookup::Hit(1001), "{way:?} {how}: it was not told");
            p.at_a.mend();
            for _ in 0..60 {
                p.w.clock.advance(ms(20)).await;
            }
            assert_eq!((p.a.stats().unpublished, p.a.stats().published), (0, keys as u64), "{way:?} {how}");
            assert_eq!(p.b.try_get(&1), Lookup::Miss, "{way:?} {how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_says_which_half_is_missing() {
    let p = Pair::new(Way::Both).await;
    for how in ["del", "mset"] {
        let write = || match how {
            "del" => p.a.del(&1),
            _ => p.a.mset([(1, Some(7)), (2, Some(7))]),
        };
        p.w.l2.always(Some(DOWN));
        let said = write().await.expect_err("L2 is away").to_string();
        assert!(said.contains("L2 did not confirm") && !said.contains("bus"), "{said}");
        p.at_a.cut(GapCause::Disconnected);
        settle().await;
        let error = write().await.expect_err("both are away");
        let said = error.to_string();
        assert!(said.contains("neither L2 nor the bus") && said.contains("both are queued"), "{said}");
        assert!(said.contains("cut off") && error.is_queued(), "{said}: the causes of both");
        p.at_a.mend();
        p.w.l2.heal();
        for _ in 0..60 {
            p.w.clock.advance(ms(20)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_l2_confirms_late_is_told_again() {
    for way in [Way::Both, Way::Leases] {
        let p = Pair::new(way).await;
        p.fill(&[1]).await;
        p.w.source.put(2);
        p.w.l2.push_for(Op::Del, DOWN);
        p.a.del(&1).await.expect_err("L2 is away");
        settle().await;
        assert_eq!(p.b.try_get(&1), Lookup::Miss, "{way:?}: it was told at once");
        assert_eq!(p.b.get(&1).await.expect("a value"), Some(1001), "{way:?}: L2 has it still");
        for _ in 0..5 {
            p.w.clock.advance(ms(20)).await;
        }
        assert_eq!(p.a.stats().unconfirmed, 0, "{way:?}");
        assert_eq!(p.b.get(&1).await.expect("a value"), Some(1002), "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_does_not_answer_is_given_up_after_the_limit_of_a_write() {
    for way in WAYS {
        let (w, hub) = (way.world(), MemoryBus::new());
        let cache = ok(way.builder(&w).bus(Doored::new(&hub)));
        settle().await;
        let before = tokio::time::Instant::now();
        let error = cache.del(&1).await.expect_err("it hangs");
        assert!(error.is_queued() && format!("{error:#}").contains("250ms"), "{error:#}");
        assert!(before.elapsed() < ms(400), "{:?}", before.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_room_becomes_one_clear() {
    for way in [Way::L1, Way::Both] {
        let p = Pair::with(way, |builder| builder.recovery_bytes(1000)).await;
        p.fill(&[77]).await;
        p.at_a.cut(GapCause::Disconnected);
        settle().await;
        for key in 0..50 {
            let error = p.a.del(&key).await.expect_err("the bus is away");
            assert!(error.is_queued(), "{error}");
        }
        assert_eq!(p.a.stats().unpublished, 1, "{way:?}");
        p.at_a.mend();
        for _ in 0..60 {
            p.w.clock.advance(ms(20)).await;
        }
        assert_eq!((told(&p.at_a), p.b.try_get(&77)), (vec![2], Lookup::Miss), "{way:?}");
        // L2's values stand.
        let asked = p.w.source.asked();
        p.b.get(&77).await.expect("a value");
        assert_eq!(p.w.source.asked() - asked, usize::from(!way.has_l2()), "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn large_calls_are_split() {
    let hub = MemoryBus::new().with_limits(BusLimits::default().max_message_bytes(1024));
    let w = World::new();
    let (a, b) = (ok(w.l1().bus(hub.clone())), ok(w.twin().l1().bus(hub.node())));
    settle().await;
    let keys: Vec<u64> = (0..2000).map(|n| u64::MAX - n).collect();
    a.mdel(&keys).await.expect("confirmed");
    settle().await;
    assert_eq!((b.stats().received, b.stats().gaps.total()), (2000, 0));
    assert!(told(&hub).len() > 40 && hub.published().iter().all(|(_, bytes)| bytes.len() <= 1024));
}

#[tokio::test(start_paused = true)]
async fn shutdown_tells_what_is_left_and_says_what_it_could_not() {
    for way in WAYS {
        let p = Pair::new(way).await;
        p.fill(&[1]).await;
        p.at_a.cut(GapCause::Disconnected);
        settle().await;
        p.a.mdel(&[1, 2]).await.expect_err("the bus is away");
        let left = p.a.shutdown(secs(3)).await;
        assert_eq!((left.unfinished, left.unconfirmed, left.unpublished), (0, 0, 2), "{way:?}");
        p.at_a.mend();
        let left = p.a.shutdown(secs(3)).await;
        assert_eq!((left.unpublished, told(&p.at_a).len()), (0, 1), "{way:?}");
        settle().await;
        assert_eq!(p.b.try_get(&1), Lookup::Miss, "{way:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_whose_hold_was_not_told_is_none() {
    let p = Pair::new(Way::Leases).await;
    p.at_a.cut(GapCause::Disconnected);
    settle().await;
    let error = p.a.write_guard(&1).await.expect_err("the bus is away");
    assert_eq!(error.kind(), ErrorKind::Unconfirmed);
    assert!(error.to_string().contains("change nothing yet"), "{error}");
    settle().await;
    assert!(p.w.l2.inner().is_empty(), "the hold was ended");
}

/// A bus that breaks the contract where it can.
struct Broken(Arc<MemoryBus>);

#[async_trait]
impl InvalidationBus for Broken {
    async fn publish(&self, _: &str, _: Bytes) -> StoreResult<()> {
        unreachable!("the bus has a bug");
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        assert!(self.0.listeners() > 0, "the bus has another bug");
        self.0.listen(topic)
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_panics_costs_no_call() {
    let (w, hub) = (World::new(), Arc::new(MemoryBus::new()));
    let cache = ok(w.both().bus(Broken(hub.clone())));
    settle().await;
    let error = cache.del(&1).await.expect_err("a panic");
    assert!(error.is_queued() && format!("{error:#}").contains("panicked"), "{error:#}");
    assert_eq!(cache.get(&1).await.expect("a value"), Some(1001));
}
