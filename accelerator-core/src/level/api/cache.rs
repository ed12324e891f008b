//! The object-safe face of the engine.

use crate::cache::{Batch, Begin, Cache, CacheFuture};
use crate::entry::Entry;
use crate::error::{CacheError, CacheResult};
use crate::level::LevelCache;
use crate::level::engine::{Key, Value};
use crate::level::flight::join::Join;
use crate::level::flight::reservation::By;
use crate::level::read::many::Missing;
use crate::level::read::one::Step;
use crate::level::stats::counters::Count;
use crate::level::ticket::hold::Leads;
use crate::options::{ReadOptions, WriteOptions};
use crate::traits::l1::L1Store;

impl<K: Key, V: Value, L1: L1Store<K, V>> Cache<K, V> for LevelCache<K, V, L1> {
    #[inline]
    fn begin<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Begin<V>> {
        let hit = |value| CacheFuture::ready(Begin::Hit(value));
        self.probe_or(key, true, true, hit, || self.begin_missed(key, true))
    }

    fn begin_with<'a>(&'a self, key: &'a K, options: ReadOptions) -> CacheFuture<'a, Begin<V>> {
        let hit = |value| CacheFuture::ready(Begin::Hit(value));
        self.probe_or(key, options.allow_stale, true, hit, || self.begin_missed(key, options.allow_stale))
    }

    #[inline]
    fn hit_or_begin<'a>(&'a self, key: &'a K) -> Result<Option<V>, CacheFuture<'a, Begin<V>>> {
        self.probe_or(key, true, true, Ok, || Err(self.begin_missed(key, true)))
    }

    fn begin_many_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Batch<'a, V>> {
        let mut batch = Batch { hits: Vec::with_capacity(keys.len()), ..Batch::default() };
        let mut missing = Vec::new();
        // As in `mget`: one clock, and the counters once.
        let (now, generation) = (self.engine.clock.now(), self.engine.generation());
        let (mut absent, mut uneasy) = (0, 0);
        for (at, key) in keys.iter().enumerate() {
            // Where one key is missing, others are likely to be.
            let seen = (!missing.is_empty()).then(|| self.engine.table.see(key));
            let found = self.l1.get(key);
            if let Some(entry) = &found
                && entry.is_calm(now)
                && entry.generation() == generation
            {
                absent += u64::from(entry.value().is_none());
                batch.hits.push((at, found.and_then(Entry::into_value)));
                continue;
            }
            uneasy += 1;
            match found.and_then(|entry| self.engine.uneasy(key, entry, options.allow_stale, true)) {
                Some(value) => batch.hits.push((at, value)),
                None => {
                    if missing.is_empty() {
                        missing.reserve(keys.len() - at);
                    }
                    missing.push(Missing { at, seen });
                }
            }
        }
        self.engine.counters.add(Count::L1Hit, keys.len() as u64 - uneasy - absent);
        self.engine.counters.add(Count::L1Absent, absent);
        if missing.is_empty() {
            return CacheFuture::ready(batch);
        }
        self.engine.begin_missing(keys, batch, missing, options.allow_stale)
    }

    #[inline]
    fn get<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<Option<V>>> {
        let missed = || CacheFuture::boxed(self.engine.get_missed(key, ReadOptions::default()));
        self.probe_or(key, true, true, |value| CacheFuture::ready(Ok(value)), missed)
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
            Join::Follow(flight) => CacheFuture::boxed(engine.begin_on(key, Step::Follow(flight), allow_stale, false)),
        }
    }
}
