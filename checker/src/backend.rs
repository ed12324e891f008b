//! The servers that the checker knows, and the stores that speak to them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use accelerator::stores::{MemcachedStore, RedisStore};
use accelerator::testkit::MemoryL2;
use accelerator::{Bytes, L2Store, Limits, Outcomes, StoreResult, async_trait};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    /// redis-server
    Redis,
    /// memcached
    Memcached,
    /// No server: a map in the one process that works
    Memory,
}

/// A new store of this process, with connections of its own.
pub(crate) fn store(backend: Backend, url: &str, prefix: &str, leases: bool) -> anyhow::Result<Arc<dyn L2Store>> {
    static MEMORY: LazyLock<MemoryL2> = LazyLock::new(|| MemoryL2::new().with_leases());
    let store: Arc<dyn L2Store> = match backend {
        Backend::Redis => Arc::new(RedisStore::builder().url(url).key_prefix(prefix).build()?),
        Backend::Memcached => Arc::new(MemcachedStore::builder().servers(url.split(',')).key_prefix(prefix).build()?),
        Backend::Memory => Arc::new(MEMORY.clone()),
    };
    Ok(if leases { store } else { Arc::new(NoLeases(store)) })
}

/// A store without its leases: what a run must catch.
struct NoLeases(Arc<dyn L2Store>);

#[async_trait]
impl L2Store for NoLeases {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.0.get(key).await
    }
    async fn get_aged(&self, key: &str) -> StoreResult<(Option<Bytes>, Option<Duration>)> {
        self.0.get_aged(key).await
    }
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.0.set(key, value, ttl).await
    }
    async fn del(&self, key: &str) -> StoreResult<()> {
        self.0.del(key).await
    }
    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        self.0.mget(keys).await
    }
    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        self.0.mget_into(keys, out).await;
    }
    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        self.0.mset(items).await
    }
    async fn mset_into(&self, items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        self.0.mset_into(items, out).await;
    }
    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        self.0.mdel(keys).await
    }
    async fn mdel_into(&self, keys: &[&str], out: &mut Outcomes<()>) {
        self.0.mdel_into(keys, out).await;
    }
    fn limits(&self) -> Limits {
        self.0.limits().leases(false)
    }
}
