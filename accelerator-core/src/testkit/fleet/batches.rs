//! Batches that several nodes load at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use super::{LONG, Numbers};
use crate::level::LevelCache;
use crate::memoize::repeat::Often;
use crate::memoize::{Read, begin_batch, cacheable_batch_in_rounds, sharing};
use crate::sync::lock;
use crate::traits::l2::L2Store;

/// What `#[cacheable_batch]` expands to, on nodes that want each other's keys: each shares half of its keys with the next.
/// Each key is loaded by one of them, though a load takes so long.
pub async fn overlapping_batches_load_each_key_once<S: L2Store>(stores: Vec<S>, takes: Duration) {
    let loads = Arc::new(Mutex::new(Vec::<u64>::new()));
    let mut calls = Vec::new();
    let nodes = stores.len() as u64;
    for (number, store) in (0..nodes).zip(stores) {
        let (first, loads) = (number * 10, loads.clone());
        let node = LevelCache::<u64, u64>::builder().area("overlap").l2_with_codec(store, Numbers).ttl(LONG);
        let node = node.loader_timeout(Duration::from_secs(4)).build().expect("a cache");
        node.get(&(1000 + first)).await.expect("a connection");
        let body = move |keys: Vec<u64>| {
            lock(&loads).extend(&keys);
            async move {
                sleep(takes).await;
                keys.into_iter().map(|key| (key, Some(key))).collect::<HashMap<_, _>>()
            }
        };
        calls.push(tokio::spawn(async move {
            let (keys, read): (Vec<u64>, _) = ((first..first + 20).collect(), Read::new());
            let begun = begin_batch(&node, &keys, &read).await;
            let found = cacheable_batch_in_rounds(begun, read, sharing::Alone, Often, body).await;
            (keys, found, node.stats().fills_lost)
        }));
    }
    for call in calls {
        let (keys, found, lost) = call.await.expect("no panic");
        assert!(keys.iter().all(|key| found[key] == Some(*key)) && found.len() == 20, "{found:?}");
        assert_eq!(lost, 0);
    }
    let mut loads = lock(&loads).clone();
    loads.sort_unstable();
    assert_eq!(loads, (0..nodes * 10 + 10).collect::<Vec<_>>(), "each once");
}
