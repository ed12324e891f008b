//! A deploy that changes the type of the values: nodes of both builds beside each other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::future::join_all;

use super::{LONG, Numbers};
use crate::level::LevelCache;
use crate::traits::l1::NoL1;
use crate::traits::l2::L2Store;
use crate::traits::l2::head::{Head, Kind};

/// Longer than the value of another build is left alone.
const REST: Duration = Duration::from_millis(300);
const KEYS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

struct Source {
    asked: AtomicUsize,
    takes: Duration,
}

/// A node of a build with this schema, whose values are ten times the key and its schema.
fn node<S: L2Store>(store: S, area: &str, schema: u32, source: &Arc<Source>) -> LevelCache<u64, u64, NoL1> {
    let source = source.clone();
    let load = move |key: u64| {
        let source = source.clone();
        async move {
            source.asked.fetch_add(1, SeqCst);
            tokio::time::sleep(source.takes).await;
            Ok::<_, io::Error>(Some(10 * key + u64::from(schema)))
        }
    };
    let builder = LevelCache::builder().area(area).share_area(true).schema_version(schema).ttl(LONG);
    let builder = builder.l2_with_codec(store, Numbers).l2_timeout(Duration::from_secs(10));
    builder.loader_timeout(Duration::from_secs(20)).loader(load).build().expect("a cache")
}

async fn read_all(nodes: &[LevelCache<u64, u64, NoL1>], schema: u64) {
    let expected = KEYS.map(|key| Some(10 * key + schema));
    let reads = nodes.iter().enumerate().map(|(n, node)| async move {
        match n % 2 {
            0 => node.mget(&KEYS).await.into_values().expect("loaded"),
            _ => join_all(KEYS.map(|key| async move { node.get(&key).await.expect("loaded") })).await,
        }
    });
    for read in join_all(reads).await {
        assert_eq!(read, expected, "a value of another build");
    }
}

/// Nodes of a new build fill L2 at once where an old build has filled it: each key is loaded once for all of them, then once
/// again after a rollback, and a `del` of the other build beats such a load. Each node has a store of its own, on one server.
pub async fn a_new_build_fills_at_once<S: L2Store>(stores: [S; 6]) {
    let area = format!("deploy{:016x}", Head::random(Kind::Value).nonce);
    let source = Arc::new(Source { asked: AtomicUsize::new(0), takes: Duration::from_millis(20) });
    let mut at = 0;
    let nodes: Vec<_> = stores
        .into_iter()
        .map(|store| {
            at += 1;
            node(store, &area, if at <= 3 { 1 } else { 2 }, &source)
        })
        .collect();
    let (old, new) = nodes.split_at(3);
    for (build, schema) in [(old, 1), (new, 2), (old, 1)] {
        for loads in [KEYS.len(), 0] {
            read_all(build, schema).await;
            assert_eq!(source.asked.swap(0, SeqCst), loads, "loads of schema {schema}");
        }
        tokio::time::sleep(REST).await;
    }
    let (Some(old), Some(new)) = (old.first(), new.first()) else { return };
    let loads = async {
        while source.asked.load(SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        old.del(&1).await.expect("del");
    };
    let (read, ()) = futures_util::future::join(new.get(&1), loads).await;
    assert_eq!(read.expect("loaded"), Some(12));
    // Either the delete came in time, and nothing was stored, or after the fill, and it is gone.
    source.asked.store(0, SeqCst);
    assert_eq!(new.get(&1).await.expect("loaded"), Some(12));
    assert_eq!(source.asked.load(SeqCst), 1, "what was loaded before the delete is there after it");
}
