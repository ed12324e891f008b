//! `dyn Cache` has the verbs of the handle, and they mean the same; a cache that has the required methods alone has them all.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use accelerator_core::testkit::{Faulty, MemoryL2, settle};
use accelerator_core::{
    Begin, Cache, CacheError, CacheFuture, CacheResult, ErrorKind, L1Stats, LoadTicket, Loaded, Lookup, ReadOptions,
    ShutdownReport, Stats, Tickets, WarmupReport, WriteGuard, WriteOptions,
};

use crate::common::{Away, Level, TTL, World, lock, ok, secs};

type Face = Arc<dyn Cache<u64, u64>>;

/// Two worlds alike: a cache over L1 and L2 as it is, and one through `dyn`.
fn two() -> [(World, Level); 2] {
    [World::new(), World::new()].map(|mut w| {
        w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_leases());
        let cache = ok(w.batches().stale_on_error(secs(600)));
        (w, cache)
    })
}

#[tokio::test(start_paused = true)]
async fn reads_through_dyn_are_those_of_the_handle() {
    let [(of_plain, plain), (of_face, handle)] = two();
    let face: Face = Arc::new(handle.clone());
    for w in [&of_plain, &of_face] {
        // In L2 alone: a value, and a known absence.
        w.other_node().mset([(7, Some(70)), (8, None)]).await.unwrap();
    }
    let keys = [1, 7, 8, 1, 9];
    let (no_load, forced) = (ReadOptions::new().disable_load(true), ReadOptions::new().force_refresh(true));
    for key in keys {
        assert_eq!(face.try_get(&key), plain.try_get(&key), "{key}");
        assert_eq!(face.get_with(&key, no_load).await.unwrap(), plain.get_with(&key, no_load).await.unwrap(), "{key}");
        assert_eq!(face.lookup(&key).await, plain.lookup(&key).await, "{key}");
    }
    let (got, wanted) = (face.mget_with(&keys, no_load).await, plain.mget_with(&keys, no_load).await);
    assert_eq!(got.into_values().unwrap(), wanted.into_values().unwrap());
    assert_eq!((of_face.source.asked(), of_plain.source.asked()), (0, 0));
    for (got, wanted) in
        [(face.mget(&keys).await, plain.mget(&keys).await), (face.mget(&[]).await, plain.mget(&[]).await)]
    {
        assert_eq!(got.into_values().unwrap(), wanted.into_values().unwrap());
    }
    assert_eq!(face.get_with(&7, forced).await.unwrap(), plain.get_with(&7, forced).await.unwrap());
    assert_eq!(face.get(&3).await.unwrap(), plain.get(&3).await.unwrap());
    assert_eq!(face.warmup(vec![4, 5]).await, plain.warmup([4, 5]).await);
    assert_eq!(of_face.source.calls(), of_plain.source.calls());
    assert_eq!(Cache::stats(&face), plain.stats());
    assert_eq!(face.l1_stats(), plain.l1_stats());
    assert_eq!(face.shutdown(TTL).await, plain.shutdown(TTL).await);
    assert_eq!(face.get(&99).await.unwrap_err().kind(), ErrorKind::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn writes_through_dyn_are_those_of_the_handle() {
    let [(w, handle), _] = two();
    let face: Face = Arc::new(handle.clone());
    let short = WriteOptions::new().ttl(secs(1));
    face.set(&1, Some(5)).await.unwrap();
    face.set_with(&2, Some(6), short).await.unwrap();
    face.mset(vec![(3, Some(7)), (4, None)]).await.unwrap();
    face.mset_with(vec![(5, Some(8))], short).await.unwrap();
    assert_eq!([1, 2, 3, 5].map(|key| handle.try_get(&key)), [5, 6, 7, 8].map(Lookup::Hit));
    assert_eq!((handle.try_get(&4), w.in_l2(3).await), (Lookup::Absent, Some(Some(7))));
    w.clock.advance(secs(1)).await;
    assert_eq!([1, 2, 3, 5].map(|key| matches!(face.try_get(&key), Lookup::Hit(_))), [true, false, true, false]);
    face.del(&1).await.unwrap();
    face.mdel(&[3, 4]).await.unwrap();
    assert_eq!([1, 3, 4].map(|key| face.try_get(&key)), [Lookup::Miss, Lookup::Miss, Lookup::Miss]);
    face.set(&1, Some(5)).await.unwrap();
    face.clear().await.unwrap();
    assert_eq!(face.lookup(&1).await, Lookup::Miss);
    // A guard: until its end nobody caches the key.
    let guard: WriteGuard = face.write_guard(&1).await.unwrap();
    assert_eq!((face.get(&1).await.unwrap(), face.try_get(&1)), (Some(1001), Lookup::Miss));
    w.source.put(2);
    guard.finish().await.unwrap();
    settle().await;
    assert_eq!((face.get(&1).await.unwrap(), face.try_get(&1)), (Some(1002), Lookup::Hit(1002)));
}

#[tokio::test(start_paused = true)]
async fn a_load_of_ones_own_through_dyn_is_shared_and_limited_as_that_of_the_handle() {
    let w = World::new();
    let handle = ok(w.both());
    let face: Face = Arc::new(handle.clone());
    let door = w.source.door();
    let load = |face: &Face| {
        let (face, source) = (face.clone(), w.source.clone());
        tokio::spawn(async move { face.get_or_load(&1, source.load(1)).await })
    };
    let loads = [load(&face), load(&face)];
    door.reached().await;
    let get = tokio::spawn(async move { handle.get(&1).await });
    settle().await;
    door.open();
    for one in loads {
        assert_eq!(one.await.unwrap().unwrap(), Some(1001));
    }
    assert_eq!((get.await.unwrap().unwrap(), w.source.asked()), (Some(1001), 1));
    // A hit leaves the body alone.
    assert_eq!(face.get_or_load(&1, pending::<Result<Option<u64>, Away>>()).await.unwrap(), Some(1001));
    // An error keeps its type; a body has `loader_timeout`.
    let error = face.get_or_load(&2, async { Err::<Option<u64>, _>(Away(2)) }).await.unwrap_err();
    assert_eq!((error.kind(), error.downcast_ref()), (ErrorKind::Loader, Some(&Away(2))));
    let late = tokio::spawn({
        let face = face.clone();
        async move { face.get_or_load(&3, pending::<Result<Loaded<u64>, Away>>()).await }
    });
    settle().await;
    w.clock.advance(secs(3)).await;
    assert_eq!(late.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
}

/// A map, with the required methods alone.
#[derive(Default)]
struct Fake(Mutex<HashMap<u64, Option<u64>>>);

impl Tickets<u64, u64> for Fake {
    fn begin<'a>(&'a self, key: &'a u64) -> CacheFuture<'a, Begin<u64>> {
        CacheFuture::ready(match lock(&self.0).get(key) {
            // It has no answer for this one.
            _ if *key == 13 => Begin::Unavailable(CacheError::new(ErrorKind::Shutdown, "13")),
            _ if *key == 14 => Begin::Failed(CacheError::loader(Away(14)).into()),
            Some(value) => Begin::Hit(*value),
            None => Begin::Lead(LoadTicket::detached()),
        })
    }
}

impl Cache<u64, u64> for Fake {
    fn set_with<'a>(&'a self, key: &'a u64, value: Option<u64>, _: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
        lock(&self.0).insert(*key, value);
        CacheFuture::ready(Ok(()))
    }
    fn del<'a>(&'a self, key: &'a u64) -> CacheFuture<'a, CacheResult<()>> {
        lock(&self.0).remove(key);
        CacheFuture::ready(Ok(()))
    }
    fn clear(&self) -> CacheFuture<'_, CacheResult<()>> {
        lock(&self.0).clear();
        CacheFuture::ready(Ok(()))
    }
}

#[tokio::test]
async fn the_required_methods_are_enough_for_all_verbs() {
    let fake: Face = Arc::new(Fake::default());
    fake.set(&1, Some(5)).await.unwrap();
    fake.mset(vec![(2, None), (3, Some(6))]).await.unwrap();
    let found = [Lookup::Hit(5), Lookup::Absent, Lookup::Hit(6), Lookup::Miss];
    for (key, wanted) in (1..).zip(found) {
        assert_eq!((fake.try_get(&key), fake.lookup(&key).await), (wanted.clone(), wanted), "{key}");
    }
    assert_eq!((fake.lookup(&13).await, fake.lookup(&14).await), (Lookup::Unavailable, Lookup::Miss));
    assert_eq!((fake.try_get(&13), fake.try_get(&14)), (Lookup::Miss, Lookup::Miss));
    let answers: Vec<_> = fake.mget(&[1, 2, 4, 13, 14]).await.into_results();
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.map_err(|error| error.kind())).collect();
    assert_eq!(answers, [Ok(Some(5)), Ok(None), Ok(None), Err(ErrorKind::Shutdown), Err(ErrorKind::Loader)]);
    let kind = |answer: CacheResult<Option<u64>>| answer.map_err(|error| error.kind());
    for (key, wanted) in
        [(1, Ok(Some(5))), (4, Ok(Some(9))), (13, Err(ErrorKind::Shutdown)), (14, Err(ErrorKind::Loader))]
    {
        assert_eq!(kind(fake.get_or_load(&key, async { Ok::<_, Away>(Some(9)) }).await), wanted, "{key}");
    }
    let error = fake.get_or_load(&4, async { Err::<Option<u64>, _>(Away(4)) }).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Away(4)));
    assert_eq!(fake.write_guard(&1).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    WriteGuard::detached().finish().await.unwrap();
    fake.mdel(&[1, 3]).await.unwrap();
    let report = fake.warmup(vec![1, 2, 14]).await;
    assert_eq!((report.ready, report.failed), (2, 1));
    assert_eq!(fake.shutdown(TTL).await, ShutdownReport::default());
    assert_eq!((fake.stats(), fake.l1_stats()), (Stats::default(), L1Stats::default()));
    assert_ne!(report, WarmupReport::default());
}
