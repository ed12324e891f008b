//! Batches of large values over a slow line: their limits grow with their bytes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use accelerator_core::testkit::server::{CountingProxy, MemcachedServer};
use accelerator_core::{Bytes, Codec, LevelCache, LoadError, NoL1};

use crate::tools::{LONG, connect};

/// 1 Gbit/s.
const LINE: u32 = 125_000_000;
const KEYS: u64 = 256;
const VALUE: usize = 100 << 10;

/// As it is.
struct Raw;

impl Codec<Bytes> for Raw {
    fn id(&self) -> u8 {
        200
    }
    fn encode(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend_from_slice(value);
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<Bytes, LoadError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

/// A node with the limits of a user who set none.
async fn node(addr: String, loads: &Arc<AtomicUsize>) -> LevelCache<u64, Bytes, NoL1> {
    let loads = Arc::clone(loads);
    let load = move |keys: Vec<u64>| {
        loads.fetch_add(keys.len(), SeqCst);
        let value = Bytes::from(vec![7; VALUE]);
        let found: Vec<_> = keys.into_iter().map(|key| (key, Some(value.clone()))).collect();
        async move { Ok::<_, io::Error>(found) }
    };
    let store = connect(addr).await;
    LevelCache::builder().area("large").ttl(LONG).l2_with_codec(store, Raw).batch_loader(load).build().expect("a cache")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_values_over_a_line_of_1_gbit_are_stored_and_read() {
    let Some(server) = MemcachedServer::builder().arg("-m").arg("256").start() else { return };
    let proxy = CountingProxy::start(server.addr()).await;
    proxy.throttle(LINE);
    let loads = Arc::default();
    let keys: Vec<u64> = (0..KEYS).collect();
    // Leases and fills.
    let values = node(proxy.addr(), &loads).await.mget(&keys).await.into_values().expect("values");
    assert_eq!((values.len(), loads.load(SeqCst)), (256, 256));
    // Reads, by a node that knows nothing of their size.
    let reader = node(proxy.addr(), &loads).await;
    for _ in 0..2 {
        let values = reader.mget(&keys).await.into_values().expect("values");
        assert!(values.iter().all(|value| value.as_ref().is_some_and(|value| value.len() == VALUE)));
    }
    assert_eq!((loads.load(SeqCst), reader.stats().fills_lost), (256, 0), "all were in L2");
    assert_eq!(reader.stats().l2_errors.iter().map(|(_, n)| n).sum::<u64>(), 0);
    // Plain writes.
    reader.mset(keys.iter().map(|key| (*key, Some(Bytes::from(vec![8; VALUE]))))).await.expect("confirmed");
}
