//! The object-safe face of the engine.

use crate::cache::{Batch, Begin, Cache, CacheFuture};
use crate::error::{CacheError, CacheResult};
use crate::level::LevelCache;
use crate::level::engine::{Key, Value};
use crate::level::join::Join;
use crate::level::latent::By;
use crate::level::read::Step;
use crate::level::ticket::Leads;
use crate::options::{ReadOptions, WriteOptions};
use crate::traits::l1::L1Store;

impl<K: Key, V: Value, L1: L1Store<K, V>> Cache<K, V> for LevelCache<K, V, L1> {
    #[inline]
    fn begin<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Begin<V>> {
        match self.probe(key, true, true) {
            Some(value) => CacheFuture::ready(Begin::Hit(value)),
            None => self.begin_missed(key, true),
        }
    }

    fn begin_with<'a>(&'a self, key: &'a K, options: ReadOptions) -> CacheFuture<'a, Begin<V>> {
        match self.probe(key, options.allow_stale, true) {
            Some(value) => CacheFuture::ready(Begin::Hit(value)),
            None => self.begin_missed(key, options.allow_stale),
        }
    }

    #[inline]
    fn hit_or_begin<'a>(&'a self, key: &'a K) -> Result<Option<V>, CacheFuture<'a, Begin<V>>> {
        self.probe(key, true, true).ok_or_else(|| self.begin_missed(key, true))
    }

    fn begin_many_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Batch<'a, V>> {
        let mut batch = Batch { hits: Vec::with_capacity(keys.len()), ..Batch::default() };
        let mut missing = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            match self.probe(key, options.allow_stale, true) {
                Some(value) => batch.hits.push((i, value)),
                None => missing.push(i),
            }
        }
        if missing.is_empty() {
            return CacheFuture::ready(batch);
        }
        self.engine.begin_missing(keys, batch, missing, options.allow_stale)
    }

    #[inline]
    fn get<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<Option<V>>> {
        match self.probe(key, true, true) {
            Some(value) => CacheFuture::ready(Ok(value)),
            None => CacheFuture::boxed(self.engine.get_missed(key, ReadOptions::default())),
        }
    }

    fn set<'a>(&'a self, key: &'a K, value: Option<V>, options: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
        self.set_with(key, value, options)
    }

    fn del<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<()>> {
        LevelCache::del(self, key)
    }

    fn mset<'a>(&'a self, items: Vec<(K, Option<V>)>, options: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
        self.mset_with(items, options)
    }

    fn mdel<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, CacheResult<()>> {
        LevelCache::mdel(self, keys)
    }

    fn clear(&self) -> CacheFuture<'_, CacheResult<()>> {
        LevelCache::clear(self)
    }
}

impl<K: Key, V: Value, L1: L1Store<K, V>> LevelCache<K, V, L1> {
    #[cold]
    #[inline(never)]
    fn begin_missed<'a>(&'a self, key: &'a K, allow_stale: bool) -> CacheFuture<'a, Begin<V>> {
        let engine = &self.engine;
        if engine.is_closed() {
            return CacheFuture::ready(Begin::Unavailable(CacheError::shutdown()));
        }
        match engine.join_latent(key, By::Ticket, true) {
            Join::Hit(value) => CacheFuture::ready(Begin::Hit(value)),
            Join::Lead(latent) => {
                let leads = Leads::new(engine, key, latent);
                match engine.remote {
                    None => CacheFuture::ready(leads.begin(None)),
                    Some(_) => CacheFuture::boxed(leads.look_and_begin()),
                }
            }
            Join::Follow(flight) => CacheFuture::boxed(engine.begin_on(key, Step::Follow(flight), allow_stale)),
        }
    }
}
