//! An L2 that carries the bus takes a write and its news in one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, MemoryBus, MemoryL1, MemoryL2, Op, settle};
use accelerator_core::{
    Bytes, CacheFuture, CacheResult, ErrorKind, InvalidationBus, L2Store, Lookup, Outcomes, StoreError, StoreErrorKind,
    StoreResult, async_trait,
};
use tokio::sync::Semaphore;

use super::{Doored, keys_of, lone, told};
use crate::common::{Level, World, ms, ok};

const WRITES: [&str; 4] = ["del", "mdel", "set", "mset"];

/// A store and a bus on one connection.
#[derive(Clone)]
struct OneLine {
    l2: Faulty<MemoryL2>,
    bus: MemoryBus,
    /// Writes with news.
    together: Arc<AtomicUsize>,
    /// Where there is one, each of them waits for a permit before it is answered.
    door: Option<Arc<Semaphore>>,
    takes_no_news: Arc<AtomicBool>,
}

impl OneLine {
    fn new(w: &World) -> Self {
        let (together, takes_no_news) = (Arc::default(), Arc::default());
        Self { l2: w.l2.clone(), bus: MemoryBus::new(), together, door: None, takes_no_news }
    }

    fn with_door(w: &World) -> Self {
        Self { door: Some(Arc::new(Semaphore::new(0))), ..Self::new(w) }
    }

    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        self.together.fetch_add(1, SeqCst);
        let published = match self.takes_no_news.load(SeqCst) {
            true => Err(StoreError::new(StoreErrorKind::Rejected, "no right to publish")),
            false => self.bus.publish(topic, message).await,
        };
        if let Some(door) = &self.door {
            door.acquire().await.expect("an open door").forget();
        }
        published
    }

    async fn node(&self, w: &World) -> Level {
        let cache = ok(w.l1().l2(self.clone()).bus(self.bus.clone()));
        settle().await;
        cache
    }

    fn together(&self) -> usize {
        self.together.load(SeqCst)
    }

    /// The numbers and keys of what was published beside hellos.
    fn said(&self) -> Vec<(u8, Vec<String>)> {
        let all = self.bus.published();
        all.iter().filter(|(_, m)| m[3] != 3).map(|(_, m)| (m[13], keys_of(m))).collect()
    }
}

#[async_trait]
impl L2Store for OneLine {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.l2.get(key).await
    }
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.l2.set(key, value, ttl).await
    }
    async fn del(&self, key: &str) -> StoreResult<()> {
        self.l2.del(key).await
    }
    fn publishes_for(&self, _: &dyn InvalidationBus) -> bool {
        true
    }
    async fn mset_then_publish(
        &self,
        items: Vec<(&str, Bytes, Duration)>,
        topic: &str,
        message: Bytes,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        self.mset_into(items, out).await;
        self.publish(topic, message).await
    }
    async fn mdel_then_publish(
        &self,
        keys: &[&str],
        topic: &str,
        message: Bytes,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        self.mdel_into(keys, out).await;
        self.publish(topic, message).await
    }
}

/// A write of the keys 1 (and 2).
fn write(cache: &Level, how: &str) -> CacheFuture<'static, CacheResult<()>> {
    match how {
        "del" => cache.del(&1),
        "mdel" => cache.mdel(&[1, 2]),
        "set" => cache.set(&1, 7),
        _ => cache.mset([(1, Some(7)), (2, None)]),
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_and_its_news_are_one_call() {
    for how in WRITES {
        let w = World::new();
        let line = OneLine::new(&w);
        let (cache, other) = (line.node(&w).await, lone(&w, &line.bus.node()));
        settle().await;
        other.set(&1, 5).await.expect("set");
        settle().await;
        write(&cache, how).await.expect("confirmed");
        settle().await;
        assert_eq!((line.together(), told(&line.bus).len()), (1, 2), "{how}");
        assert_eq!(other.try_get(&1), Lookup::Miss, "{how}");
        let stats = cache.stats();
        let keys = if how.starts_with('m') { 2 } else { 1 };
        assert_eq!((stats.published, stats.unpublished), (keys, 0), "{how}");
        write(&cache, how).await.expect("confirmed");
        assert_eq!(line.said().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 1, 2], "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_it_is_on_its_way_is_told_after_it() {
    for how in WRITES {
        let w = World::new();
        let line = OneLine::with_door(&w);
        let cache = line.node(&w).await;
        let first = write(&cache, how);
        settle().await;
        let mut others = [cache.del(&8), cache.set(&9, 9), cache.clear()];
        settle().await;
        for other in &mut others {
            assert!(futures_util::FutureExt::now_or_never(other).is_none(), "{how}");
        }
        assert_eq!(line.said().len(), 1, "{how}: no number overtakes another");
        line.door.as_ref().expect("a door").add_permits(1);
        first.await.expect("confirmed");
        for other in others {
            other.await.expect("confirmed");
        }
        assert_eq!(line.together(), 1, "{how}");
        let numbers: Vec<_> = line.said().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2], "{how}: a clear takes the place of both");
        assert_eq!(told(&line.bus)[1], 2, "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_something_else_is_on_its_way_writes_go_by_themselves() {
    for how in WRITES {
        let w = World::new();
        let line = OneLine::new(&w);
        let bus = Doored::new(&line.bus);
        let cache = ok(w.l1().l2(line.clone()).bus(bus.clone()));
        settle().await;
        let clear = cache.clear();
        settle().await;
        let mut write = write(&cache, how);
        settle().await;
        assert!(futures_util::FutureExt::now_or_never(&mut write).is_none(), "{how}");
        bus.door.add_permits(2);
        clear.await.expect("confirmed");
        write.await.expect("confirmed");
        assert_eq!((line.together(), told(&line.bus)), (0, vec![2, 1]), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn news_that_were_not_taken_are_an_error_and_are_told_again_with_another_number() {
    for how in WRITES {
        let w = World::new();
        let line = OneLine::new(&w);
        let cache = line.node(&w).await;
        line.takes_no_news.store(true, SeqCst);
        let error = write(&cache, how).await.expect_err("not published");
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{how}: {error}");
        assert!(error.is_queued() && error.to_string().contains("other nodes"), "{how}: {error}");
        assert_eq!(cache.stats().unconfirmed, 0, "{how}: L2 has confirmed");
        let keys = if how.starts_with('m') { 2 } else { 1 };
        assert_eq!((cache.stats().unpublished as u64, cache.stats().publishes_failed), (keys, keys), "{how}");
        tokio::time::sleep(ms(2_000)).await;
        settle().await;
        assert_eq!(cache.stats().unpublished, 0, "{how}");
        let said = line.said();
        assert_eq!((said.len(), said[0].0), (1, 2), "{how}: {said:?}");
        assert_eq!(said[0].1.len() as u64, keys, "{how}: {said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_not_answered_in_time_tells_again() {
    for how in WRITES {
        let w = World::new();
        let line = OneLine::with_door(&w);
        let cache = line.node(&w).await;
        let error = write(&cache, how).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{how}: {error}");
        line.door.as_ref().expect("a door").add_permits(100);
        tokio::time::sleep(ms(5_000)).await;
        settle().await;
        assert_eq!(cache.stats().unpublished, 0, "{how}");
        let numbers: Vec<_> = line.said().iter().map(|(number, _)| *number).collect();
        assert!(numbers.len() >= 2 && numbers.is_sorted(), "{how}: {numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{how}: {numbers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn l2_that_fails_fails_the_write_and_the_others_are_told_all_the_same() {
    for how in WRITES {
        let w = World::new();
        let line = OneLine::new(&w);
        let cache = line.node(&w).await;
        let op = if how.ends_with("del") { Op::Del } else { Op::Set };
        w.l2.always_for(op, Some(Fault::Error(StoreErrorKind::Unavailable)));
        let error = write(&cache, how).await.expect_err("L2 is down");
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{how}: {error}");
        assert_eq!((line.together(), line.said().len()), (1, 1), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_ends_neither() {
    for how in WRITES {
        let w = World::new();
        let line = OneLine::with_door(&w);
        let cache = line.node(&w).await;
        drop(write(&cache, how));
        settle().await;
        line.door.as_ref().expect("a door").add_permits(1);
        settle().await;
        assert_eq!((line.together(), line.said().len(), cache.stats().unpublished), (1, 1, 0), "{how}");
        line.door.as_ref().expect("a door").add_permits(1);
        cache.del(&8).await.expect("the next one goes as well");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_in_several_parts_is_told_after_the_last() {
    let w = World::new();
    let line = OneLine::new(&w);
    let cache = ok(w.bare().l1(MemoryL1::new()).l2(line.clone()).bus(line.bus.clone()).max_batch(2));
    settle().await;
    cache.mdel(&[1, 2, 3]).await.expect("confirmed");
    assert_eq!((line.together(), line.said().len()), (0, 1), "three keys, two at once");
    // A key whose turn another writer has.
    let gate = w.l2.gate(Op::Set);
    let first = cache.set(&1, 7);
    gate.reached().await;
    let both = cache.mdel(&[1, 4]);
    settle().await;
    gate.open();
    first.await.expect("confirmed");
    both.await.expect("confirmed");
    let last = line.said().pop().expect("a message");
    assert!(last.1.contains(&"4".to_owned()), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn more_keys_than_a_message_takes_are_told_after_the_write() {
    let w = World::new();
    let line = OneLine::new(&w);
    let bus = line.bus.clone().with_limits(accelerator_core::BusLimits::default().max_message_bytes(1024));
    let cache = ok(w.l1().l2(line.clone()).bus(bus));
    settle().await;
    let keys: Vec<u64> = (0..200).map(|n| 1_000_000_000_000 + n).collect();
    cache.mdel(&keys).await.expect("confirmed");
    let said = line.said();
    assert_eq!(line.together(), 0);
    assert!(said.len() > 1, "{}", said.len());
    assert_eq!(said.iter().map(|(_, keys)| keys.len()).sum::<usize>(), 200);
}
