//! How often a question goes over the wire.

use accelerator_backend_redis::RedisStore;
use accelerator_core::testkit::server::{CountingProxy, RedisServer};
use accelerator_core::{Filled, L2Read, L2Store};

use crate::support::{LONG, key, keys, lease, refs, store, value};

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
    assert_eq!(counted.trips(store.hold(&key, LONG)).await.0, 1, "hold");
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
