//! The builder's options, with what they take.

use std::collections::HashMap;
use std::future::ready;
use std::io;
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(feature = "zstd", feature = "lz4"))]
use accelerator::Compress;
use accelerator::stores::MokaL1;
use accelerator::{
    Bytes, CacheResult, Clock, Entry, HoldOwner, InvalidationBus, L1Stats, L1Store, L2Store, Layer, LayerContext,
    LayerError, LeaseToken, LevelCache, LevelCacheBuilder, LoadError, Loaded, NoL1, Postcard, StoreError,
    StoreErrorKind, StoreResult, async_trait,
};

type B<L1 = NoL1> = LevelCacheBuilder<u64, String, L1>;

/// A store that never has anything needs five methods as an L1, three as an L2, and never more.
#[derive(Clone)]
struct Nothing;

impl L1Store<u64, String> for Nothing {
    fn get(&self, _: &u64) -> Option<Entry<String>> {
        None
    }
    fn insert(&self, _: u64, _: Entry<String>) {}
    fn remove(&self, _: &u64) {}
    fn clear(&self) {}
    fn stats(&self) -> L1Stats {
        L1Stats::new(0, None)
    }
}

#[async_trait]
impl L2Store for Nothing {
    async fn get(&self, _: &str) -> StoreResult<Option<Bytes>> {
        Ok(None)
    }
    async fn set(&self, _: &str, _: Bytes, _: Duration) -> StoreResult<()> {
        Ok(())
    }
    async fn del(&self, _: &str) -> StoreResult<()> {
        Ok(())
    }
}

/// A clock needs two methods, and never more.
struct Stopped;

impl Clock for Stopped {
    fn monotonic_ms(&self) -> u64 {
        1
    }
    fn unix_ms(&self) -> u64 {
        1
    }
}

#[test]
fn stores() {
    let _: fn() -> B = LevelCache::<u64, String>::builder;
    let _: fn(B, Nothing) -> B<Nothing> = B::l1;
    let _: fn(B, Nothing) -> B = B::l2;
    let _: fn(B, Nothing, Postcard) -> B = B::l2_with_codec;
    let _: fn(B, Postcard) -> B = B::codec;
    let _: fn(B<Nothing>) -> CacheResult<LevelCache<u64, String, Nothing>> = B::build;
    let _: fn(Duration) -> CacheResult<MokaL1<u64, String>> =
        |life| MokaL1::builder().capacity(100).longest_life(life).build();
}

/// One shape for the builders of all stores (`docs/guide/write-a-store.md`): `X::builder()`, options in any order, and
/// `build()`, which checks all and says what is wrong. What has the same name means the same.
mod builders_of_stores {
    use accelerator::{CacheResult, Entry, ErrorKind};

    /// Of an L1: bounded by `capacity` or by `weigher`, one of which it needs; and `hasher`.
    macro_rules! l1 {
        ($test:ident, $Store:ident) => {
            #[test]
            fn $test() -> CacheResult<()> {
                use accelerator::stores::$Store;
                let _: fn(u64) -> $Store<u64, String> = $Store::new;
                let weigher: fn(&u64, &Entry<String>) -> u32 = |_, _| 1;
                drop($Store::<u64, String>::builder().hasher(std::hash::RandomState::new()).capacity(9).build()?);
                drop($Store::<u64, String>::builder().weigher(9, weigher).build()?);
                let unbounded: CacheResult<$Store<u64, String>> = $Store::builder().build();
                let error = unbounded.err().expect("nothing bounds it");
                assert_eq!(error.kind(), ErrorKind::InvalidConfig);
                let told = error.to_string();
                assert!(told.starts_with("capacity = (not set): ") && told.contains("weigher(max, ..)"), "{told}");
                Ok(())
            }
        };
    }

    l1!(moka, MokaL1);
    #[cfg(feature = "mini-moka")]
    l1!(mini_moka, MiniMokaL1);
    #[cfg(feature = "quick-cache")]
    l1!(quick_cache, QuickCacheL1);

    /// Of an L2: where its server is, which it needs; `key_prefix`, and two limits of time; and `connect`, for who would
    /// rather not start without it.
    #[cfg(any(feature = "redis", feature = "memcached"))]
    macro_rules! l2 {
        ($test:ident, $Store:ident, $Builder:ident, $field:literal, $place:expr) => {
            #[test]
            fn $test() -> CacheResult<()> {
                use accelerator::stores::{$Builder as B, $Store};
                use accelerator::{BoxFuture, StoreResult};
                use std::time::Duration;
                let place: fn(B) -> B = $place;
                let _: fn(B, &'static str) -> B = B::key_prefix;
                let limits: [fn(B, Duration) -> B; 2] = [B::connect_timeout, B::response_timeout];
                let _: fn(B) -> BoxFuture<'static, StoreResult<$Store>> = |builder| Box::pin(builder.connect());
                let builder =
                    limits.iter().fold($Store::builder(), |builder, limit| limit(builder, Duration::from_secs(1)));
                let _: $Store = place(builder).build()?;
                let error = $Store::builder().build().err().expect("it has no server");
                assert_eq!(error.kind(), ErrorKind::InvalidConfig);
                assert!(error.to_string().starts_with(concat!($field, " = ")), "{error}");
                Ok(())
            }
        };
    }

    #[cfg(feature = "redis")]
    l2!(redis, RedisStore, RedisStoreBuilder, "url", |builder| builder.url("redis://127.0.0.1:6379"));
    #[cfg(feature = "memcached")]
    l2!(memcached, MemcachedStore, MemcachedStoreBuilder, "servers", |builder| builder.servers(["127.0.0.1:11211"]));

    /// Of a bus: where its server is, which it needs; what its names begin with; limits of time.
    #[cfg(any(feature = "redis", feature = "nats"))]
    macro_rules! bus {
        ($test:ident, $Bus:ident, $Builder:ident, $url:literal, $prefix:ident) => {
            #[test]
            fn $test() -> CacheResult<()> {
                use accelerator::InvalidationBus;
                use accelerator::stores::{$Builder as B, $Bus};
                use std::time::Duration;
                let limits: [fn(B, Duration) -> B; 4] =
                    [B::connect_timeout, B::publish_timeout, B::ping_interval, B::ping_timeout];
                let builder =
                    limits.iter().fold($Bus::builder(), |builder, limit| limit(builder, Duration::from_secs(1)));
                let bus: $Bus = builder.url($url).$prefix("shop").build()?;
                let _: std::sync::Arc<dyn InvalidationBus> = std::sync::Arc::new(bus.clone());
                let error = $Bus::builder().build().err().expect("it has no server");
                assert_eq!(error.kind(), ErrorKind::InvalidConfig);
                assert!(error.to_string().starts_with("url = "), "{error}");
                Ok(())
            }
        };
    }

    #[cfg(feature = "redis")]
    bus!(redis_bus, RedisBus, RedisBusBuilder, "redis://127.0.0.1:6379", key_prefix);
    #[cfg(feature = "nats")]
    bus!(nats_bus, NatsBus, NatsBusBuilder, "nats://127.0.0.1:4222", subject_prefix);
}

/// A layer needs a number and two methods, and never more.
struct AsTheyAre;

impl Layer for AsTheyAre {
    fn id(&self) -> u8 {
        200
    }
    fn apply(&self, bytes: &[u8], _: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
        Ok(Some(bytes.to_vec()))
    }
    fn undo(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
        let (_, _, _): (&str, &[u8], usize) = (cx.key(), cx.envelope(), cx.length());
        if bytes.is_empty() { Err(LayerError::Damaged) } else { Ok(bytes.to_vec()) }
    }
}

#[test]
fn bytes_in_l2() {
    let _: fn(B, Postcard) -> B = B::also_reads;
    let _: fn(B, AsTheyAre) -> B = B::layer;
}

#[cfg(feature = "msgpack")]
#[test]
fn bytes_of_another_codec() {
    let _: fn(B, accelerator::MessagePack) -> B = B::also_reads;
}

#[cfg(feature = "zstd")]
#[test]
fn bytes_compressed_by_zstd() {
    use accelerator::Zstd;

    let _: fn(B, Zstd) -> B = B::compress;
    let _: fn(B, Compress) -> B = B::compress;
    let _: [fn(Zstd, usize) -> Compress; 1] = [Zstd::from_bytes];
    let _: [fn(Zstd) -> Compress; 1] = [Zstd::only_reads];
}

#[cfg(feature = "lz4")]
#[test]
fn bytes_compressed_by_lz4() {
    use accelerator::Lz4;

    let _: fn(B, Lz4) -> B = B::compress;
    let _: fn(B, Compress) -> B = B::compress;
    let _: [fn(Lz4, usize) -> Compress; 1] = [Lz4::from_bytes];
    let _: [fn(Lz4) -> Compress; 1] = [Lz4::only_reads];
}

#[cfg(feature = "encrypt")]
#[test]
fn bytes_encrypted() {
    use accelerator::EncryptionKeys;

    let _: fn(B, EncryptionKeys) -> B = B::encrypt;
    let _: fn(u32, &[u8; 32]) -> EncryptionKeys = EncryptionKeys::new;
    let _: fn(EncryptionKeys, u32, &[u8; 32]) -> EncryptionKeys = EncryptionKeys::also_reads;
}

#[test]
fn times_and_limits() {
    let durations: [fn(B, Duration) -> B; 10] = [
        B::ttl,
        B::l1_ttl,
        B::l2_ttl,
        B::null_ttl,
        B::refresh_ahead_window,
        B::stale_on_error,
        B::loader_timeout,
        B::l2_timeout,
        B::lease_ttl,
        B::lease_wait,
    ];
    assert_eq!(durations.len(), 10);
    let _: fn(B, bool) -> B = B::cache_null_value;
    let _: fn(B, f64) -> B = B::ttl_jitter_ratio;
    let _: fn(B, usize) -> B = B::max_batch;
    let _: fn(B, usize) -> B = B::recovery_bytes;
    let _: fn(B, Arc<dyn InvalidationBus>) -> B = B::bus;
    let _: fn(B, Duration) -> B = B::suspect_ttl;
    let _: fn(B, u32) -> B = B::schema_version;
    let _: fn(B, bool) -> B = B::fingerprint;
    let _: fn(B, bool) -> B = B::share_area;
    let _: fn(B, usize) -> B = B::max_value_bytes;
    let _: fn(B, Stopped) -> B = B::clock;
    let _: fn(B, tokio::runtime::Handle) -> B = B::runtime;
    let _: fn(B, &'static str) -> B = B::area;
    let _: fn(B, String) -> B = B::area;
}

#[test]
fn loaders() {
    type Answer<T> = Result<T, io::Error>;
    let _: fn(B) -> B = |builder| builder.loader(|key: u64| ready(Answer::Ok(Some(key.to_string()))));
    let _: fn(B) -> B = |builder| builder.loader(|key: u64| ready(Answer::Ok(Loaded::from(Some(key.to_string())))));
    let _: fn(B) -> B =
        |builder| builder.batch_loader(|_: Vec<u64>| ready(Answer::Ok(HashMap::<u64, Option<String>>::new())));
    let _: fn(B) -> B =
        |builder| builder.batch_loader(|_: Vec<u64>| ready(Answer::Ok(Vec::<(u64, Option<String>)>::new())));
}

/// A store with leases takes holds with their owners, and ends them.
#[tokio::test]
async fn holds() {
    let owner = HoldOwner::random();
    let held = [Nothing.hold("k", owner, Duration::ZERO).await, Nothing.unhold("k", owner).await];
    let kinds = held.map(|answer: StoreResult<()>| answer.map_err(|e| e.kind()));
    assert_eq!(kinds, [Err(StoreErrorKind::Unsupported); 2]);
    assert_eq!(StoreError::held().kind(), StoreErrorKind::Held);
}

/// A store makes a token, and finds in it what it has put there. An error of one call may be that of many keys.
#[test]
fn tokens_and_errors() {
    let proof: [u8; 32] = [7; 32];
    let token: LeaseToken = LeaseToken::new(proof);
    assert_eq!(*token.proof(), proof);
    let cause = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let errors = vec![StoreError::new(StoreErrorKind::Unavailable, "mget failed").with_source(cause); 2];
    for error in errors {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionReset));
    }
}
