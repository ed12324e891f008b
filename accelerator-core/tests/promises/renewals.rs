//! A lease is short and its living holder renews it: one load for the fleet, however long it takes, and a holder that is
//! gone costs a second.

use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, Then, settle};
use accelerator_core::{Begin, L2Read, L2Store, Limits, LoadTicket, Lookup, ReadOptions, StoreErrorKind, Tickets};
use tokio::task::JoinHandle;

use crate::common::{Level, World, ms, ok, secs};

/// Every way of loading one key. The first of several loads, each on its own, with an own future, in the background.
const WAYS: [&str; 6] = ["get", "mget", "mget apart", "get_or_load", "ticket", "tickets"];

fn world() -> World {
    let mut w = World::new();
    w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_leases());
    w
}

/// Lets time pass in steps that no renewal misses.
async fn pass(w: &World, time: Duration) {
    let step = ms(10);
    for _ in 0..time.as_millis() / step.as_millis() {
        w.clock.advance(step).await;
    }
}

fn node(w: &World, way: &str) -> Level {
    ok(if way == "mget" { w.batches() } else { w.both() })
}

/// Reads the key 1 in this way.
fn read(w: &World, cache: &Level, way: &'static str) -> JoinHandle<Option<u64>> {
    let (cache, source) = (cache.clone(), w.source.clone());
    let load = move |ticket: LoadTicket<u64>| async move {
        let value = source.load(1).await.expect("a source that is there");
        ticket.fill(value);
        value
    };
    let source = w.source.clone();
    tokio::spawn(async move {
        match way {
            "get" => cache.get(&1).await.expect("a value"),
            "mget" | "mget apart" => cache.mget(&[1]).await.into_values().expect("a value")[0],
            "get_or_load" => cache.get_or_load(&1, source.load(1)).await.expect("a value"),
            "ticket" => match cache.begin(&1).await {
                Begin::Hit(value) => value,
                Begin::Lead(ticket) => load(ticket).await,
                _ => None,
            },
            _ => {
                let mut batch = cache.begin_many(&[1]).await;
                match batch.led.pop() {
                    None => batch.hits[0].1,
                    Some((_, ticket)) => load(ticket).await,
                }
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn one_load_serves_all_nodes_for_as_long_as_a_load_may_take() {
    for way in WAYS {
        for load in [300, 800, 1900] {
            let w = world();
            w.source.slow(ms(load));
            let first = node(&w, way);
            let reads = std::iter::once(read(&w, &first, way)).collect::<Vec<_>>();
            settle().await;
            let nodes: Vec<_> = (0..7).map(|_| ok(w.twin().both())).collect();
            let others =
                nodes.iter().enumerate().map(|(n, node)| read(&w, node, ["get", "mget", "get_or_load"][n % 3]));
            let reads: Vec<_> = reads.into_iter().chain(others.collect::<Vec<_>>()).collect();
            pass(&w, ms(load + 100)).await;
            for read in reads {
                assert!(read.is_finished(), "{way}, {load} ms: somebody waits on");
                assert_eq!(read.await.unwrap(), Some(1001), "{way}, {load} ms");
            }
            assert_eq!(w.source.asked(), 1, "{way}, {load} ms: loads of all nodes");
            assert_eq!((first.stats().fills_lost, w.l2.inner().len()), (0, 1), "{way}, {load} ms");
            let renewed = w.l2.calls(Op::Renew);
            assert_eq!(renewed, (load / 340) as usize, "{way}, {load} ms: renewals");
            pass(&w, secs(2)).await;
            assert_eq!((w.l2.calls(Op::Renew), w.l2.calls(Op::Release)), (renewed, 0), "{way}, {load} ms: afterwards");
        }
    }
}

/// A caller's own body has no limit but patience: its value is stored all the same.
#[tokio::test(start_paused = true)]
async fn the_value_of_a_body_that_takes_longer_than_any_load_may_is_stored() {
    let w = world();
    w.source.slow(ms(3500));
    let (holder, other) = (ok(w.both()), ok(w.twin().both()));
    let body = read(&w, &holder, "ticket");
    settle().await;
    pass(&w, ms(3000)).await;
    let waits = read(&w, &other, "get_or_load");
    pass(&w, ms(600)).await;
    assert_eq!((body.await.unwrap(), waits.await.unwrap()), (Some(1001), Some(1001)));
    assert_eq!((w.source.asked(), holder.stats().fills_lost, w.l2.inner().len()), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_as_long_as_a_load_may_take_loads_and_fills_nothing() {
    let w = world();
    let Begin::Lead(ticket) = ok(w.both()).begin(&1).await else { panic!("a hit") };
    let waiter = ok(w.twin().both());
    let read = read(&w, &waiter, "get");
    settle().await;
    pass(&w, ms(1990)).await;
    assert_eq!(w.source.asked(), 0, "the lease stands");
    pass(&w, ms(20)).await;
    assert_eq!(read.await.unwrap(), Some(1001));
    assert_eq!((w.l2.calls(Op::Fill), waiter.try_get(&1)), (0, Lookup::Hit(1001)));
    drop(ticket);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_died_costs_a_second() {
    let w = world();
    w.l2.inner().get_or_lease("t.1", secs(1)).await.unwrap();
    let nodes: Vec<_> = (0..4).map(|_| ok(w.twin().both())).collect();
    let reads: Vec<_> = nodes.iter().map(|node| read(&w, node, "get")).collect();
    settle().await;
    // Two pauses between looks, of 75 ms at most: one node gets the lease after the first, the others see the value after the
    // second.
    pass(&w, ms(1170)).await;
    for read in reads {
        assert!(read.is_finished());
        assert_eq!(read.await.unwrap(), Some(1001));
    }
    assert_eq!((w.source.asked(), w.l2.inner().len()), (1, 1));
}

/// Whoever deletes the key ends the lease and its renewals.
#[tokio::test(start_paused = true)]
async fn a_lease_that_a_delete_has_ended_is_renewed_no_more_and_its_value_kept_nowhere() {
    for way in WAYS {
        let w = world();
        w.source.slow(ms(1800));
        let cache = node(&w, way);
        let read = read(&w, &cache, way);
        settle().await;
        pass(&w, ms(100)).await;
        w.l2.inner().del("t.1").await.unwrap();
        pass(&w, ms(500)).await;
        assert_eq!(w.l2.calls(Op::Renew), 1, "{way}");
        pass(&w, ms(1300)).await;
        assert_eq!(read.await.unwrap(), Some(1001), "{way}: its caller gets it");
        settle().await;
        assert_eq!((w.l2.calls(Op::Renew), cache.stats().fills_lost), (1, 1), "{way}");
        assert_eq!((w.in_l2(1).await, cache.try_get(&1)), (None, Lookup::Miss), "{way}: neither level keeps it");
    }
}

/// What L2 refuses as lost was overtaken by a write that this node can't have heard of.
#[tokio::test(start_paused = true)]
async fn a_fill_that_is_lost_reaches_its_callers_and_stays_in_no_level() {
    for way in ["get", "mget", "mget apart", "get_or_load", "ticket", "tickets", "refresh"] {
        let w = world();
        let cache = node(&w, way);
        if way == "refresh" {
            cache.get(&1).await.unwrap();
        }
        let door = w.source.door();
        let reading = match way {
            "refresh" => {
                let cache = cache.clone();
                let forced = ReadOptions::new().force_refresh(true);
                tokio::spawn(async move { cache.get_with(&1, forced).await.unwrap() })
            }
            way => read(&w, &cache, way),
        };
        door.reached().await;
        w.source.put(2);
        w.l2.inner().del("t.1").await.unwrap();
        door.open();
        assert_eq!(reading.await.unwrap(), Some(1001), "{way}: concurrent with the write");
        settle().await;
        assert_eq!((w.in_l2(1).await, cache.try_get(&1)), (None, Lookup::Miss), "{way}");
        assert_eq!(cache.stats().fills_lost, 1, "{way}");
        assert_eq!(cache.get(&1).await.unwrap(), Some(1002), "{way}");
    }
}

/// The purge of a lost fill is of the value that was filled, and of nothing newer.
#[tokio::test(start_paused = true)]
async fn a_lost_fill_of_a_ticket_leaves_a_newer_value_alone() {
    let w = world();
    let cache = ok(w.both());
    let Begin::Lead(ticket) = cache.begin(&1).await else { panic!("a hit") };
    let gate = w.l2.gate(Op::Fill);
    ticket.fill(Some(5));
    gate.reached().await;
    assert_eq!(cache.try_get(&1), Lookup::Hit(5));
    cache.set(&1, 6).await.unwrap();
    gate.open();
    settle().await;
    assert_eq!((cache.stats().fills_lost, cache.try_get(&1)), (1, Lookup::Hit(6)));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_or_does_not_answer_is_tried_again() {
    for fault in [Fault::Error(StoreErrorKind::Unavailable), Fault::Hang] {
        for way in WAYS {
            let w = world();
            w.source.slow(ms(1900));
            let cache = node(&w, way);
            w.l2.push_for(Op::Renew, fault.clone());
            let read = read(&w, &cache, way);
            settle().await;
            pass(&w, ms(1950)).await;
            assert_eq!(read.await.unwrap(), Some(1001));
            settle().await;
            assert_eq!((cache.stats().fills_lost, w.l2.inner().len()), (0, 1), "{way}, {fault:?}");
        }
    }
}

/// A store may answer a renewal with another token: the old one would lose the fill.
#[tokio::test(start_paused = true)]
async fn a_fill_waits_for_the_renewal_that_is_under_way() {
    for way in WAYS {
        let w = world();
        w.source.slow(ms(400));
        let cache = node(&w, way);
        let gate = w.l2.gate_after(Op::Renew);
        let read = read(&w, &cache, way);
        settle().await;
        pass(&w, ms(450)).await;
        gate.reached().await;
        assert_eq!(w.l2.calls(Op::Fill), 0, "{way}: its token is not known");
        gate.open();
        assert_eq!(read.await.unwrap(), Some(1001), "{way}");
        settle().await;
        assert_eq!((cache.stats().fills_lost, w.l2.inner().len()), (0, 1), "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_holder_goes_during_a_renewal_is_given_back() {
    let w = world();
    let cache = ok(w.both());
    let gate = w.l2.gate_after(Op::Renew);
    let Begin::Lead(ticket) = cache.begin(&1).await else { panic!("a hit") };
    pass(&w, ms(400)).await;
    gate.reached().await;
    drop(ticket);
    settle().await;
    gate.open();
    settle().await;
    assert!(!w.l2.inner().is_leased("t.1"));
    pass(&w, secs(1)).await;
    assert_eq!((w.l2.calls(Op::Renew), w.l2.calls(Op::Release)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_ends_without_a_value_after_renewals_gives_its_lease_back() {
    for how in ["error", "body dropped", "ticket dropped"] {
        let w = world();
        let cache = ok(w.both());
        w.source.away(true);
        w.source.slow(ms(700));
        let mut held = None;
        let reading = match how {
            "ticket dropped" => {
                held = Some(cache.begin(&1).await);
                None
            }
            _ => Some({
                let (cache, source) = (cache.clone(), w.source.clone());
                tokio::spawn(async move {
                    match how {
                        "error" => drop(cache.get(&1).await),
                        _ => drop(tokio::time::timeout(ms(700), cache.get_or_load(&1, source.load(1))).await),
                    }
                })
            }),
        };
        settle().await;
        pass(&w, ms(690)).await;
        assert!(w.l2.inner().is_leased("t.1"), "{how}");
        pass(&w, ms(20)).await;
        drop(held);
        settle().await;
        assert!(!w.l2.inner().is_leased("t.1"), "{how}");
        assert_eq!((w.l2.calls(Op::Renew), w.l2.calls(Op::Release)), (2, 1), "{how}");
        if let Some(reading) = reading {
            reading.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_held_and_forgotten_keeps_its_key_for_a_minute() {
    let w = world();
    let Begin::Lead(ticket) = ok(w.both()).begin(&1).await else { panic!("a hit") };
    for _ in 0..590 {
        w.clock.advance(ms(100)).await;
    }
    assert!(w.l2.inner().is_leased("t.1"));
    for _ in 0..25 {
        w.clock.advance(ms(100)).await;
    }
    assert!(!w.l2.inner().is_leased("t.1"));
    drop(ticket);
}

/// A store of before, or of somebody who has no comparison: leases for as long as a load may take.
#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_renew_gives_leases_for_as_long_as_a_load_may_take() {
    let mut w = World::new();
    let limits = Limits::default().leases(true);
    w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_limits(limits));
    w.source.slow(ms(1900));
    let cache = ok(w.both());
    let reading = read(&w, &cache, "get");
    settle().await;
    assert_eq!(w.l2.inner().remaining("t.1"), Some(ms(3250)));
    pass(&w, ms(1950)).await;
    assert_eq!(reading.await.unwrap(), Some(1001));
    assert_eq!((w.l2.calls(Op::Renew), w.l2.inner().len()), (0, 1));
}

/// Nobody waits for a batch that waits: its own keys are loaded and stored by then (I5).
#[tokio::test(start_paused = true)]
async fn a_batch_loads_its_own_keys_and_then_waits_for_those_of_others() {
    for batches in [true, false] {
        let w = world();
        let L2Read::Leased { token, .. } = w.l2.inner().get_or_lease("t.1", secs(9)).await.unwrap() else {
            panic!("not leased")
        };
        let build = |w: &World| ok(if batches { w.batches() } else { w.both() });
        let cache = build(&w);
        let reading = tokio::spawn({
            let cache = cache.clone();
            async move { cache.mget(&[1, 2, 3]).await.into_values().unwrap() }
        });
        settle().await;
        assert_eq!((w.source.asked(), w.l2.inner().keys()), (2, vec!["t.2".into(), "t.3".into()]));
        pass(&w, ms(600)).await;
        assert!(!reading.is_finished() && w.source.asked_for(1) == 0, "it waits");
        w.l2.inner().release("t.1", token).await.unwrap();
        pass(&w, ms(100)).await;
        assert_eq!(reading.await.unwrap(), [Some(1001), Some(2001), Some(3001)]);
        assert_eq!((w.source.asked(), w.l2.inner().len()), (3, 3), "the lease became its own");
        // Two batches that want the same: one load each key.
        w.source.slow(ms(800));
        let nodes: Vec<_> = (0..3).map(|_| build(&w.twin())).collect();
        let keys: Vec<u64> = (10..50).collect();
        let reads: Vec<_> = nodes
            .iter()
            .map(|node| {
                let (node, keys) = (node.clone(), keys.clone());
                tokio::spawn(async move { node.mget(&keys).await.into_values().unwrap().len() })
            })
            .collect();
        settle().await;
        pass(&w, ms(if batches { 900 } else { 1800 })).await;
        for read in reads {
            assert!(read.is_finished());
            assert_eq!(read.await.unwrap(), 40);
        }
        assert_eq!(w.source.asked(), 43, "batches: {batches}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_no_longer_than_lease_wait_and_stores_nothing_of_others() {
    let w = world();
    w.l2.inner().get_or_lease("t.1", secs(60)).await.unwrap();
    let cache = ok(w.batches().lease_wait(ms(700)));
    let reading = tokio::spawn({
        let cache = cache.clone();
        async move { cache.mget(&[1, 2]).await.into_values().unwrap() }
    });
    settle().await;
    pass(&w, ms(690)).await;
    assert!(!reading.is_finished());
    pass(&w, ms(20)).await;
    assert_eq!(reading.await.unwrap(), [Some(1001), Some(2001)]);
    assert_eq!(w.l2.inner().keys(), ["t.2"]);
    assert_eq!(w.source.calls(), [vec![2], vec![1]]);
}

/// The lease was granted, and its answer came too late.
#[tokio::test(start_paused = true)]
async fn a_look_that_was_given_up_leaves_no_lease_behind() {
    for how in ["too late", "dropped", "error"] {
        for way in WAYS {
            let w = world();
            let fault = match how {
                "error" => Fault::LostReply(Then::Error(StoreErrorKind::Unavailable)),
                _ => Fault::LostReply(Then::Hang),
            };
            w.l2.push_for(Op::Lease, fault);
            let cache = node(&w, way);
            let reading = read(&w, &cache, way);
            settle().await;
            match how {
                "dropped" if matches!(way, "get" | "mget" | "mget apart") => pass(&w, ms(110)).await,
                "dropped" => reading.abort(),
                _ => pass(&w, ms(110)).await,
            }
            settle().await;
            assert!(!w.l2.inner().is_leased("t.1"), "{how}, {way}");
            let asked = w.source.asked();
            let other = ok(w.twin().both());
            assert_eq!(other.get(&1).await.unwrap(), Some(1001));
            assert_eq!(other.stats().lease_waits, 0, "{how}, {way}: it waits for nobody");
            assert_eq!((w.source.asked(), w.in_l2(1).await), (asked + 1, Some(Some(1001))), "{how}, {way}");
        }
    }
}

/// Who knows that somebody loads doesn't load because one look fails; when L2 says nothing for a lease's time, it does.
#[tokio::test(start_paused = true)]
async fn a_pause_of_l2_ends_no_wait_and_its_end_does() {
    for way in ["get", "mget", "mget apart", "get_or_load"] {
        for (pause, loads) in [(400, 0), (1500, 1)] {
            let w = world();
            let L2Read::Leased { token, .. } = w.l2.inner().get_or_lease("t.1", secs(9)).await.unwrap() else {
                panic!("not leased")
            };
            let cache = node(&w, way);
            let reading = read(&w, &cache, way);
            settle().await;
            pass(&w, ms(100)).await;
            w.l2.always_for(Op::Lease, Some(Fault::Hang));
            pass(&w, ms(pause)).await;
            assert_eq!((w.source.asked(), w.l2.calls(Op::Fill)), (loads, 0), "{way}, {pause} ms");
            w.l2.heal();
            w.l2.inner().release("t.1", token).await.unwrap();
            pass(&w, ms(200)).await;
            assert_eq!((reading.await.unwrap(), w.source.asked()), (Some(1001), 1), "{way}, {pause} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lease_ttl_makes_leases_longer_and_renewals_rarer() {
    let w = world();
    w.source.slow(ms(1900));
    let cache = ok(w.both().lease_ttl(secs(6)));
    let reading = read(&w, &cache, "get");
    settle().await;
    assert_eq!(w.l2.inner().remaining("t.1"), Some(secs(6)));
    pass(&w, ms(1950)).await;
    assert_eq!(reading.await.unwrap(), Some(1001));
    assert_eq!(w.l2.calls(Op::Renew), 0, "it was over before a third");
    let refused = w.both().lease_ttl(ms(999)).build().unwrap_err().to_string();
    assert!(refused.contains("lease_ttl = 999ms") && refused.contains("1s (the shortest of this store)"), "{refused}");
}
