//! Batches of large values over a slow line: their limits grow with their bytes.

use std::future::ready;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;

use super::LONG;
use crate::error::LoadError;
use crate::level::LevelCache;
use crate::testkit::server::CountingProxy;
use crate::traits::codec::Codec;
use crate::traits::l1::NoL1;
use crate::traits::l2::L2Store;

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
fn node<S: L2Store>(store: S, loads: &Arc<AtomicUsize>) -> LevelCache<u64, Bytes, NoL1> {
    let loads = Arc::clone(loads);
    let load = move |keys: Vec<u64>| {
        loads.fetch_add(keys.len(), SeqCst);
        let value = Bytes::from(vec![7; VALUE]);
        let found: Vec<_> = keys.into_iter().map(|key| (key, Some(value.clone()))).collect();
        ready(Ok::<_, io::Error>(found))
    };
    LevelCache::builder().area("large").ttl(LONG).l2_with_codec(store, Raw).batch_loader(load).build().expect("a cache")
}

/// Of 256 values of 100 KiB, read and written in one call over 1 Gbit/s, each is stored and found. Both stores talk over
/// the proxy. Needs a runtime with two threads.
pub async fn large_values_are_stored_and_read<S: L2Store>(proxy: &CountingProxy, stores: [S; 2]) {
    proxy.throttle(LINE);
    let loads = Arc::default();
    let keys: Vec<u64> = (0..KEYS).collect();
    let [loader, reader] = stores.map(|store| node(store, &loads));
    // Leases and fills.
    let values = loader.mget(&keys).await.into_values().expect("values");
    assert_eq!((values.len(), loads.load(SeqCst)), (256, 256));
    // Reads, by a node that knows nothing of their size.
    for _ in 0..2 {
        let values = reader.mget(&keys).await.into_values().expect("values");
        assert!(values.iter().all(|value| value.as_ref().is_some_and(|value| value.len() == VALUE)));
    }
    assert_eq!((loads.load(SeqCst), reader.stats().fills_lost), (256, 0), "all were in L2");
    assert_eq!(reader.stats().l2_errors_total(), 0);
    // Plain writes.
    reader.mset(keys.iter().map(|key| (*key, Some(Bytes::from(vec![8; VALUE]))))).await.expect("confirmed");
}
