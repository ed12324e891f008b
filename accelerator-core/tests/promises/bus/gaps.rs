//! I4: a node that may have missed a message forgets what it has in L1, and stores nothing that it was loading.

use accelerator_core::testkit::{Arrival, MemoryBus, Op, settle};
use accelerator_core::{BusState, Bytes, GapCause, InvalidationBus, Lookup};

use super::{Pair, WAYS, Way, lone, told};
use crate::common::{ms, secs};

const CAUSES: [GapCause; 4] = [GapCause::Disconnected, GapCause::NoAnswer, GapCause::Overflow, GapCause::Refused];

#[tokio::test(start_paused = true)]
async fn after_a_gap_of_the_bus_nothing_older_is_answered() {
    for way in WAYS {
        for cause in CAUSES {
            let p = Pair::new(way).await;
            p.fill(&[1, 2]).await;
            p.at_b.interrupt(cause);
            settle().await;
            assert_eq!((p.a.try_get(&1), p.b.try_get(&1)), (Lookup::Hit(1001), Lookup::Miss), "{way:?} {cause:?}");
            let gaps = p.b.stats().gaps;
            let of = [gaps.disconnected, gaps.no_answer, gaps.overflow, gaps.refused];
            let counted = CAUSES.map(|one| u64::from(one == cause));
            assert_eq!((of, gaps.total()), (counted, 1), "{way:?} {cause:?}");
            assert_eq!(p.b.bus_health().expect("a bus").last_gap.expect("a gap").cause, cause.as_str());
            assert_eq!(p.b.stats().bus, BusState::Up, "it listens again");
            // What was loaded since is believed again.
            p.b.get(&1).await.expect("a value");
            assert_eq!(p.b.try_get(&1), Lookup::Hit(1001), "{way:?} {cause:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_a_gap_stores_nothing() {
    for way in WAYS {
        for how in ["interrupted", "cut off", "mended"] {
            let p = Pair::new(way).await;
            let door = p.w.source.door();
            let b = p.b.clone();
            let read = tokio::spawn(async move { b.get(&1).await });
            door.reached().await;
            p.w.source.put(2);
            match how {
                "interrupted" => p.at_b.interrupt(GapCause::Disconnected),
                _ => p.at_b.cut(GapCause::Disconnected),
            }
            settle().await;
            p.a.del(&1).await.expect("confirmed");
            if how == "mended" {
                // It began while the node was cut off.
                let b = p.b.clone();
                let (late, early) = (p.w.source.door(), door.clone());
                p.w.source.put(1);
                let again = tokio::spawn(async move { b.get(&2).await });
                late.reached().await;
                p.w.source.put(2);
                p.a.del(&2).await.expect("confirmed");
                p.at_b.mend();
                settle().await;
                late.open();
                early.open();
                assert_eq!(again.await.expect("a task").expect("a value"), Some(2001));
                settle().await;
                assert_eq!(p.b.try_get(&2), Lookup::Miss, "{way:?}");
            }
            door.open();
            assert_eq!(read.await.expect("a task").expect("a value"), Some(1001));
            settle().await;
            let found = p.b.try_get(&1);
            // Cut off, a load that began after that is believed for a second; this one began before.
            assert_eq!(found, Lookup::Miss, "{way:?} {how}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_message_shows_by_the_next_one() {
    for how in ["del", "clear"] {
        let p = Pair::new(Way::Both).await;
        p.a.del(&9).await.expect("confirmed");
        p.fill(&[1, 2, 3]).await;
        p.at_b.push(Arrival::Never);
        p.a.del(&1).await.expect("confirmed");
        settle().await;
        assert_eq!(p.b.try_get(&1), Lookup::Hit(1001), "nobody can know yet");
        match how {
            "del" => p.a.del(&2).await.expect("confirmed"),
            _ => p.a.clear().await.expect("confirmed"),
        }
        settle().await;
        for key in [1, 2, 3] {
            assert_eq!(p.b.try_get(&key), Lookup::Miss, "{how} {key}");
        }
        assert_eq!((p.b.stats().gaps.skipped, p.b.stats().gaps.total()), (1, 1), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_message_shows_by_a_hello_a_second_later() {
    for lost in 1..=4 {
        let p = Pair::new(Way::Both).await;
        p.fill(&[1]).await;
        for _ in 0..lost {
            p.at_b.push(Arrival::Never);
        }
        // The message, and all hellos but the last.
        p.a.del(&1).await.expect("confirmed");
        let at = [1, 2, 4, 8][lost - 1];
        for _ in 0..at * 100 - 1 {
            p.w.clock.advance(ms(10)).await;
        }
        assert_eq!(p.b.try_get(&1), Lookup::Hit(1001), "{lost}: nobody can know yet");
        p.w.clock.advance(ms(20)).await;
        assert_eq!(p.b.try_get(&1), Lookup::Miss, "{lost}");
        assert_eq!((p.b.stats().gaps.trailing, p.b.stats().gaps.total()), (1, 1), "{lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_come_twice_or_late_are_no_gap_but_for_those_that_overtake() {
    let p = Pair::new(Way::L1).await;
    p.at_b.push(Arrival::Twice);
    p.a.del(&1).await.expect("confirmed");
    settle().await;
    assert_eq!((p.b.stats().gaps.total(), p.b.stats().received), (0, 2));
    p.at_b.push(Arrival::Late);
    p.a.del(&2).await.expect("confirmed");
    p.a.del(&3).await.expect("confirmed");
    settle().await;
    assert_eq!(p.b.stats().gaps.skipped, 1);
    p.fill(&[2, 5]).await;
    p.at_b.release();
    settle().await;
    assert_eq!((p.b.try_get(&2), p.b.try_get(&5)), (Lookup::Miss, Lookup::Hit(5001)), "late, it purges all the same");
    assert_eq!(p.b.stats().gaps.total(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_of_ours_is_a_lost_one() {
    let p = Pair::new(Way::L1).await;
    p.a.del(&9).await.expect("confirmed");
    let published = p.at_a.published();
    let (topic, message) = published.iter().find(|(_, bytes)| bytes[3] == 1).expect("a message");
    let mut newer = message.to_vec();
    newer[2] += 1;
    for foreign in [Bytes::new(), "news of another program".into(), message.slice(1..), newer.into()] {
        p.fill(&[1]).await;
        let before = p.b.stats();
        p.at_a.publish(topic, foreign).await.expect("published");
        settle().await;
        assert_eq!(p.b.try_get(&1), Lookup::Miss);
        let after = p.b.stats();
        assert_eq!(after.gaps.undecodable, before.gaps.undecodable + 1);
        assert_eq!(after.receives_failed, before.receives_failed + 1);
    }
    assert_eq!(p.b.stats().bus, BusState::Up);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_heard_too_late_is_a_gap() {
    let p = Pair::new(Way::L1).await;
    // Within half a minute it may have begun before this node. What it said may be lost all the same: it is too late for
    // that once all have been heard.
    let early = MemoryBus::new();
    let stranger = lone(&p.w, &early);
    settle().await;
    stranger.mdel(&[1]).await.expect("confirmed");
    stranger.mdel(&[2]).await.expect("confirmed");
    let topic = early.published()[0].0.clone();
    let messages: Vec<_> = early.published().into_iter().filter(|(_, bytes)| bytes[3] == 1).collect();
    p.at_a.publish(&topic, messages[1].1.clone()).await.expect("published");
    settle().await;
    assert_eq!(p.b.stats().gaps.total(), 0);
    p.fill(&[1]).await;
    p.w.clock.advance(secs(32)).await;
    assert_eq!((p.b.try_get(&1), p.b.stats().gaps.total()), (Lookup::Miss, 0), "no sign of a loss");
    p.fill(&[1]).await;
    p.w.clock.advance(secs(32)).await;
    assert_eq!(p.b.try_get(&1), Lookup::Hit(1001), "once");
    let later = MemoryBus::new();
    let stranger = lone(&p.w, &later);
    settle().await;
    stranger.del(&1).await.expect("confirmed");
    stranger.del(&2).await.expect("confirmed");
    let messages: Vec<_> = later.published().into_iter().filter(|(_, bytes)| bytes[3] == 1).collect();
    p.fill(&[7]).await;
    p.at_a.publish(&topic, messages[1].1.clone()).await.expect("published");
    settle().await;
    assert_eq!((p.b.try_get(&7), p.b.stats().gaps.unheard), (Lookup::Miss, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_began_before_and_says_nothing_is_no_gap() {
    let p = Pair::new(Way::L1).await;
    p.a.del(&1).await.expect("confirmed");
    for _ in 0..100 {
        p.w.clock.advance(secs(10)).await;
    }
    p.a.del(&1).await.expect("confirmed");
    p.w.clock.advance(secs(40)).await;
    assert_eq!((p.a.stats().gaps.total(), p.b.stats().gaps.total()), (0, 0));
    // One hello for each half minute, of each.
    assert!((60..90).contains(&p.at_a.published().len()), "{}", p.at_a.published().len());
}

#[tokio::test(start_paused = true)]
async fn a_gap_ends_no_write_that_is_on_its_way() {
    for (way, how) in [(Way::Both, "set"), (Way::Both, "mset"), (Way::Leases, "set"), (Way::Leases, "mset")] {
        let p = Pair::new(way).await;
        p.a.set(&1, 1).await.expect("confirmed");
        // Another writer of the key has the turn.
        let gate = p.w.l2.gate(Op::Set);
        let (first, a) = (p.a.set(&1, 2), p.a.clone());
        gate.reached().await;
        let second = if how == "set" { a.set(&1, 3) } else { a.mset([(1, Some(3))]) };
        p.at_a.interrupt(GapCause::Disconnected);
        settle().await;
        gate.open();
        first.await.expect("confirmed");
        second.await.expect("confirmed");
        assert_eq!(p.w.in_l2(1).await, Some(Some(3)), "{way:?} {how}: what was confirmed is there");
        assert_eq!(p.a.lookup(&1).await, Lookup::Hit(3), "{way:?} {how}");
    }
    let p = Pair::new(Way::Both).await;
    assert_eq!(told(&p.at_a).len(), 0);
}
