//! Tickets of keys that other processes load: who doesn't ask uses them as any other, who asks waits for all of them
//! together.

use std::collections::HashMap;
use std::time::Duration;

use accelerator_core::memoize::repeat::Often;
use accelerator_core::memoize::{self, Read, sharing};
use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, settle};
use accelerator_core::{
    Batch, Begin, CacheError, ErrorKind, L2Read, L2Store, LeaseToken, LoadTicket, Lookup, StoreErrorKind, Tickets,
};

use crate::common::{Level, World, ms, ok, secs};

fn world() -> World {
    let mut w = World::new();
    w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_leases());
    w
}

async fn pass(w: &World, time: Duration) {
    for _ in 0..time.as_millis() / 10 {
        w.clock.advance(ms(10)).await;
    }
    settle().await;
}

/// Another node loads this.
async fn lease(w: &World, key: u64) -> LeaseToken {
    match w.l2.inner().get_or_lease(&format!("t.{key}"), secs(9)).await {
        Ok(L2Read::Leased { token, .. }) => token,
        other => unreachable!("no lease but {other:?}"),
    }
}

async fn release(w: &World, key: u64, token: LeaseToken) {
    w.l2.inner().release(&format!("t.{key}"), token).await.expect("it stands");
}

type Led = Vec<(usize, LoadTicket<u64>)>;

/// Those that are the caller's, and those of other nodes.
async fn begin(cache: &Level, keys: &[u64]) -> (Led, Led) {
    let Batch { led, hits, followed, .. } = cache.begin_many(keys).await;
    assert!(hits.is_empty() && followed.is_empty());
    led.into_iter().partition(|(_, ticket)| !ticket.is_busy())
}

fn places(tickets: &Led) -> Vec<usize> {
    tickets.iter().map(|(i, _)| *i).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_says_which_of_its_keys_others_load_in_the_order_of_the_call() {
    let w = world();
    lease(&w, 1).await;
    lease(&w, 3).await;
    let cache = ok(w.no_loader());
    let batch = cache.begin_many(&[3, 2, 1, 3, 2, 4]).await;
    let led: Vec<_> = batch.led.iter().map(|(i, ticket)| (*i, ticket.is_busy())).collect();
    assert_eq!(led, [(0, true), (1, false), (2, true), (5, false)]);
    assert!(batch.followed.is_empty());
    drop(batch);
    assert!(!LoadTicket::<u64>::detached().is_busy());
    let Begin::Lead(single) = cache.begin(&7).await else { panic!("a hit") };
    assert!(!single.is_busy());
}

/// As before there were such tickets.
#[tokio::test(start_paused = true)]
async fn who_does_not_wait_fills_this_node_alone() {
    let w = world();
    let token = lease(&w, 1).await;
    let cache = ok(w.no_loader());
    let (_, mut busy) = begin(&cache, &[1]).await;
    let follower = tokio::spawn({
        let cache = cache.clone();
        async move { cache.begin(&1).await }
    });
    settle().await;
    busy.pop().unwrap().1.fill(Some(7));
    assert!(matches!(follower.await.unwrap(), Begin::Hit(Some(7))));
    assert_eq!((cache.try_get(&1), w.l2.inner().len(), cache.stats().l2_misses), (Lookup::Hit(7), 0, 1));
    release(&w, 1, token).await;
    // Failed and dropped.
    let token = lease(&w, 2).await;
    let (_, mut busy) = begin(&cache, &[2]).await;
    busy.pop().unwrap().1.fail(CacheError::new(ErrorKind::Loader, "away"));
    let (_, busy) = begin(&cache, &[2]).await;
    drop(busy);
    assert_eq!(cache.stats().flights, 0);
    release(&w, 2, token).await;
    assert_eq!(w.l2.calls(Op::Release), 0, "it had no lease");
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_for_each_key_when_something_is_known_of_it() {
    let w = world();
    let tokens = [lease(&w, 1).await, lease(&w, 2).await, lease(&w, 3).await];
    let cache = ok(w.no_loader());
    let (ours, mut busy) = begin(&cache, &[1, 2, 3, 4]).await;
    assert_eq!((places(&ours), places(&busy)), (vec![3], vec![0, 1, 2]));
    ours.into_iter().for_each(|(_, ticket)| ticket.fill(Some(4)));
    // A value.
    w.other_node().set(&2, 22).await.unwrap();
    let known = LoadTicket::wait(&mut busy).await;
    assert!(matches!(known[..], [(1, Begin::Hit(Some(22)))]), "{known:?}");
    assert_eq!((cache.try_get(&2), places(&busy)), (Lookup::Hit(22), vec![0, 2]));
    // A lease.
    release(&w, 3, tokens[2]).await;
    let mut known = LoadTicket::wait(&mut busy).await;
    let Some((2, Begin::Lead(ticket))) = known.pop() else { panic!("{known:?}") };
    assert!(w.l2.inner().is_leased("t.3") && !ticket.is_busy());
    ticket.fill(Some(33));
    settle().await;
    assert_eq!(w.in_l2(3).await, Some(Some(33)));
    // The end of the time, which is that of all waits together.
    assert_eq!(places(&busy), [0]);
    pass(&w, secs(2)).await;
    let looks = w.l2.calls(Op::Lease);
    let mut known = LoadTicket::wait(&mut busy).await;
    assert_eq!(w.l2.calls(Op::Lease), looks + 1, "one more look, as it is long since the last");
    let Some((0, Begin::Lead(ticket))) = known.pop() else { panic!("{known:?}") };
    ticket.fill(Some(11));
    settle().await;
    assert_eq!((cache.try_get(&1), w.in_l2(1).await, busy.len()), (Lookup::Hit(11), None, 0));
    let stats = cache.stats();
    assert_eq!((stats.l2_hits, stats.l2_misses, stats.flights), (1, 3, 0), "each key is counted once");
    assert!(LoadTicket::wait(&mut busy).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn tickets_that_nobody_else_loads_are_not_waited_for() {
    let w = world();
    let cache = ok(w.no_loader());
    let (mut ours, _) = begin(&cache, &[1, 2]).await;
    let known = LoadTicket::wait(&mut ours).await;
    assert!(matches!(known[..], [(0, Begin::Lead(_)), (1, Begin::Lead(_))]), "{known:?}");
}

/// The tickets of two batches, mixed up: each gets what is its own.
#[tokio::test(start_paused = true)]
async fn a_wait_answers_the_tickets_of_its_batch() {
    let w = world();
    let mut tokens = Vec::new();
    for key in 1..=4 {
        tokens.push(lease(&w, key).await);
    }
    let cache = ok(w.no_loader());
    let (_, mut mixed) = begin(&cache, &[1, 2]).await;
    let (_, second) = begin(&cache, &[3, 4]).await;
    for (i, ticket) in second {
        mixed.insert(1, (i + 2, ticket));
    }
    assert_eq!(places(&mixed), [0, 3, 2, 1]);
    release(&w, 2, tokens[1]).await;
    let known = LoadTicket::wait(&mut mixed).await;
    assert!(matches!(known[..], [(1, Begin::Lead(_))]), "{known:?}");
    drop(known);
    // Of the first batch nothing is left.
    drop(mixed.remove(0));
    release(&w, 4, tokens[3]).await;
    let known = LoadTicket::wait(&mut mixed).await;
    assert!(matches!(known[..], [(3, Begin::Lead(_))]), "{known:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_comes_for_a_ticket_that_is_gone_is_given_back() {
    let w = world();
    let token = lease(&w, 1).await;
    let cache = ok(w.no_loader());
    let (_, mut busy) = begin(&cache, &[1]).await;
    let gate = w.l2.gate_after(Op::Lease);
    release(&w, 1, token).await;
    {
        let mut wait = std::pin::pin!(LoadTicket::wait(&mut busy));
        tokio::select! {
            biased;
            _ = &mut wait => panic!("the look has no answer"),
            () = async { gate.reached().await } => {}
        }
    }
    // The wait is over in the middle of its look, which was granted the lease.
    drop(busy);
    gate.open();
    settle().await;
    assert!(!w.l2.inner().is_leased("t.1"));
    assert_eq!(cache.stats().flights, 0);
}

/// Who knows that somebody loads goes on waiting when a look fails.
#[tokio::test(start_paused = true)]
async fn a_pause_of_l2_ends_no_wait_and_a_long_one_does() {
    for (pause, waits) in [(400, true), (1500, false)] {
        let w = world();
        let token = lease(&w, 1).await;
        let cache = ok(w.no_loader());
        let (_, mut busy) = begin(&cache, &[1]).await;
        let wait = tokio::spawn(async move { LoadTicket::wait(&mut busy).await });
        pass(&w, ms(100)).await;
        w.l2.always_for(Op::Lease, Some(Fault::Error(StoreErrorKind::Unavailable)));
        pass(&w, ms(pause)).await;
        assert_eq!(!wait.is_finished(), waits, "{pause} ms");
        w.l2.heal();
        release(&w, 1, token).await;
        pass(&w, ms(100)).await;
        assert!(matches!(wait.await.unwrap()[..], [(0, Begin::Lead(_))]));
    }
}

/// Those who follow a busy ticket see that its holder waits, and wait on.
#[tokio::test(start_paused = true)]
async fn a_wait_gives_signs_of_life() {
    let w = world();
    let token = lease(&w, 1).await;
    let cache = ok(w.no_loader().loader_timeout(ms(100)).lease_wait(secs(5)));
    let (_, mut busy) = begin(&cache, &[1]).await;
    let waits = tokio::spawn(async move {
        let Some((_, Begin::Lead(ticket))) = LoadTicket::wait(&mut busy).await.pop() else { panic!("nobody loads it") };
        ticket.fill(Some(7));
    });
    let follower = tokio::spawn({
        let cache = cache.clone();
        async move { cache.begin(&1).await }
    });
    pass(&w, secs(1)).await;
    assert!(!follower.is_finished(), "it leads beside one who is alive");
    release(&w, 1, token).await;
    pass(&w, ms(100)).await;
    waits.await.unwrap();
    assert!(matches!(follower.await.unwrap(), Begin::Hit(Some(7))));
}

/// The same while a body runs for other keys, and the wait is to come.
#[tokio::test(start_paused = true)]
async fn a_body_gives_signs_of_life_for_the_keys_that_are_waited_for_after_it() {
    let w = world();
    let token = lease(&w, 1).await;
    let cache = ok(w.no_loader().loader_timeout(ms(100)).lease_wait(secs(5)));
    let batch = tokio::spawn({
        let (cache, source) = (cache.clone(), w.source.clone());
        async move {
            let (read, body) = (Read::new(), move |keys| source.clone().load_many(keys));
            let begun = memoize::begin_batch(&cache, &[1, 2], &read).await;
            let body = async |keys| body(keys).await.map(|found| found.into_iter().collect::<HashMap<_, _>>());
            memoize::cacheable_batch_in_rounds(begun, read, sharing::Alone, Often, body).await
        }
    });
    w.source.slow(secs(1));
    settle().await;
    let follower = tokio::spawn({
        let cache = cache.clone();
        async move { cache.begin(&1).await }
    });
    pass(&w, ms(900)).await;
    assert!(!follower.is_finished(), "it leads beside one who is alive");
    release(&w, 1, token).await;
    pass(&w, ms(1300)).await;
    assert!(matches!(follower.await.unwrap(), Begin::Hit(Some(1001))));
    assert_eq!(batch.await.unwrap(), Ok(HashMap::from([(1, Some(1001)), (2, Some(2001))])));
    assert_eq!(w.source.calls(), [[2], [1]]);
}

/// What a wait has found out about one chunk is answered before the next chunk is asked for: a wait that is dropped
/// there would lose it.
#[tokio::test(start_paused = true)]
async fn a_wait_answers_what_it_knows_before_it_asks_for_more() {
    let w = world();
    let first = lease(&w, 1).await;
    let _second = lease(&w, 2).await;
    let cache = ok(w.no_loader().max_batch(1));
    let (_, mut busy) = begin(&cache, &[1, 2]).await;
    release(&w, 1, first).await;
    // L2 says nothing more after the next answer.
    w.l2.push_for(Op::Lease, Fault::None);
    w.l2.always_for(Op::Lease, Some(Fault::Hang));
    let waited = tokio::spawn(async move {
        let known = LoadTicket::wait(&mut busy).await;
        (known, busy)
    });
    pass(&w, ms(200)).await;
    let (known, busy) = waited.await.expect("a task");
    assert!(matches!(&known[..], [(0, Begin::Lead(_))]), "{known:?}");
    assert_eq!(places(&busy), [1]);
}
