//! How often a cache goes over the wire.

use std::time::Duration;

use accelerator_core::testkit::server::{CountingProxy, RedisServer};
use accelerator_core::{Builder, LevelCache, ReadOptions};

use crate::support::{PATIENCE, store};

/// A cache over a proxy, to be given a loader that is ready at once: so that one call after the other is counted.
async fn counted(proxy: &CountingProxy) -> Builder<u64, String> {
    let store = store(format!("redis://{}", proxy.addr())).await;
    LevelCache::builder().area("trips").l2(store).l2_timeout(PATIENCE).ttl(Duration::from_secs(600))
}

#[tokio::test]
async fn with_a_loader_a_hit_is_one_round_trip_and_a_miss_two_for_one_key_or_32() {
    check(|builder| builder.loader(|id: u64| async move { Ok::<_, std::io::Error>(Some(id.to_string())) })).await;
}

#[tokio::test]
async fn with_a_batch_loader_a_hit_is_one_round_trip_and_a_miss_two_for_one_key_or_32() {
    let load = |ids: Vec<u64>| async move {
        Ok::<_, std::io::Error>(ids.into_iter().map(|id| (id, Some(id.to_string()))).collect::<Vec<_>>())
    };
    check(|builder| builder.batch_loader(load)).await;
}

async fn check(load: impl FnOnce(Builder<u64, String>) -> Builder<u64, String>) {
    let Some(server) = RedisServer::start() else { return };
    let proxy = CountingProxy::start(server.addr()).await;
    let cache = load(counted(&proxy).await).build().expect("a cache");
    // Whatever the first of all costs (a script is told to the server, a connection is made).
    cache.get(&0).await.expect("a value");
    cache.set(&0, String::from("none")).await.expect("set");
    cache.del(&0).await.expect("del");
    let trips = |what: &str, expected: u64| {
        assert_eq!(proxy.round_trips(), expected, "{what}");
        proxy.reset();
    };
    proxy.reset();
    assert_eq!(cache.get(&1).await.expect("a value").as_deref(), Some("1"));
    trips("get of what is missing: read and lease, fill", 2);
    assert_eq!(cache.get(&1).await.expect("a value").as_deref(), Some("1"));
    trips("get of what is there", 1);
    let batch = |from: u64| (from..from + 32).collect::<Vec<u64>>();
    let all = async |what: &str, keys: Vec<u64>, expected: u64| {
        let found = cache.mget(&keys).await.into_map().expect("values");
        assert!(keys.iter().all(|key| found[key].as_deref() == Some(&*key.to_string())), "{what}: {found:?}");
        trips(what, expected);
    };
    all("mget of 32, all missing: read and lease, fill", batch(100), 2).await;
    all("mget of 32, all there", batch(100), 1).await;
    all("mget of 32, half of them there", batch(116), 2).await;
    all("the same again", batch(116), 1).await;
    cache.set(&1, String::from("one")).await.expect("set");
    trips("set", 1);
    cache.del(&1).await.expect("del");
    trips("del", 1);
    let only = ReadOptions::new().disable_load(true);
    assert_eq!(cache.get_with(&1, only).await.expect("nothing"), None);
    trips("get without a load of what is missing", 1);
    let stats = cache.stats();
    assert_eq!((stats.l2_errors_total(), stats.fills_lost), (0, 0), "{stats:?}");
}
