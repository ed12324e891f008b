//! A multi-level cache for services: a small in-process cache (L1) in front of a shared one (L2), in front of the source
//! of truth.
//!
//! This crate is the facade: it re-exports [`accelerator_core`] and, by feature, the stores. Begin with [`LevelCache`].
//!
//! | feature | gives |
//! |---|---|
//! | `moka` (default) | [`stores::MokaL1`]: the all-round L1, dead entries leave by themselves |
//! | `mini-moka` | `stores::MiniMokaL1`: a smaller moka |
//! | `quick-cache` | `stores::QuickCacheL1`: the fastest hit |
//! | `redis` | `stores::RedisStore`: L2 on Redis or Valkey, with leases; `stores::RedisBus`: a bus by Pub/Sub |
//! | `redis-tls` | the same over TLS: `rediss://` |
//! | `memcached` | `stores::MemcachedStore`: L2 on memcached, with leases |
//! | `nats` | `stores::NatsBus`: a bus by core NATS, beside any L2 or none |
//! | `nats-tls` | the same over TLS: `tls://` |
//! | `postcard` (default) | [`Postcard`], the default codec for L2 |
//! | `msgpack` | `MessagePack`: a codec for types that must describe themselves, or that change |
//! | `json` | `Json`: the same, to be read by people |
//! | `bytes` | `RawBytes`: `Bytes`, `Vec<u8>` and `String` as they are |
//! | `zstd`, `lz4` | `Zstd`, `Lz4`: values compressed in L2, by `LevelCacheBuilder::compress` |
//! | `encrypt` | `EncryptionKeys`: values encrypted in L2, by `LevelCacheBuilder::encrypt` |
//! | `macros` (default) | [`macros`]: `#[cacheable]` and its like, `#[derive(CacheKey)]` |
//! | `uuid` | `CacheKey` for `uuid::Uuid` |
//! | `metrics` | `LevelCache::report_metrics`: counters for the crate `metrics`, and so for Prometheus |
//! | `testkit` | `testkit`: in-memory stores, faults, a manual clock, and the laws a store must keep |
//! | `testkit-server` | `testkit::server`: Redis, memcached and NATS started for tests, a proxy that counts round trips (Unix) |
#![doc = ""]
#![doc = include_str!("../README.md")]

pub use accelerator_core::*;

/// The macro that stands beside the trait.
#[cfg(feature = "macros")]
pub use accelerator_macros::CacheKey;

/// Functions whose answer is cached, by an attribute. Each expands to calls of [`memoize`].
///
/// ```
/// use accelerator::macros::{cache_evict, cacheable};
/// use accelerator::{CacheResult, LevelCache};
///
/// struct Users {
///     names: LevelCache<u64, String>,
/// }
///
/// impl Users {
///     #[cacheable(cache = self.names, key = id)]
///     async fn name(&self, id: u64) -> CacheResult<Option<String>> {
///         Ok(Some(format!("user {id}"))) // your query
///     }
///
///     #[cache_evict(cache = self.names, key = id)]
///     async fn delete(&self, id: u64) -> CacheResult<()> {
///         Ok(()) // your query
///     }
/// }
/// ```
#[cfg(feature = "macros")]
pub mod macros {
    pub use accelerator_macros::{CacheKey, cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};
}

/// The stores that the enabled features bring.
pub mod stores {
    #[cfg(feature = "memcached")]
    pub use accelerator_backend_memcached::{MemcachedStore, MemcachedStoreBuilder};
    #[cfg(feature = "mini-moka")]
    pub use accelerator_backend_moka::{MiniMokaL1, MiniMokaL1Builder};
    #[cfg(feature = "moka")]
    pub use accelerator_backend_moka::{MokaL1, MokaL1Builder};
    #[cfg(feature = "nats")]
    pub use accelerator_backend_nats::{NatsBus, NatsBusBuilder};
    #[cfg(feature = "quick-cache")]
    pub use accelerator_backend_quick_cache::{QuickCacheL1, QuickCacheL1Builder};
    #[cfg(feature = "redis")]
    pub use accelerator_backend_redis::{RedisBus, RedisBusBuilder, RedisStore, RedisStoreBuilder};
}

/// The guides, so that their examples are compiled and run.
#[cfg(all(doctest, feature = "macros", feature = "moka"))]
mod guides {
    #[doc = include_str!("../docs/guide/macros.md")]
    struct Macros;
    #[cfg(feature = "metrics")]
    #[doc = include_str!("../docs/guide/metrics.md")]
    struct Metrics;
    #[cfg(all(feature = "encrypt", feature = "msgpack", feature = "postcard", feature = "testkit", feature = "zstd"))]
    #[doc = include_str!("../docs/guide/bytes.md")]
    struct TheBytes;
    #[cfg(feature = "testkit")]
    #[doc = include_str!("../docs/guide/consistency.md")]
    struct Consistency;
    #[cfg(all(feature = "memcached", feature = "nats", feature = "redis-tls", feature = "postcard"))]
    #[doc = include_str!("../docs/guide/backends.md")]
    struct Backends;
}
