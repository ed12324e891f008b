//! The object-safe face of the engine.

use std::time::Duration;

use crate::cache::{
    Answers, Batch, Begin, Body, Cache, CacheFuture, Lookup, Probe, ShutdownReport, Stats, Tickets, WarmupReport,
    WriteGuard,
};
use crate::error::{CacheError, CacheResult};
use crate::level::api::handle::LevelCache;
use crate::level::bounds::{Key, Value};
use crate::level::flight::join::Join;
use crate::level::flight::reservation::LedBy;
use crate::level::local::host::Step;
use crate::level::read::hit::Probed;
use crate::level::read::many::read_many_boxed;
use crate::level::read::one::get_missed;
use crate::level::read::pass::probe_all;
use crate::level::ticket::begin::{begin_on, get_or_load_on, look_and_begin};
use crate::level::ticket::begin_many::begin_missing;
use crate::level::ticket::hold::TicketToCome;
use crate::options::{ReadOptions, WriteOptions};
use crate::traits::l1::{L1Stats, L1Store};

impl<K: Key, V: Value, L1: L1Store<K, V>> Tickets<K, V> for LevelCache<K, V, L1> {
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
    fn hit_or_begin<'a>(&'a self, key: &'a K) -> Probe<'a, V> {
        self.probe_or(key, true, true, Probe::Hit, || Probe::Begin(self.begin_missed(key, true)))
    }

    fn begin_many_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Batch<'a, V>> {
        let mut batch = Batch { hits: Vec::with_capacity(keys.len()), ..Batch::default() };
        let options = ReadOptions { force_refresh: false, disable_load: false, ..options };
        let missing = probe_all(&self.l1, &self.local, &self.engine, keys, options, &mut batch.hits);
        let Some(missing) = missing.all() else { return CacheFuture::ready(batch) };
        begin_missing(&self.engine, keys, batch, missing, options.allow_stale)
    }
}

/// The verbs of the handle. Hits end before there is a future on the heap.
impl<K: Key, V: Value, L1: L1Store<K, V>> Cache<K, V> for LevelCache<K, V, L1> {
    #[inline]
    fn get<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<Option<V>>> {
        let missed = || CacheFuture::boxed(get_missed(&self.engine, key, ReadOptions::default()));
        self.probe_or(key, true, true, |value| CacheFuture::ready(Ok(value)), missed)
    }

    fn get_with<'a>(&'a self, key: &'a K, options: ReadOptions) -> CacheFuture<'a, CacheResult<Option<V>>> {
        if !options.force_refresh
            && let Probed::Hit(value) = self.probe(key, options.allow_stale, !options.disable_load)
        {
            return CacheFuture::ready(Ok(value));
        }
        CacheFuture::boxed(get_missed(&self.engine, key, options))
    }

    fn try_get(&self, key: &K) -> Lookup<V> {
        LevelCache::try_get(self, key)
    }

    fn lookup<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Lookup<V>> {
        match (LevelCache::try_get(self, key), &self.engine.remote) {
            (Lookup::Miss, Some(remote)) => CacheFuture::boxed(self.lookup_missed(remote, key)),
            (found, _) => CacheFuture::ready(found),
        }
    }

    fn mget<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, Answers<'a, K, V>> {
        read_many_boxed(&self.l1, &self.local, &self.engine, keys, ReadOptions::default())
    }

    fn mget_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Answers<'a, K, V>> {
        read_many_boxed(&self.l1, &self.local, &self.engine, keys, options)
    }

    fn get_or_load_pinned<'a>(&'a self, key: &'a K, body: Body<'a, V>) -> CacheFuture<'a, CacheResult<Option<V>>> {
        let missed = || CacheFuture::boxed(get_or_load_on(&self.engine, key, body));
        self.probe_or(key, true, true, |value| CacheFuture::ready(Ok(value)), missed)
    }

    fn set_with<'a>(&'a self, key: &'a K, value: Option<V>, options: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
        LevelCache::set_with(self, key, value, options)
    }

    fn mset_with<'a>(&'a self, items: Vec<(K, Option<V>)>, options: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
        LevelCache::mset_with(self, items, options)
    }

    fn del<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<()>> {
        LevelCache::del(self, key)
    }

    fn mdel<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, CacheResult<()>> {
        LevelCache::mdel(self, keys)
    }

    fn write_guard<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<WriteGuard>> {
        CacheFuture::boxed(LevelCache::write_guard(self, key))
    }

    fn clear(&self) -> CacheFuture<'_, CacheResult<()>> {
        LevelCache::clear(self)
    }

    fn warmup<'a>(&'a self, keys: Vec<K>) -> CacheFuture<'a, WarmupReport> {
        CacheFuture::boxed(LevelCache::warmup(self, keys))
    }

    fn shutdown(&self, deadline: Duration) -> CacheFuture<'_, ShutdownReport> {
        CacheFuture::boxed(LevelCache::shutdown(self, deadline))
    }

    fn stats(&self) -> Stats {
        LevelCache::stats(self)
    }

    fn l1_stats(&self) -> L1Stats {
        LevelCache::l1_stats(self)
    }
}

impl<K: Key, V: Value, L1: L1Store<K, V>> LevelCache<K, V, L1> {
    #[cold]
    #[inline(never)]
    fn begin_missed<'a>(&'a self, key: &'a K, allow_stale: bool) -> CacheFuture<'a, Begin<V>> {
        let engine = &self.engine;
        if engine.local.is_closed() {
            return CacheFuture::ready(Begin::Unavailable(CacheError::shutdown()));
        }
        engine.tend();
        match engine.local.join_reserved(key, LedBy::Ticket, true) {
            Join::Hit(value) => CacheFuture::ready(Begin::Hit(value)),
            Join::Lead(reserved) => {
                let leads = TicketToCome::new(&engine.local, key, reserved);
                match engine.remote {
                    None => CacheFuture::ready(leads.begin(None)),
                    Some(_) => CacheFuture::boxed(look_and_begin(engine, leads)),
                }
            }
            Join::Follow(flight) => CacheFuture::boxed(begin_on(engine, key, Step::Follow(flight), allow_stale, false)),
        }
    }
}
