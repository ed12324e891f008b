//! What points to a cache is one.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::cache::answers::{Answers, Lookup, ShutdownReport, WarmupReport};
use crate::cache::future::CacheFuture;
use crate::cache::guard::WriteGuard;
use crate::cache::load::Body;
use crate::cache::stats::Stats;
use crate::cache::tickets::ticket::Begin;
use crate::cache::tickets::{Batch, Probe, Tickets};
use crate::cache::verbs::Cache;
use crate::error::CacheResult;
use crate::options::{ReadOptions, WriteOptions};
use crate::traits::l1::L1Stats;

macro_rules! forward {
    ($($wrapper:ty [$($relax:tt)*]),*) => {$(
        impl<K: Sync + 'static, V: Send + 'static, C: Tickets<K, V> + $($relax)*> Tickets<K, V> for $wrapper {
            #[inline]
            fn begin<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Begin<V>> {
                (**self).begin(key)
            }
            fn begin_with<'a>(&'a self, key: &'a K, options: ReadOptions) -> CacheFuture<'a, Begin<V>> {
                (**self).begin_with(key, options)
            }
            #[inline]
            fn hit_or_begin<'a>(&'a self, key: &'a K) -> Probe<'a, V> {
                (**self).hit_or_begin(key)
            }
            fn begin_many<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, Batch<'a, V>> {
                (**self).begin_many(keys)
            }
            fn begin_many_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Batch<'a, V>> {
                (**self).begin_many_with(keys, options)
            }
        }

        impl<K: Sync + 'static, V: Send + 'static, C: Cache<K, V> + $($relax)*> Cache<K, V> for $wrapper {
            #[inline]
            fn get<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<Option<V>>> {
                (**self).get(key)
            }
            #[inline]
            fn get_with<'a>(&'a self, key: &'a K, options: ReadOptions) -> CacheFuture<'a, CacheResult<Option<V>>> {
                (**self).get_with(key, options)
            }
            #[inline]
            fn try_get(&self, key: &K) -> Lookup<V> {
                (**self).try_get(key)
            }
            fn lookup<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Lookup<V>> {
                (**self).lookup(key)
            }
            fn mget<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, Answers<'a, K, V>> {
                (**self).mget(keys)
            }
            fn mget_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Answers<'a, K, V>> {
                (**self).mget_with(keys, options)
            }
            #[inline]
            fn get_or_load_pinned<'a>(&'a self, key: &'a K, body: Body<'a, V>) -> CacheFuture<'a, CacheResult<Option<V>>>
            where
                V: Clone,
            {
                (**self).get_or_load_pinned(key, body)
            }
            fn set<'a>(&'a self, key: &'a K, value: Option<V>) -> CacheFuture<'a, CacheResult<()>> {
                (**self).set(key, value)
            }
            fn set_with<'a>(&'a self, key: &'a K, value: Option<V>, o: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
                (**self).set_with(key, value, o)
            }
            fn mset<'a>(&'a self, items: Vec<(K, Option<V>)>) -> CacheFuture<'a, CacheResult<()>>
            where
                K: Send,
            {
                (**self).mset(items)
            }
            fn mset_with<'a>(&'a self, items: Vec<(K, Option<V>)>, o: WriteOptions) -> CacheFuture<'a, CacheResult<()>>
            where
                K: Send,
            {
                (**self).mset_with(items, o)
            }
            fn del<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<()>> {
                (**self).del(key)
            }
            fn mdel<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, CacheResult<()>> {
                (**self).mdel(keys)
            }
            fn write_guard<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<WriteGuard>> {
                (**self).write_guard(key)
            }
            fn clear(&self) -> CacheFuture<'_, CacheResult<()>> {
                (**self).clear()
            }
            fn warmup<'a>(&'a self, keys: Vec<K>) -> CacheFuture<'a, WarmupReport>
            where
                K: Send,
            {
                (**self).warmup(keys)
            }
            fn shutdown(&self, deadline: Duration) -> CacheFuture<'_, ShutdownReport> {
                (**self).shutdown(deadline)
            }
            fn stats(&self) -> Stats {
                (**self).stats()
            }
            fn l1_stats(&self) -> L1Stats {
                (**self).l1_stats()
            }
        }
    )*};
}

forward!(&C [?Sized], Arc<C> [?Sized], Box<C> [?Sized], LazyLock<C> []);
