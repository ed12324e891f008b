//! The servers that the checker knows, and the stores that speak to them.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use accelerator::stores::{MemcachedStore, NatsBus, RedisBus, RedisStore};
use accelerator::testkit::MemoryL2;
use accelerator::{Bytes, InvalidationBus, L2Store, Limits, Outcomes, StoreResult, async_trait};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::server::Server;

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

/// The server behind L2, where there need not be any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum L2 {
    /// redis-server
    Redis,
    /// memcached
    Memcached,
    /// L1 alone
    None,
}

impl L2 {
    pub(crate) fn backend(self) -> Option<Backend> {
        match self {
            Self::Redis => Some(Backend::Redis),
            Self::Memcached => Some(Backend::Memcached),
            Self::None => None,
        }
    }
}

/// What carries news between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Carrier {
    /// Pub/Sub of redis-server
    Redis,
    /// nats-server
    Nats,
    /// No bus: this must find stale reads
    #[default]
    None,
}

impl Carrier {
    /// Its server, where it needs one: that of L2, if it can be the same.
    pub(crate) fn server(self, l2: Option<(Backend, &Arc<Server>)>) -> anyhow::Result<Option<Arc<Server>>> {
        Ok(match (self, l2) {
            (Self::None, _) => None,
            (Self::Redis, Some((Backend::Redis, server))) => Some(server.clone()),
            (Self::Redis, _) => Some(Arc::new(Server::start(Backend::Redis, None)?)),
            (Self::Nats, _) => Some(Arc::new(Server::start_nats()?)),
        })
    }

    /// A new bus of this process, with connections of its own.
    pub(crate) fn bus(self, url: &str, prefix: &str) -> anyhow::Result<Option<Arc<dyn InvalidationBus>>> {
        Ok(match self {
            Self::Redis => Some(Arc::new(RedisBus::builder().url(url).key_prefix(prefix).build()?)),
            Self::Nats => {
                Some(Arc::new(NatsBus::builder().url(url).subject_prefix(prefix.trim_end_matches('.')).build()?))
            }
            Self::None => None,
        })
    }
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
