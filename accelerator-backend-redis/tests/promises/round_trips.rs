//! How often a question goes over the wire.

use accelerator_backend_redis::RedisStore;
use accelerator_core::testkit::server::{CountingProxy, RedisServer};
use accelerator_core::{Filled, HoldOwner, L2Read, L2Store};

use crate::support::{LONG, expecting, key, keys, lease, refs, store, value};

struct Counted {
    store: RedisStore,
    proxy: CountingProxy,
    _server: RedisServer,
}

impl Counted {
    async fn start() -> Option<Self> {
        let server = RedisServer::start()?;
        let proxy = CountingProxy::start(server.addr()).await;
        let store = store(format!("redis://{}", proxy.addr())).await;
        let counted = Self { store, proxy, _server: server };
        // The server knows the scripts.
        let token = lease(&counted.store, "known").await;
        counted.store.fill("known", &token, value("v"), LONG).await.expect("fill");
        counted.store.release("known", token).await.expect("release");
        counted.store.set("known", value("v"), LONG).await.expect("set");
        counted.store.del("known").await.expect("del");
        counted.store.hold("known", HoldOwner(0), LONG).await.expect("hold");
        counted.store.unhold("known", HoldOwner(0)).await.expect("unhold");
        Some(counted)
    }

    async fn trips<T>(&self, of: impl Future<Output = T>) -> (u64, T) {
        self.proxy.reset();
        let answer = of.await;
        (self.proxy.round_trips(), answer)
    }
}

#[tokio::test]
async fn one_key_takes_one_round_trip() {
    let Some(counted) = Counted::start().await else { return };
    let store = &counted.store;
    let (key, other) = (key(), key());
    let (trips, miss) = counted.trips(store.get_or_lease(&key, LONG)).await;
    let Ok(L2Read::Leased { token, .. }) = miss else { panic!("{miss:?}") };
    assert_eq!(trips, 1, "a miss with its lease");
    let (trips, filled) = counted.trips(store.fill(&key, &token, value("v"), LONG)).await;
    assert_eq!((trips, filled.expect("fill")), (1, Filled::Stored));
    let (trips, hit) = counted.trips(store.get_or_lease(&key, LONG)).await;
    assert!(trips == 1 && matches!(hit, Ok(L2Read::Hit { .. })), "a hit: {trips} {hit:?}");
    assert_eq!(counted.trips(store.get(&key)).await.0, 1, "get");
    assert_eq!(counted.trips(store.get(&other)).await.0, 1, "get of nothing");
    assert_eq!(counted.trips(store.set(&key, value("v"), LONG)).await.0, 1, "set");
    assert_eq!(counted.trips(store.del(&key)).await.0, 1, "del");
    let token = lease(store, &key).await;
    assert_eq!(counted.trips(store.release(&key, token)).await.0, 1, "release");
    for owner in [HoldOwner(1), HoldOwner(2)] {
        assert_eq!(counted.trips(store.hold(&key, owner, LONG)).await.0, 1, "hold");
    }
    assert_eq!(counted.trips(store.set(&key, value("v"), LONG)).await.0, 1, "set of a held key");
    assert_eq!(counted.trips(store.del(&key)).await.0, 1, "del of a held key");
    for owner in [HoldOwner(1), HoldOwner(2)] {
        assert_eq!(counted.trips(store.unhold(&key, owner)).await.0, 1, "unhold");
    }
}

#[tokio::test]
async fn a_batch_takes_one_round_trip_per_512_keys() {
    let Some(counted) = Counted::start().await else { return };
    let store = &counted.store;
    for (count, expected) in [(0, 0), (1, 1), (32, 1), (512, 1), (513, 2)] {
        let keys = keys(count);
        let keys = refs(&keys);
        let (trips, reads) = counted.trips(store.mget_or_lease(&keys, LONG)).await;
        assert_eq!(trips, expected, "mget_or_lease of {count}, all missing");
        let mut items = Vec::new();
        for (key, read) in keys.iter().zip(reads) {
            let Ok(L2Read::Leased { token, .. }) = read else { panic!("{read:?}") };
            items.push((*key, token, value(key), LONG));
        }
        let (trips, filled) = counted.trips(store.mfill(items)).await;
        assert_eq!(trips, expected, "mfill of {count}");
        assert!(filled.iter().all(|filled| matches!(filled, Ok(Filled::Stored))));
        assert_eq!(counted.trips(store.mget_or_lease(&keys, LONG)).await.0, expected, "mget_or_lease of {count}, hits");
        let (trips, values) = counted.trips(store.mget(&keys)).await;
        assert_eq!(trips, expected, "mget of {count}");
        assert!(values.iter().all(|value| matches!(value, Ok(Some(_)))));
        let items = keys.iter().map(|key| (*key, value(key), LONG)).collect();
        assert_eq!(counted.trips(store.mset(items)).await.0, expected, "mset of {count}");
        assert_eq!(counted.trips(store.mdel(&keys)).await.0, expected, "mdel of {count}");
    }
}

#[tokio::test]
async fn of_batches_that_miss_one_in_33_takes_a_round_trip_more_and_the_others_none() {
    let Some(counted) = Counted::start().await else { return };
    let store = &counted.store;
    let there = keys(32);
    let items = there.iter().map(|key| (&**key, value(key), LONG)).collect();
    store.mset(items).await.into_iter().for_each(|stored| stored.expect("mset"));
    let there = refs(&there);
    // One in two misses: what was earned by the others never pays for more than one in 32 of them.
    let mut more = 0;
    for turn in 0..200 {
        assert_eq!(counted.trips(store.mget_or_lease(&there, LONG)).await.0, 1, "hits, turn {turn}");
        let new = keys(1);
        let mut mixed = there.clone();
        mixed[turn % 32] = &new[0];
        let (trips, reads) = counted.trips(store.mget_or_lease(&mixed, LONG)).await;
        assert!(matches!(reads[turn % 32], Ok(L2Read::Leased { .. })), "{reads:?}");
        assert_eq!(reads.iter().filter(|read| matches!(read, Ok(L2Read::Hit { .. }))).count(), 31);
        assert!((1..=2).contains(&trips), "{trips}");
        more += trips - 1;
    }
    assert!((1..=200 / 32).contains(&more), "{more} round trips more");
}

#[tokio::test]
async fn where_batches_find_everything_the_server_gets_plain_reads() {
    let Some(counted) = Counted::start().await else { return };
    let store = expecting(counted.store.clone()).await;
    let there = key();
    store.set(&there, value("v"), LONG).await.expect("set");
    let addr = counted._server.addr();
    assert_eq!(crate::support::raw(&addr, "CONFIG RESETSTAT"), "+OK");
    for _ in 0..10 {
        let reads = store.mget_or_lease(&[&there, &there], LONG).await;
        assert!(reads.iter().all(|read| matches!(read, Ok(L2Read::Hit { seen: Some(_), .. }))), "{reads:?}");
    }
    let mget = crate::support::info(&addr, "cmdstat_mget");
    assert!(mget.starts_with("calls=10,"), "{mget}");
}

#[tokio::test]
async fn a_forgotten_script_costs_one_round_trip_more() {
    let Some(counted) = Counted::start().await else { return };
    let store = &counted.store;
    let keys = keys(32);
    let mut items = Vec::new();
    for key in &keys {
        items.push((&**key, lease(store, key).await, value("v"), LONG));
    }
    assert_eq!(crate::support::raw(&counted._server.addr(), "SCRIPT FLUSH"), "+OK");
    assert_eq!(counted.trips(store.mfill(items)).await.0, 2);
}
