//! An outcome per key is an outcome per key: what has come by the deadline is kept, a busy or hanging key costs itself,
//! and a call has one deadline, however many chunks it is cut into.

use std::future::Future;
use std::pin::Pin;

use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, settle};
use accelerator_core::{ErrorKind, Limits, Lookup, Tickets};
use tokio::time::Instant;

use crate::common::{World, ms, ok, secs};

/// A world whose L2 has leases.
fn leasing() -> World {
    let w = World::new();
    let l2 = MemoryL2::with_clock(w.clock.clone()).with_limits(Limits::default().leases(true));
    World { l2: Faulty::new(l2), ..w }
}

/// Every third key, as if one server of three had it.
fn thirds(n: usize) -> Vec<usize> {
    (0..n).filter(|i| i % 3 == 0).collect()
}

#[tokio::test(start_paused = true)]
async fn reads_that_came_before_the_deadline_are_hits() {
    for (w, op) in [(World::new(), Op::Get), (leasing(), Op::Lease)] {
        let keys: Vec<u64> = (0..24).collect();
        w.other_node().mset(keys.iter().map(|key| (*key, Some(7)))).await.unwrap();
        let cache = ok(w.batches());
        w.l2.push_for(op, Fault::at(thirds(24), Fault::Hang));
        let before = Instant::now();
        let values = cache.mget(&keys).await.into_values().unwrap();
        assert!(before.elapsed() < ms(150), "{:?}", before.elapsed());
        for (key, value) in keys.iter().zip(values) {
            assert_eq!(value, Some(if key % 3 == 0 { key * 1000 + 1 } else { 7 }), "{key}");
        }
        assert_eq!((cache.stats().l2_hits, w.source.asked()), (16, 8));
        let timeouts: u64 = cache.stats().l2_errors.total();
        assert_eq!(timeouts, 1, "one call was late");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_without_a_loader_keeps_what_came_too() {
    let w = World::new();
    w.other_node().mset((0..6).map(|key| (key, Some(7)))).await.unwrap();
    let cache = ok(w.no_loader());
    w.l2.push_for(Op::Get, Fault::at([0, 3], Fault::Hang));
    let found = cache.mget(&[0, 1, 2, 3, 4, 5]).await;
    let hits = found.iter().filter(|(_, value)| matches!(value, Ok(Some(7)))).count();
    assert_eq!(hits, 4);
}

#[tokio::test(start_paused = true)]
async fn writes_that_l2_confirmed_before_the_deadline_are_confirmed() {
    for (op, fault) in [(Op::Set, Fault::Hang), (Op::Del, Fault::LostReply(accelerator_core::testkit::Then::Hang))] {
        let w = World::new();
        let cache = ok(w.no_loader());
        w.l2.push_for(op, Fault::at(thirds(24), fault));
        let failed = match op {
            Op::Set => cache.mset((0..24).map(|key| (key, Some(7)))).await,
            _ => cache.mdel(&(0..24).collect::<Vec<_>>()).await,
        };
        let e = failed.unwrap_err();
        assert!(e.kind() == ErrorKind::Unconfirmed && e.is_queued(), "{e}");
        assert_eq!(cache.stats().unconfirmed, 8, "{op:?}");
        assert_eq!(cache.lookup(&0).await, Lookup::Unavailable);
        assert_eq!(cache.lookup(&1).await, if op == Op::Set { Lookup::Hit(7) } else { Lookup::Miss });
    }
}

#[tokio::test(start_paused = true)]
async fn fills_that_came_before_the_deadline_are_stored_and_the_others_leases_go_back() {
    let w = leasing();
    let cache = ok(w.batches());
    w.l2.push_for(Op::Fill, Fault::at(thirds(24), Fault::Hang));
    let keys: Vec<u64> = (0..24).collect();
    cache.mget(&keys).await.into_values().unwrap();
    settle().await;
    assert_eq!(w.l2.inner().len(), 16);
    assert!(keys.iter().all(|key| !w.l2.inner().is_leased(&format!("t.{key}"))));
    assert_eq!(w.l2.calls(Op::Release), 8);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_gives_back_the_leases_that_have_come() {
    let w = leasing();
    let cache = ok(w.batches());
    w.l2.push_for(Op::Lease, Fault::at([0], Fault::Hang));
    let keys = [0, 1, 2];
    let mut read = cache.begin_many(&keys);
    for _ in 0..3 {
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(Pin::new(&mut read).poll(cx))).await.is_pending());
    }
    assert!(w.l2.inner().is_leased("t.1"));
    drop(read);
    cache.shutdown(secs(1)).await;
    settle().await;
    assert!(!w.l2.inner().is_leased("t.1") && !w.l2.inner().is_leased("t.2"));
}

#[tokio::test(start_paused = true)]
async fn a_busy_key_keeps_no_other_key_of_a_write_back() {
    for op in ["mset", "mdel"] {
        for opens in [false, true] {
            let w = World::new();
            let cache = ok(w.no_loader());
            cache.mset((0..100).map(|key| (key, Some(1)))).await.unwrap();
            let gate = w.l2.gate(Op::Set);
            let busy = cache.set(&50, 2);
            gate.reached().await;
            // It is later than the busy one, so its limit is not over first.
            tokio::time::sleep(ms(100)).await;
            let before = Instant::now();
            let all = match op {
                "mset" => cache.mset((0..100).map(|key| (key, Some(3)))),
                _ => cache.mdel(&(0..100).collect::<Vec<_>>()),
            };
            settle().await;
            let keys: Vec<u64> = (0..100).collect();
            let seen = w.other_node().mget(&keys).await;
            let values: Vec<_> = seen.iter().map(|(_, value)| value.as_ref().ok().copied().flatten()).collect();
            let new = if op == "mset" { Some(3) } else { None };
            assert_eq!(values.iter().filter(|value| **value == new).count(), 99, "{op}: all others are sent at once");
            if opens {
                gate.open();
                all.await.unwrap();
                assert_eq!(w.in_l2(50).await.flatten(), new, "{op}: the later one counts");
                busy.await.unwrap();
                assert_eq!(cache.stats().unconfirmed, 0, "{op}");
            } else {
                // The turn comes when the busy one is given up, and L2 answers.
                all.await.unwrap();
                assert!(before.elapsed() < ms(250), "{op}: {:?}", before.elapsed());
                busy.await.unwrap_err();
                assert_eq!(w.in_l2(50).await.flatten(), new, "{op}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_turn_does_not_come_is_the_only_one_that_is_not_confirmed() {
    let w = World::new();
    let cache = ok(w.no_loader());
    // The writes before it hang one after another: each has the turn until its own end.
    w.l2.push_for(Op::Set, Fault::Hang);
    let first = cache.set(&50, 1);
    settle().await;
    let all = cache.mset((0..100).map(|key| (key, Some(3))));
    let (first, all) = tokio::join!(first, all);
    first.unwrap_err();
    let e = all.unwrap_err();
    assert!(e.is_queued() && !e.to_string().contains(" 0ns"), "{e}");
    assert_eq!(cache.stats().unconfirmed, 1);
    assert_eq!(cache.lookup(&49).await, Lookup::Hit(3));
}

/// Each takes some of the turns that the other needs.
#[tokio::test(start_paused = true)]
async fn writes_of_the_same_keys_never_wait_for_each_other() {
    let w = World::new();
    let cache = ok(w.no_loader().max_batch(7));
    w.l2.always(Some(Fault::Delay(ms(2))));
    let mut calls = Vec::new();
    for round in 0..10_u64 {
        let keys: Vec<u64> = (0..20).map(|n| (n * 7 + round * 3) % 20).collect();
        calls.push(cache.mset(keys.iter().map(|key| (*key, Some(round)))));
        calls.push(cache.mdel(&keys[..10]));
    }
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!((cache.stats().unconfirmed, cache.stats().flights), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_of_many_chunks_to_a_dead_l2_ends_after_one_limit() {
    let keys: Vec<u64> = (0..10_240).collect();
    for (op, longest) in [("mset", ms(500)), ("mdel", ms(500)), ("mget", secs(1))] {
        let w = World::new();
        let cache = ok(w.batches());
        w.l2.always(Some(Fault::Hang));
        let before = Instant::now();
        match op {
            "mset" => assert!(cache.mset(keys.iter().map(|key| (*key, Some(1)))).await.unwrap_err().is_queued()),
            "mdel" => assert!(cache.mdel(&keys).await.unwrap_err().is_queued()),
            // 100 ms, and an eighth of it for each later chunk.
            _ => assert_eq!(cache.mget(&keys).await.into_values().unwrap().len(), keys.len()),
        }
        assert!(before.elapsed() < longest, "{op}: {:?}", before.elapsed());
        assert_eq!(cache.stats().unconfirmed, if op == "mget" { 0 } else { keys.len() }, "{op}");
    }
}

/// A third of the keys lies on a server that hangs: all others of all chunks are written.
#[tokio::test(start_paused = true)]
async fn a_call_of_many_chunks_loses_only_the_keys_that_hang() {
    let w = World::new();
    let cache = ok(w.no_loader());
    w.l2.always_for(Op::Set, Some(Fault::at(thirds(256), Fault::Hang)));
    let before = Instant::now();
    cache.mset((0..10_240).map(|key| (key, Some(1)))).await.unwrap_err();
    assert!(before.elapsed() < ms(500), "{:?}", before.elapsed());
    let hang = 40 * thirds(256).len();
    assert_eq!((cache.stats().unconfirmed, w.l2.inner().len()), (hang, 10_240 - hang));
}

/// An L2 that answers slowly, not in vain, is given the time that a large call needs.
#[tokio::test(start_paused = true)]
async fn a_large_call_to_a_slow_l2_is_confirmed() {
    let w = World::new();
    let cache = ok(w.no_loader());
    w.l2.always(Some(Fault::Delay(ms(100))));
    cache.mset((0..10_240).map(|key| (key, Some(1)))).await.unwrap();
    cache.mdel(&(0..10_240).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(cache.stats().unconfirmed, 0);
}
