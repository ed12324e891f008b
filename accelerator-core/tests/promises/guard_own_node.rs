//! A node knows the keys that it guards itself, whatever L2 says or fails to say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the helpers are test code too")]

use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, settle};
use accelerator_core::{Lookup, ReadOptions, StoreErrorKind, Tickets};

use crate::common::{Level, World, ok, secs};

const AWAY: Fault = Fault::Error(StoreErrorKind::Unavailable);

fn world() -> World {
    let mut w = World::new();
    w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_leases());
    w
}

/// Reads key 1 by every verb that loads or looks; each must answer the source, and keep nothing.
async fn assert_cached_nowhere(w: &World, node: &Level, expected: u64, what: &str) {
    for verb in ["get", "mget", "get_or_load", "ticket", "force_refresh", "lookup"] {
        let source = w.source.clone();
        let answer = match verb {
            "get" => node.get(&1).await.unwrap(),
            "mget" => node.mget(&[1]).await.into_values().unwrap()[0],
            "get_or_load" => node.get_or_load(&1, source.load(1)).await.unwrap(),
            "force_refresh" => node.get_with(&1, ReadOptions::new().force_refresh(true)).await.unwrap(),
            "lookup" => match node.lookup(&1).await {
                Lookup::Miss | Lookup::Unavailable => Some(expected),
                other => panic!("{what}: {other:?}"),
            },
            _ => {
                let accelerator_core::Begin::Lead(ticket) = node.begin(&1).await else {
                    panic!("{what}: a hit");
                };
                let value = source.load(1).await.unwrap();
                ticket.fill(value);
                value
            }
        };
        settle().await;
        assert_eq!(answer, Some(expected), "{what}: {verb}");
        assert_eq!(node.try_get(&1), Lookup::Miss, "{what}: {verb} was kept");
        assert!(!w.l2.inner().keys().contains(&"t.1".to_owned()), "{what}: {verb} was written to L2");
    }
}

/// How L2 may be silent about a hold.
const SILENCES: [&str; 4] = ["bypassed", "reads fail", "is down", "has lost it"];

async fn be_silent(w: &World, node: &Level, how: &str) {
    match how {
        "bypassed" => {
            w.l2.always_for(Op::Del, Some(AWAY));
            node.del(&1).await.unwrap_err();
        }
        "reads fail" => [Op::Lease, Op::Get].into_iter().for_each(|op| w.l2.always_for(op, Some(AWAY))),
        "is down" => w.l2.always(Some(AWAY)),
        _ => w.l2.inner().wipe(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_guarded_key_is_cached_nowhere_though_l2_is_silent() {
    for how in SILENCES {
        let w = world();
        let node = ok(w.both());
        let guard = node.write_guard(&1).await.unwrap();
        be_silent(&w, &node, how).await;
        assert_cached_nowhere(&w, &node, 1001, how).await;
        w.source.put(2);
        assert_cached_nowhere(&w, &node, 1002, how).await;
        w.l2.heal();
        guard.finish().await.unwrap();
        settle().await;
        w.clock.advance(secs(1)).await;
        assert_eq!(node.get(&1).await.unwrap(), Some(1002), "{how}");
        assert_eq!(node.try_get(&1), Lookup::Hit(1002), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_bypassed_before_its_guard_is_cached_nowhere() {
    let w = world();
    let node = ok(w.both());
    w.l2.always_for(Op::Del, Some(AWAY));
    node.del(&1).await.unwrap_err();
    let guard = node.write_guard(&1).await.unwrap();
    assert_cached_nowhere(&w, &node, 1001, "before the commit").await;
    w.source.put(2);
    assert_cached_nowhere(&w, &node, 1002, "after the commit").await;
    w.l2.heal();
    guard.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_lost_read_caches_nothing() {
    for op in [Op::Lease, Op::Get] {
        let w = world();
        let node = ok(w.both());
        let guard = node.write_guard(&1).await.unwrap();
        w.l2.push_for(op, AWAY);
        assert_eq!(node.get(&1).await.unwrap(), Some(1001));
        w.source.put(2);
        assert_eq!(node.get(&1).await.unwrap(), Some(1002));
        guard.finish().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_was_dropped_counts_until_its_hold_ends() {
    for how in SILENCES {
        let w = world();
        let node = ok(w.both());
        let guard = node.write_guard(&1).await.unwrap();
        be_silent(&w, &node, how).await;
        drop(guard);
        assert_cached_nowhere(&w, &node, 1001, how).await;
        // Its commit was under way.
        w.source.put(2);
        assert_cached_nowhere(&w, &node, 1002, how).await;
        w.l2.heal();
        w.clock.advance(secs(10)).await;
        settle().await;
        assert_eq!(node.get(&1).await.unwrap(), Some(1002), "{how}");
        assert_eq!(node.try_get(&1), Lookup::Hit(1002), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_guards_of_a_node_each_counts() {
    let w = world();
    let node = ok(w.both());
    let (one, two) = (node.write_guard(&1).await.unwrap(), node.write_guard(&1).await.unwrap());
    let other = node.write_guard(&2).await.unwrap();
    w.l2.inner().wipe();
    w.source.put(2);
    one.finish().await.unwrap();
    other.finish().await.unwrap();
    assert_eq!((node.get(&2).await.unwrap(), node.try_get(&2)), (Some(2002), Lookup::Hit(2002)));
    assert_cached_nowhere(&w, &node, 1002, "the second lives").await;
    w.source.put(3);
    two.finish().await.unwrap();
    assert_eq!((node.get(&1).await.unwrap(), node.try_get(&1)), (Some(1003), Lookup::Hit(1003)));
}

#[tokio::test(start_paused = true)]
async fn a_set_beside_the_own_guard_is_a_delete() {
    let w = world();
    let node = ok(w.both());
    let guard = node.write_guard(&1).await.unwrap();
    w.l2.inner().wipe();
    node.set(&1, 1001).await.unwrap();
    node.mset([(1, Some(1001)), (2, Some(2001))]).await.unwrap();
    assert_eq!((node.try_get(&1), node.try_get(&2)), (Lookup::Miss, Lookup::Hit(2001)));
    assert_eq!(w.l2.inner().keys(), ["t.2"]);
    w.source.put(2);
    guard.finish().await.unwrap();
    assert_eq!(node.get(&1).await.unwrap(), Some(1002));
}

#[tokio::test(start_paused = true)]
async fn what_began_before_a_guard_is_void_and_a_refresh_is_no_exception() {
    let w = world();
    let node = ok(w.both().refresh_ahead_window(secs(30)));
    node.get(&1).await.unwrap();
    w.clock.advance(secs(59)).await;
    // The refresh has read the old value, and stands there.
    let door = w.source.door();
    node.get(&1).await.unwrap();
    door.reached().await;
    let guard = node.write_guard(&1).await.unwrap();
    w.l2.inner().wipe();
    door.open();
    settle().await;
    assert_eq!((node.try_get(&1), w.l2.inner().len()), (Lookup::Miss, 0));
    w.source.put(2);
    guard.finish().await.unwrap();
    assert_eq!(node.get(&1).await.unwrap(), Some(1002));
}

#[tokio::test(start_paused = true)]
async fn guards_outlive_a_clear_and_a_shutdown() {
    let w = world();
    let node = ok(w.both());
    let guard = node.write_guard(&1).await.unwrap();
    node.clear().await.unwrap();
    w.l2.inner().wipe();
    assert_cached_nowhere(&w, &node, 1001, "after a clear").await;
    w.source.put(2);
    guard.finish().await.unwrap();
    assert_eq!(node.get(&1).await.unwrap(), Some(1002));
    let guard = node.write_guard(&1).await.unwrap();
    node.shutdown(secs(1)).await;
    w.source.put(3);
    let other = ok(w.twin().both());
    assert_eq!(other.get(&1).await.unwrap(), Some(1003));
    assert_eq!(node.try_get(&1), Lookup::Miss);
    let _ = guard.finish().await;
    assert_eq!(other.get(&1).await.unwrap(), Some(1003));
}

#[tokio::test(start_paused = true)]
async fn a_finish_that_l2_does_not_confirm_leaves_the_holds_of_others() {
    let w = world();
    let (a, b, reader) = (ok(w.both()), ok(w.twin().both()), ok(w.twin().both()));
    let (one, two) = (a.write_guard(&1).await.unwrap(), b.write_guard(&1).await.unwrap());
    w.source.put(2);
    w.l2.always(Some(AWAY));
    one.finish().await.unwrap_err();
    w.l2.heal();
    while a.stats().unconfirmed > 0 {
        tokio::time::sleep(crate::common::ms(10)).await;
    }
    for node in [&a, &reader] {
        assert_eq!(node.get(&1).await.unwrap(), Some(1002));
        assert_eq!(node.try_get(&1), Lookup::Miss, "the second guard lives");
    }
    w.source.put(3);
    two.finish().await.unwrap();
    assert_eq!(reader.get(&1).await.unwrap(), Some(1003));
    // The hold of the first ends by itself.
    w.clock.advance(secs(10)).await;
    assert_eq!((reader.get(&1).await.unwrap(), w.in_l2(1).await), (Some(1003), Some(Some(1003))));
}
