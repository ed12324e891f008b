//! I5: batches. Each key has its own outcome, each missing key its own flight, and nobody waits while holding.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use accelerator_core::testkit::{Fault, MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{
    Begin, CacheKey, CacheResult, ErrorKind, LevelCache, Lookup, ReadOptions, StoreErrorKind, Tickets,
};

use crate::common::{Away, TTL, World, lock, ms, ok, secs};

#[tokio::test(start_paused = true)]
async fn answers_come_in_the_order_of_the_keys_whatever_their_origin() {
    let w = World::new();
    w.other_node().mset([(2, Some(22)), (5, None)]).await.unwrap();
    let cache = ok(w.batches());
    cache.set(&3, 33).await.unwrap();
    let keys = [4, 3, 2, 1, 3, 5, 4, 2];
    let answers = cache.mget(&keys).await;
    assert_eq!(answers.len(), keys.len());
    let expected = [Some(4001), Some(33), Some(22), Some(1001), Some(33), None, Some(4001), Some(22)];
    let pairs: Vec<_> = answers.iter().map(|(key, value)| (*key, value.clone().unwrap())).collect();
    assert_eq!(pairs, keys.into_iter().zip(expected).collect::<Vec<_>>());
    let map: HashMap<_, _> = answers.clone().into_map().unwrap();
    assert_eq!((map.len(), map[&2], map[&5]), (5, Some(22), None));
    assert_eq!(answers.into_values().unwrap(), expected);
    assert_eq!(w.source.calls(), [vec![4, 1]], "one call, for what neither level has, each key once");
    assert_eq!(w.l2.log().iter().filter(|c| c.op == Op::Get && c.keys.len() == 4).count(), 1, "one read of L2");
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_batch_is_an_empty_answer() {
    let w = World::new();
    let cache = ok(w.batches());
    assert!(cache.mget(&[]).await.is_empty());
    assert!(cache.mget(&[]).await.into_map().unwrap().is_empty());
    cache.mset([]).await.unwrap();
    cache.mdel(&[]).await.unwrap();
    let batch = cache.begin_many(&[]).await;
    assert!(batch.hits.is_empty() && batch.led.is_empty() && batch.followed.is_empty());
    assert_eq!((w.l2.log().len(), w.source.asked()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_batch_loader_leaves_out_is_an_error_of_that_key_and_not_absent() {
    let w = World::new();
    let load = async |keys: Vec<u64>| {
        let rest = keys.into_iter().filter(|k| k % 2 == 0);
        Ok::<Vec<(u64, Option<u64>)>, Away>(rest.map(|k| (k, Some(k))).chain([(999, Some(0))]).collect())
    };
    let cache = ok(w.no_loader().batch_loader(load));
    for _ in 0..2 {
        let answers = cache.mget(&[1, 2, 3]).await.into_results();
        assert_eq!(answers[1].as_ref().unwrap(), &Some(2));
        for i in [0, 2] {
            assert_eq!(answers[i].as_ref().unwrap_err().kind(), ErrorKind::NotLoaded);
        }
        assert_eq!(cache.get(&1).await.unwrap_err().kind(), ErrorKind::NotLoaded);
    }
    assert_eq!((cache.try_get(&1), w.in_l2(1).await), (Lookup::Miss, None), "it must not be cached as absent");
    assert_eq!((cache.try_get(&999), cache.try_get(&2)), (Lookup::Miss, Lookup::Hit(2)), "nor what nobody asked for");
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn max_batch_limits_every_call() {
    let w = World::new();
    let cache = ok(w.batches().max_batch(10));
    let keys: Vec<u64> = (0..35).collect();
    let values = cache.mget(&keys).await.into_values().unwrap();
    assert_eq!(values.len(), 35);
    cache.mset(keys.iter().map(|k| (*k, Some(*k)))).await.unwrap();
    cache.mdel(&keys).await.unwrap();
    let sizes: Vec<_> = w.source.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 10, 5]);
    let batches = |op: Op| w.l2.log().into_iter().filter(|c| c.op == op).map(|c| c.keys.len()).collect::<Vec<_>>();
    assert_eq!(batches(Op::Get), [10, 10, 10, 5]);
    assert_eq!(batches(Op::Set), [10, 10, 10, 5, 10, 10, 10, 5], "fills, then writes");
    assert_eq!(batches(Op::Del), [10, 10, 10, 5]);
    assert!(w.l2.inner().is_empty());
    let report = cache.warmup(0..25).await;
    assert_eq!((report.ready, report.failed), (25, 0));
    assert_eq!(w.l1.len(), 25);
}

#[tokio::test(start_paused = true)]
async fn two_batches_that_overlap_load_each_key_once_and_do_not_wait_for_each_other_crosswise() {
    for single in [false, true] {
        let w = World::new();
        let cache = if single { ok(w.both()) } else { ok(w.batches()) };
        w.source.slow(ms(20));
        let ask = |keys: Vec<u64>| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.mget(&keys).await.into_values() })
        };
        let orders = [vec![1, 2, 3, 4], vec![4, 3, 2, 1], vec![3, 5, 1], vec![5, 6], vec![6, 1, 6, 1]];
        let before = tokio::time::Instant::now();
        let all: Vec<_> = orders.iter().map(|keys| ask(keys.clone())).collect();
        for (one, keys) in all.into_iter().zip(&orders) {
            let expected: Vec<_> = keys.iter().map(|k| Some(1000 * k + 1)).collect();
            assert_eq!(one.await.unwrap().unwrap(), expected);
        }
        assert!(before.elapsed() < ms(100), "they waited for one another: {:?}", before.elapsed());
        assert_eq!((w.source.asked(), cache.stats().flights), (6, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_leads_is_loaded_before_it_waits_for_others() {
    let w = World::new();
    let cache = ok(w.batches());
    // Somebody holds key 1 for as long as it likes.
    let Begin::Lead(ticket) = cache.begin(&1).await else { unreachable!("nothing is cached") };
    let batch = tokio::spawn({
        let cache = cache.clone();
        async move { cache.mget(&[1, 2, 3]).await.into_values() }
    });
    settle().await;
    assert_eq!((cache.try_get(&2), cache.try_get(&3)), (Lookup::Hit(2001), Lookup::Hit(3001)));
    assert!(!batch.is_finished());
    ticket.fill(Some(7));
    assert_eq!(batch.await.unwrap().unwrap(), [Some(7), Some(2001), Some(3001)]);
    assert_eq!(w.source.asked_for(1), 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_batch_loader_is_the_error_of_each_of_its_keys() {
    let w = World::new();
    let cache = ok(w.batches());
    cache.set(&2, 5).await.unwrap();
    w.source.away(true);
    let answers = cache.mget(&[1, 2, 3]).await.into_results();
    let failed =
        |answer: &CacheResult<Option<u64>>| answer.as_ref().is_err_and(|e| e.downcast_ref::<Away>() == Some(&Away(1)));
    assert!(failed(&answers[0]) && failed(&answers[2]), "{answers:?}");
    assert_eq!(answers[1].as_ref().unwrap(), &Some(5), "a hit is a hit");
    assert_eq!((cache.stats().loads_error, cache.stats().flights), (2, 0));
    w.source.away(false);
    assert_eq!(cache.mget(&[1, 2, 3]).await.into_values().unwrap(), [Some(1001), Some(5), Some(3001)]);
}

#[tokio::test(start_paused = true)]
async fn without_a_batch_loader_keys_are_loaded_one_by_one_32_at_once() {
    let w = World::new();
    let now = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let seen = now.clone();
    let load = move |key: u64| {
        let now = now.clone();
        async move {
            now.1.fetch_max(now.0.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(ms(20)).await;
            now.0.fetch_sub(1, SeqCst);
            if key == 7 { Err(Away(7)) } else { Ok(Some(key)) }
        }
    };
    let cache = ok(w.no_loader().loader(load));
    let keys: Vec<u64> = (0..100).collect();
    let answers = cache.mget(&keys).await.into_results();
    assert_eq!(seen.1.load(SeqCst), 32);
    for (key, answer) in keys.iter().zip(answers) {
        match key {
            7 => assert_eq!(answer.unwrap_err().downcast_ref::<Away>(), Some(&Away(7))),
            key => assert_eq!(answer.unwrap(), Some(*key)),
        }
    }
    assert_eq!((cache.stats().loads_ok, cache.stats().loads_error, cache.stats().flights), (99, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_single_get_uses_the_batch_loader_where_there_is_no_other() {
    let w = World::new();
    let cache = ok(w.batches());
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    assert_eq!(w.source.calls(), [vec![1]]);
    let single = w.source.clone();
    let both = ok(w
        .twin()
        .bare()
        .l1(MemoryL1::new())
        .batch_loader(async |_: Vec<u64>| Err::<Vec<(u64, Option<u64>)>, _>(Away(0)))
        .loader(move |key| single.clone().load(key)));
    assert_eq!(both.get(&2).await.unwrap(), Some(2001), "the single loader comes first for single reads");
}

#[tokio::test(start_paused = true)]
async fn of_duplicates_in_an_mset_the_last_one_counts() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = if with_l2 { ok(w.both()) } else { ok(w.l1()) };
        let items = [(1, Some(10)), (2, Some(20)), (1, None), (1, Some(11)), (2, Some(21)), (3, Some(30)), (3, None)];
        cache.mset(items).await.unwrap();
        let found = cache.mget_with(&[1, 2, 3], ReadOptions::new().disable_load(true)).await.into_values().unwrap();
        assert_eq!(found, [Some(11), Some(21), None]);
        assert_eq!(cache.lookup(&3).await, Lookup::Absent);
        if with_l2 {
            assert_eq!(w.in_l2(1).await, Some(Some(11)));
            assert_eq!((w.in_l2(2).await, w.in_l2(3).await), (Some(Some(21)), Some(None)));
            assert_eq!(w.l2.calls(Op::Set), 1);
        }
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn mdel_deletes_all_of_its_keys_in_both_levels() {
    let w = World::new();
    let cache = ok(w.no_loader());
    cache.mset((0..5).map(|k| (k, Some(k)))).await.unwrap();
    cache.mdel(&[1, 3, 1, 77]).await.unwrap();
    let left = cache.mget(&[0, 1, 2, 3, 4]).await.into_values().unwrap();
    assert_eq!(left, [Some(0), None, Some(2), None, Some(4)]);
    assert_eq!((w.l2.inner().keys().len(), w.l2.calls(Op::Del)), (3, 1));
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn begin_many_splits_into_hits_led_and_followed() {
    let w = World::new();
    w.other_node().set(&2, 22).await.unwrap();
    let cache = ok(w.no_loader());
    cache.set(&1, 11).await.unwrap();
    let Begin::Lead(foreign) = cache.begin(&4).await else { unreachable!("nothing is cached") };
    let keys = [1, 2, 3, 4, 3, 4];
    let batch = cache.begin_many(&keys).await;
    let mut hits = batch.hits.clone();
    hits.sort_unstable();
    assert_eq!(hits, [(0, Some(11)), (1, Some(22))]);
    let led: Vec<_> = batch.led.iter().map(|(i, _)| *i).collect();
    let followed: Vec<_> = batch.followed.iter().map(|(i, _)| *i).collect();
    assert_eq!((led, followed), (vec![2], vec![3]), "each distinct key once, at its first place");
    for (_, ticket) in batch.led {
        ticket.fill(Some(33));
    }
    foreign.fill(Some(44));
    for (_, wait) in batch.followed {
        assert!(matches!(wait.await, Begin::Hit(Some(44))));
    }
    assert_eq!(cache.try_get(&3), Lookup::Hit(33));
    settle().await;
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test(start_paused = true)]
async fn an_l2_read_that_fails_as_a_whole_costs_a_batch_nothing_but_loads() {
    let w = World::new();
    w.other_node().mset([(1, Some(7)), (2, Some(8))]).await.unwrap();
    let cache = ok(w.batches());
    w.l2.push_for(Op::Get, Fault::Error(StoreErrorKind::Unavailable));
    assert_eq!(cache.mget(&[1, 2, 3]).await.into_values().unwrap(), [Some(1001), Some(2001), Some(3001)]);
    assert_eq!(w.source.calls(), [vec![1, 2, 3]]);
    w.clock.advance(secs(1)).await;
}

/// What the first clone of a key lets another thread do meanwhile.
#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Option<Deed>>>);

type Deed = Box<dyn FnOnce() + Send>;

struct Hooked(u64, Option<Hook>);

impl Clone for Hooked {
    fn clone(&self) -> Self {
        let does = self.1.as_ref().and_then(|hook| lock(&hook.0).take());
        if let Some(does) = does {
            let (done, is_done) = mpsc::channel();
            thread::spawn(move || {
                does();
                let _ = done.send(());
            });
            // Where the key is cloned under a lock that the other needs, nothing happens meanwhile.
            let _ = is_done.recv_timeout(ms(100));
        }
        Self(self.0, None)
    }
}

impl PartialEq for Hooked {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Hooked {}

impl Hash for Hooked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl CacheKey for Hooked {
    fn encode(&self, out: &mut String) {
        self.0.encode(out);
    }

    fn decode(text: &str) -> Option<Self> {
        u64::decode(text).map(|id| Self(id, None))
    }
}

#[tokio::test]
async fn a_key_that_is_deleted_between_its_occurrences_in_a_batch_is_answered_at_both() {
    for with_l2 in [false, true] {
        // Keys in the same shard of the slot table are tried again: its hash differs from cache to cache.
        let led_twice = async || {
            let asked = Arc::new(Mutex::new(Vec::new()));
            let log = asked.clone();
            let load = move |keys: Vec<Hooked>| {
                lock(&log).extend(keys.iter().map(|key| key.0));
                let found: HashMap<_, _> = keys.into_iter().map(|key| (key.0, Some(100 + key.0))).collect();
                let found = found.into_iter().map(|(id, value)| (Hooked(id, None), value));
                std::future::ready(Ok::<_, Away>(found.collect::<Vec<_>>()))
            };
            let builder = LevelCache::<Hooked, u64>::builder().area("t").ttl(TTL).l1(MemoryL1::new());
            let builder = builder.batch_loader(load);
            let cache = if with_l2 { builder.l2(MemoryL2::new().with_leases()) } else { builder }.build().unwrap();
            let (hook, deletes) = (Hook::default(), cache.clone());
            *lock(&hook.0) = Some(Box::new(move || drop(deletes.del(&Hooked(1, None)))));
            let keys = [Hooked(1, None), Hooked(9, Some(hook)), Hooked(1, None)];
            let values = cache.mget(&keys).await.into_values();
            assert_eq!(values.unwrap(), [Some(101), Some(109), Some(101)], "with L2: {with_l2}");
            settle().await;
            assert_eq!(cache.stats().flights, 0);
            let mut asked = lock(&asked).clone();
            asked.sort_unstable();
            asked == [1, 1, 9]
        };
        let mut tries = 0..20;
        while !led_twice().await {
            assert!(tries.next().is_some(), "the key was never led twice");
        }
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_does_not_wake_the_task_that_polls_it() {
    for with_l2 in [false, true] {
        let w = World::new();
        let cache = ok(if with_l2 { w.batches() } else { w.many() });
        let door = w.source.door();
        let (wakes, keys) = (Arc::new(Wakes::default()), [1, 2]);
        let waker = Waker::from(wakes.clone());
        let mut batch = Box::pin(cache.mget(&keys));
        let mut poll = || {
            let before = wakes.0.load(SeqCst);
            let polled = batch.as_mut().poll(&mut Context::from_waker(&waker));
            (polled, wakes.0.load(SeqCst) - before)
        };
        assert!(matches!(poll(), (Poll::Pending, 0)));
        door.open();
        // Reading and filling L2 suspend too.
        let mut polls = 0..10;
        let answers = loop {
            assert!(polls.next().is_some(), "it never ends");
            settle().await;
            let (polled, woken) = poll();
            assert_eq!(woken, 0, "with L2: {with_l2}");
            if let Poll::Ready(answers) = polled {
                break answers;
            }
        };
        assert_eq!(answers.into_values().unwrap(), [Some(1001), Some(2001)]);
    }
}
