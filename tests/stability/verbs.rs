//! The signatures of the verbs, as coercions: one that changes does not compile.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use accelerator::stores::MokaL1;
use accelerator::{
    Answers, Batch, Begin, Body, BoxFuture, BusHealth, BusState, Cache, CacheError, CacheFuture, CacheResult,
    FailedLoad, L1Stats, L2Errors, LevelCache, LoadTicket, Loaded, Lookup, Probe, ReadOptions, ShutdownReport, Stats,
    StoreErrorKind, Tickets, WarmupReport, WriteGuard, WriteOptions,
};

type V = Arc<str>;
type C = LevelCache<u64, V, MokaL1<u64, V>>;
/// What services hold.
type D = Arc<dyn Cache<u64, V>>;

type One = for<'a> fn(&'a C, &'a u64) -> BoxFuture<'a, CacheResult<Option<V>>>;
type Written = CacheFuture<'static, CacheResult<()>>;

#[test]
fn reads_of_a_level_cache() {
    let _: One = |cache, key| Box::pin(cache.get(key));
    let _: for<'a> fn(&'a C, &'a u64, ReadOptions) -> BoxFuture<'a, CacheResult<Option<V>>> =
        |cache, key, options| Box::pin(cache.get_with(key, options));
    let _: fn(&C, &u64) -> Lookup<V> = C::try_get;
    let _: for<'a> fn(&'a C, &'a u64) -> BoxFuture<'a, Lookup<V>> = |cache, key| Box::pin(cache.lookup(key));
    let _: for<'a> fn(&'a C, &'a [u64]) -> BoxFuture<'a, Answers<'a, u64, V>> =
        |cache, keys| Box::pin(cache.mget(keys));
    let _: for<'a> fn(&'a C, &'a [u64], ReadOptions) -> BoxFuture<'a, Answers<'a, u64, V>> =
        |cache, keys, options| Box::pin(cache.mget_with(keys, options));
    let _: One = |cache, key| Box::pin(cache.get_or_load(key, async { Ok::<_, io::Error>(None::<V>) }));
    let _: One = |cache, key| Box::pin(cache.get_or_load(key, async { Ok::<_, CacheError>(Some(V::from("v"))) }));
}

#[test]
fn answers_of_a_batch() {
    let _: fn(&Answers<'static, u64, V>) -> usize = Answers::len;
    let _: fn(&Answers<'static, u64, V>) -> bool = Answers::is_empty;
    let _: for<'a> fn(&'a Answers<'static, u64, V>, usize) -> Option<&'a CacheResult<Option<V>>> = Answers::get;
    let _: fn(Answers<'static, u64, V>) -> Vec<CacheResult<Option<V>>> = Answers::into_results;
    let _: fn(Answers<'static, u64, V>) -> CacheResult<Vec<Option<V>>> = Answers::into_values;
    let _: fn(Answers<'static, u64, V>) -> CacheResult<HashMap<u64, Option<V>>> = Answers::into_map;
}

#[test]
fn writes_of_a_level_cache() {
    let _: fn(&C, &u64, V) -> Written = C::set;
    let _: fn(&C, &u64, Option<V>) -> Written = C::set;
    let _: fn(&C, &u64, Option<V>, WriteOptions) -> Written = C::set_with;
    let _: fn(&C, Vec<(u64, Option<V>)>) -> Written = C::mset;
    let _: fn(&C, HashMap<u64, Option<V>>) -> Written = C::mset;
    let _: fn(&C, Vec<(u64, Option<V>)>, WriteOptions) -> Written = C::mset_with;
    let _: fn(&C, &u64) -> Written = C::del;
    let _: fn(&C, &[u64]) -> Written = C::mdel;
    let _: fn(&C) -> Written = C::clear;
    let _: for<'a> fn(&'a C, &'a u64) -> BoxFuture<'a, CacheResult<WriteGuard>> =
        |cache, key| Box::pin(cache.write_guard(key));
    let _: fn(WriteGuard) -> Written = WriteGuard::finish;
}

#[test]
fn the_life_of_a_level_cache() {
    let _: for<'a> fn(&'a C, Vec<u64>) -> BoxFuture<'a, WarmupReport> = |cache, keys| Box::pin(cache.warmup(keys));
    let _: for<'a> fn(&'a C, Duration) -> BoxFuture<'a, ShutdownReport> = |cache, by| Box::pin(cache.shutdown(by));
    let _: fn(&C) -> Stats = C::stats;
    let _: fn(&C) -> Option<BusHealth> = C::bus_health;
    let _: fn(&C) -> L1Stats = C::l1_stats;
    let _: fn(&C) -> C = C::clone;
    let _: fn(C) -> D = |cache| Arc::new(cache);
}

#[test]
fn options() {
    let _: fn() -> ReadOptions = ReadOptions::new;
    let _: fn(ReadOptions, bool) -> ReadOptions = ReadOptions::allow_stale;
    let _: fn(ReadOptions, bool) -> ReadOptions = ReadOptions::disable_load;
    let _: fn(ReadOptions, bool) -> ReadOptions = ReadOptions::force_refresh;
    let _: fn() -> WriteOptions = WriteOptions::new;
    let _: fn(WriteOptions, Duration) -> WriteOptions = WriteOptions::ttl;
}

type Of<'a, T> = CacheFuture<'a, T>;

/// The same names as those of a `LevelCache`, and the same arguments, as far as a trait object can have them.
#[test]
fn verbs_of_any_cache() {
    let _: for<'a> fn(&'a D, &'a u64) -> Of<'a, CacheResult<Option<V>>> = D::get;
    let _: for<'a> fn(&'a D, &'a u64, ReadOptions) -> Of<'a, CacheResult<Option<V>>> = D::get_with;
    let _: fn(&D, &u64) -> Lookup<V> = D::try_get;
    let _: for<'a> fn(&'a D, &'a u64) -> Of<'a, Lookup<V>> = D::lookup;
    let _: for<'a> fn(&'a D, &'a [u64]) -> Of<'a, Answers<'a, u64, V>> = D::mget;
    let _: for<'a> fn(&'a D, &'a [u64], ReadOptions) -> Of<'a, Answers<'a, u64, V>> = D::mget_with;
    let _: for<'a> fn(&'a D, &'a u64, Body<'a, V>) -> Of<'a, CacheResult<Option<V>>> = D::get_or_load_pinned;
    let _: for<'a> fn(&'a D, &'a u64, Option<V>) -> Of<'a, CacheResult<()>> = D::set;
    let _: for<'a> fn(&'a D, &'a u64, Option<V>, WriteOptions) -> Of<'a, CacheResult<()>> = D::set_with;
    let _: for<'a> fn(&'a D, Vec<(u64, Option<V>)>) -> Of<'a, CacheResult<()>> = D::mset;
    let _: for<'a> fn(&'a D, Vec<(u64, Option<V>)>, WriteOptions) -> Of<'a, CacheResult<()>> = D::mset_with;
    let _: for<'a> fn(&'a D, &'a u64) -> Of<'a, CacheResult<()>> = D::del;
    let _: for<'a> fn(&'a D, &'a [u64]) -> Of<'a, CacheResult<()>> = D::mdel;
    let _: for<'a> fn(&'a D, &'a u64) -> Of<'a, CacheResult<WriteGuard>> = D::write_guard;
    let _: fn() -> WriteGuard = WriteGuard::detached;
    let _: for<'a> fn(&'a D) -> Of<'a, CacheResult<()>> = D::clear;
    let _: for<'a> fn(&'a D, Vec<u64>) -> Of<'a, WarmupReport> = D::warmup;
    let _: for<'a> fn(&'a D, Duration) -> Of<'a, ShutdownReport> = D::shutdown;
    let _: fn(&D) -> Stats = D::stats;
    let _: fn(&D) -> L1Stats = D::l1_stats;
}

/// Without the trait in scope, and with whatever future.
#[test]
fn get_or_load_of_any_cache() {
    type Held<'a> = &'a Arc<dyn accelerator::Cache<u64, V>>;
    type Answer<'a> = BoxFuture<'a, CacheResult<Option<V>>>;
    let _: for<'a> fn(Held<'a>, &'a u64) -> Answer<'a> =
        |cache, key| Box::pin(cache.get_or_load(key, async { Ok::<_, io::Error>(None::<V>) }));
    let _: for<'a> fn(Held<'a>, &'a u64) -> Answer<'a> =
        |cache, key| Box::pin(cache.get_or_load(key, async { Ok::<_, CacheError>(Loaded::value(V::from("v"))) }));
}

/// The ticket protocol, apart from the verbs.
#[test]
fn tickets_of_any_cache() {
    let _: for<'a> fn(&'a D, &'a u64) -> Of<'a, Begin<V>> = D::begin;
    let _: for<'a> fn(&'a D, &'a u64, ReadOptions) -> Of<'a, Begin<V>> = D::begin_with;
    let _: for<'a> fn(&'a D, &'a u64) -> Probe<'a, V> = D::hit_or_begin;
    let _: for<'a> fn(&'a D, &'a [u64]) -> Of<'a, Batch<'a, V>> = D::begin_many;
    let _: for<'a> fn(&'a D, &'a [u64], ReadOptions) -> Of<'a, Batch<'a, V>> = D::begin_many_with;
    let _: fn(LoadTicket<V>, Option<V>) = LoadTicket::fill;
    let _: fn(LoadTicket<V>, CacheError) = LoadTicket::fail;
    let _: fn(&LoadTicket<V>) -> Lookup<V> = LoadTicket::stale;
    let _: fn() -> LoadTicket<V> = LoadTicket::detached;
    let _: fn(&FailedLoad<V>) -> &CacheError = FailedLoad::error;
    let _: fn(FailedLoad<V>) -> CacheError = FailedLoad::into_error;
    let _: fn(&FailedLoad<V>) -> Lookup<V> = FailedLoad::look_again;
    let _: fn(CacheError) -> FailedLoad<V> = FailedLoad::from;
    let _: fn(Lookup<V>, CacheError) -> CacheResult<Option<V>> = Lookup::ok_or;
}

/// What was counted is read without a length.
#[test]
fn counters() {
    let stats = Stats::default();
    let _: fn(&L2Errors, StoreErrorKind) -> u64 = L2Errors::of;
    let _: fn(&L2Errors) -> u64 = L2Errors::total;
    let counted: &'static [StoreErrorKind] = StoreErrorKind::COUNTED;
    assert_eq!(stats.l2_errors.iter().map(|(kind, _)| kind).collect::<Vec<_>>(), counted);
    assert_eq!(stats.l2_errors.iter().map(|(_, n)| n).sum::<u64>(), stats.l2_errors_total());
    assert_eq!((stats.gaps.total(), stats.bus), (0, BusState::None));
}

/// A fake needs four methods, and never more.
struct Off;

impl Tickets<u64, V> for Off {
    fn begin<'a>(&'a self, _: &'a u64) -> CacheFuture<'a, Begin<V>> {
        CacheFuture::ready(Begin::Lead(LoadTicket::detached()))
    }
}

impl Cache<u64, V> for Off {
    fn set_with<'a>(&'a self, _: &'a u64, _: Option<V>, _: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
        CacheFuture::ready(Ok(()))
    }
    fn del<'a>(&'a self, _: &'a u64) -> CacheFuture<'a, CacheResult<()>> {
        CacheFuture::ready(Ok(()))
    }
    fn clear(&self) -> CacheFuture<'_, CacheResult<()>> {
        CacheFuture::boxed(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_fake_needs_four_methods() {
    let off: D = Arc::new(Off);
    assert_eq!(off.get(&1).await.unwrap(), None);
    assert_eq!(off.mget(&[1, 2]).await.into_values().unwrap(), [None, None]);
    let loaded = off.get_or_load(&1, async { Ok::<_, io::Error>(Some(V::from("loaded"))) }).await;
    assert_eq!(loaded.unwrap().as_deref(), Some("loaded"));
}
