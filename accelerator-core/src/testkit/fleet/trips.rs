//! How often a cache goes over the wire.

use std::future::ready;
use std::io;
use std::time::Duration;

use super::{LONG, Numbers};
use crate::level::{LevelCache, LevelCacheBuilder};
use crate::options::ReadOptions;
use crate::testkit::server::CountingProxy;
use crate::traits::l1::NoL1;
use crate::traits::l2::L2Store;

/// With a loader, and with a batch loader: a hit is one round trip, a miss two, for one key or 32; a write is one. The
/// store talks over the proxy.
pub async fn each_call_has_its_trips<S: L2Store + Clone>(proxy: &CountingProxy, store: S) {
    let builder = |area| {
        let builder: LevelCacheBuilder<u64, u64> =
            LevelCache::builder().area(area).l2_with_codec(store.clone(), Numbers);
        builder.l2_timeout(Duration::from_secs(60)).ttl(LONG)
    };
    // Ready at once, so that one call after the other is counted.
    let one = builder("one").loader(|id| ready(Ok::<_, io::Error>(Some(id))));
    let many = builder("many").batch_loader(|ids: Vec<u64>| {
        ready(Ok::<_, io::Error>(ids.into_iter().map(|id| (id, Some(id))).collect::<Vec<_>>()))
    });
    for builder in [one, many] {
        check(proxy, &builder.build().expect("a cache")).await;
    }
}

async fn check(proxy: &CountingProxy, cache: &LevelCache<u64, u64, NoL1>) {
    // Whatever the first of all costs (a script is told to the server, a connection is made).
    cache.get(&0).await.expect("a value");
    cache.set(&0, 7).await.expect("set");
    cache.del(&0).await.expect("del");
    let trips = |what: &str, expected: u64| {
        assert_eq!(proxy.round_trips(), expected, "{what}");
        proxy.reset();
    };
    proxy.reset();
    assert_eq!(cache.get(&1).await.expect("a value"), Some(1));
    trips("get of what is missing: read and lease, fill", 2);
    assert_eq!(cache.get(&1).await.expect("a value"), Some(1));
    trips("get of what is there", 1);
    let batch = |from: u64| (from..from + 32).collect::<Vec<u64>>();
    let all = async |what: &str, keys: Vec<u64>, expected: u64| {
        let found = cache.mget(&keys).await.into_map().expect("values");
        assert!(keys.iter().all(|key| found[key] == Some(*key)), "{what}: {found:?}");
        trips(what, expected);
    };
    all("mget of 32, all missing: read and lease, fill", batch(100), 2).await;
    all("mget of 32, all there", batch(100), 1).await;
    all("mget of 32, half of them there", batch(116), 2).await;
    all("the same again", batch(116), 1).await;
    cache.set(&1, 7).await.expect("set");
    trips("set", 1);
    cache.del(&1).await.expect("del");
    trips("del", 1);
    let only = ReadOptions::new().disable_load(true);
    assert_eq!(cache.get_with(&1, only).await.expect("nothing"), None);
    trips("get without a load of what is missing", 1);
    let stats = cache.stats();
    assert_eq!((stats.l2_errors_total(), stats.fills_lost), (0, 0), "{stats:?}");
}
