//! A hold ends by its owner, or by its own time: nobody else's command takes it away.

#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, Then, settle};
use accelerator_core::{Lookup, StoreErrorKind};

use crate::common::{Level, World, ms, ok, secs};

fn world() -> World {
    let mut w = World::new();
    w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_leases());
    w
}

/// Everybody reads the source, and nobody keeps what it says.
async fn assert_held(w: &World, nodes: &[&Level], expected: u64, what: &str) {
    for node in nodes {
        assert_eq!(node.get(&1).await.unwrap(), Some(expected), "{what}");
        assert_eq!(node.mget(&[1]).await.into_values().unwrap(), [Some(expected)], "{what}");
        settle().await;
        assert_eq!(node.try_get(&1), Lookup::Miss, "{what}");
    }
    assert!(w.l2.inner().is_empty(), "{what}");
}

#[tokio::test(start_paused = true)]
async fn the_guard_that_ends_first_leaves_the_other() {
    for same_node in [false, true] {
        for first_ends_first in [false, true] {
            let w = world();
            let (a, reader) = (ok(w.both()), ok(w.twin().both()));
            let b = if same_node { a.clone() } else { ok(w.twin().both()) };
            let what = format!("on one node: {same_node}, in order: {first_ends_first}");
            let (one, two) = (a.write_guard(&1).await.unwrap(), b.write_guard(&1).await.unwrap());
            let (ends, is_killed) = if first_ends_first { (one, two) } else { (two, one) };
            w.source.put(2);
            ends.finish().await.unwrap();
            assert_held(&w, &[&a, &b, &reader], 1002, &what).await;
            // The other commits, and its process is killed.
            w.source.put(3);
            drop(is_killed);
            assert_held(&w, &[&a, &b, &reader], 1003, &what).await;
            w.clock.advance(secs(10)).await;
            assert_eq!(reader.get(&1).await.unwrap(), Some(1003));
            assert_eq!(w.in_l2(1).await, Some(Some(1003)), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_guard_to_finish_frees_the_key() {
    let w = world();
    let (a, b) = (ok(w.both()), ok(w.twin().both()));
    let guards = (a.write_guard(&1).await.unwrap(), b.write_guard(&1).await.unwrap(), a.write_guard(&1).await.unwrap());
    w.source.put(2);
    guards.0.finish().await.unwrap();
    guards.1.finish().await.unwrap();
    assert_held(&w, &[&a, &b], 1002, "one is left").await;
    guards.2.finish().await.unwrap();
    assert_eq!((a.get(&1).await.unwrap(), b.get(&1).await.unwrap()), (Some(1002), Some(1002)));
    assert_eq!((a.try_get(&1), w.in_l2(1).await), (Lookup::Hit(1002), Some(Some(1002))));
}

#[tokio::test(start_paused = true)]
async fn what_others_write_and_delete_leaves_a_hold() {
    for verb in ["del", "mdel", "set", "mset", "set absent"] {
        let w = world();
        let (a, b, reader) = (ok(w.both()), ok(w.twin().both()), ok(w.twin().both()));
        reader.get(&1).await.unwrap();
        reader.del(&1).await.unwrap();
        let guard = a.write_guard(&1).await.unwrap();
        match verb {
            "del" => b.del(&1).await,
            "mdel" => b.mdel(&[1, 2]).await,
            "set" => b.set(&1, 1001).await,
            "mset" => b.mset([(1, Some(1001)), (2, Some(2001))]).await,
            _ => b.set(&1, None).await,
        }
        .unwrap();
        if verb == "mset" {
            assert_eq!(w.l2.inner().keys(), ["t.2"], "what nobody holds is written");
            b.del(&2).await.unwrap();
        }
        assert_held(&w, &[&b, &reader, &a], 1001, verb).await;
        w.source.put(2);
        drop(guard);
        assert_held(&w, &[&b, &reader, &a], 1002, verb).await;
    }
}

#[tokio::test(start_paused = true)]
async fn late_deletes_and_writes_leave_a_hold() {
    for op in [Op::Del, Op::Set] {
        let w = world();
        let (a, b) = (ok(w.both()), ok(w.twin().both()));
        let gate = w.l2.gate(op);
        let late = if op == Op::Del { b.del(&1) } else { b.set(&1, 1001) };
        gate.reached().await;
        let guard = a.write_guard(&1).await.unwrap();
        gate.open();
        late.await.unwrap();
        assert_held(&w, &[&a, &b], 1001, "the command came late").await;
        w.source.put(2);
        drop(guard);
        assert_held(&w, &[&a, &b], 1002, "the writer was killed").await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_recovery_of_an_older_delete_leaves_a_hold() {
    for writer in [0, 1] {
        let w = world();
        let nodes = [ok(w.both()), ok(w.twin().both())];
        w.l2.always_for(Op::Del, Some(Fault::Error(StoreErrorKind::Unavailable)));
        nodes[0].del(&1).await.unwrap_err();
        let guard = nodes[writer].write_guard(&1).await.unwrap();
        w.l2.heal();
        while nodes[0].stats().unconfirmed > 0 {
            tokio::time::sleep(ms(10)).await;
        }
        assert_held(&w, &[&nodes[0], &nodes[1]], 1001, "the delete was sent again").await;
        w.source.put(2);
        drop(guard);
        assert_held(&w, &[&nodes[0], &nodes[1]], 1002, "the writer was killed").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_without_a_guard_is_ended() {
    let lost = [Then::Hang, Then::Error(StoreErrorKind::Unavailable)].map(Fault::LostReply);
    for fault in lost.map(Some).into_iter().chain([None]) {
        let w = world();
        let (node, other) = (ok(w.both()), ok(w.twin().both()));
        match fault.clone() {
            Some(fault) => {
                w.l2.push_for(Op::Hold, fault);
                node.write_guard(&1).await.unwrap_err();
            }
            // Its caller goes away while the answer is on its way.
            None => {
                let gate = w.l2.gate_after(Op::Hold);
                let asking = node.clone();
                let guard = tokio::spawn(async move { asking.write_guard(&1).await.map(drop) });
                gate.reached().await;
                guard.abort();
                guard.await.unwrap_err();
            }
        }
        settle().await;
        assert_eq!((w.l2.calls(Op::Hold), w.l2.calls(Op::Unhold)), (1, 1), "{fault:?}");
        assert_eq!(other.get(&1).await.unwrap(), Some(1001));
        assert_eq!((other.try_get(&1), w.in_l2(1).await), (Lookup::Hit(1001), Some(Some(1001))), "{fault:?}");
    }
}
