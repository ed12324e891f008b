//! The object-safe face of the engine.

use crate::cache::{Batch, Begin, Cache, CacheFuture};
use crate::error::{CacheError, CacheResult};
use crate::level::api::handle::LevelCache;
use crate::level::bounds::{Key, Value};
use crate::level::flight::join::Join;
use crate::level::flight::reservation::LedBy;
use crate::level::local::host::Step;
use crate::level::read::one::get_missed;
use crate::level::read::pass::probe_all;
use crate::level::ticket::begin::{begin_on, look_and_begin};
use crate::level::ticket::begin_many::begin_missing;
use crate::level::ticket::hold::TicketToCome;
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
        let options = ReadOptions { force_refresh: false, disable_load: false, ..options };
        let missing = probe_all(&self.l1, &self.local, &self.engine, keys, options, &mut batch.hits);
        let Some(missing) = missing.all() else { return CacheFuture::ready(batch) };
        begin_missing(&self.engine, keys, batch, missing, options.allow_stale)
    }

    #[inline]
    fn get<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<Option<V>>> {
        let missed = || CacheFuture::boxed(get_missed(&self.engine, key, ReadOptions::default()));
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
        if engine.local.is_closed() {
            return CacheFuture::ready(Begin::Unavailable(CacheError::shutdown()));
        }
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
