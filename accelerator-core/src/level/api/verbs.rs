//! The public verbs.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::cache::{Answers, CacheFuture, Lookup, ShutdownReport, Stats, WarmupReport, WriteGuard};
use crate::error::{CacheResult, LoadError};
use crate::inside;
use crate::level::api::handle::LevelCache;
use crate::level::api::shutdown::shut;
use crate::level::bounds::{Key, Value};
use crate::level::local::Local;
use crate::level::local::registration::Registration;
use crate::level::read::hit::Probed;
use crate::level::read::many::read_many;
use crate::level::read::one::get_missed;
use crate::level::remote::Remote;
use crate::level::remote::interpret::Found;
use crate::level::ticket::begin::get_or_load_on;
use crate::level::write::delete::{clear_all, delete};
use crate::level::write::guard::hold;
use crate::level::write::set::write;
use crate::options::{ReadOptions, WriteOptions};
use crate::traits::l1::{L1Stats, L1Store};
use crate::traits::loader::Loaded;

impl<K: Key, V: Value, L1: L1Store<K, V>> LevelCache<K, V, L1> {
    /// The value: from L1, else from L2, else from the loader. `None`: the source has none; or, without a loader,
    /// neither level has it. Concurrent calls for one key share one load.
    ///
    /// # Errors
    /// The loader's error, timeout or panic, unless a stale value may be served; `Panic` where a `Clone`, a weigher or the
    /// L1 store panicked; a failing L2 is a miss. `NoRuntime`
    /// where a load suspends outside tokio. `Shutdown` after `shutdown`, where L1 has no answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing for others, and a load that has begun goes on.
    #[inline]
    pub async fn get(&self, key: &K) -> CacheResult<Option<V>> {
        // Not one `match`: what it looks at would be kept across the await, in the future.
        if let Probed::Hit(value) = self.probe(key, true, true) {
            return Ok(value);
        }
        get_missed(&self.engine, key, ReadOptions::default()).await
    }

    /// [`get`](Self::get) with options.
    ///
    /// # Errors
    /// As `get`.
    ///
    /// # Cancel safety
    /// As `get`.
    #[inline]
    pub async fn get_with(&self, key: &K, options: ReadOptions) -> CacheResult<Option<V>> {
        if !options.force_refresh
            && let Probed::Hit(value) = self.probe(key, options.allow_stale, !options.disable_load)
        {
            return Ok(value);
        }
        get_missed(&self.engine, key, options).await
    }

    /// What L1 has, now. Neither waits nor loads, nor starts a refresh.
    #[inline]
    pub fn try_get(&self, key: &K) -> Lookup<V> {
        match self.probe(key, true, false) {
            Probed::Hit(value) => Lookup::of(value),
            Probed::Miss => Lookup::Miss,
        }
    }

    /// What the two levels have. Never loads, starts no refresh, and joins no load.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn lookup(&self, key: &K) -> Lookup<V> {
        if let Probed::Hit(value) = self.probe(key, true, false) {
            return Lookup::of(value);
        }
        let Some(remote) = &self.engine.remote else { return Lookup::Miss };
        Box::pin(self.lookup_missed(remote, key)).await
    }

    /// [`lookup`](Self::lookup) of what L1 does not have.
    pub(super) fn lookup_missed<'a>(
        &'a self,
        remote: &'a Arc<Remote<K, V>>,
        key: &'a K,
    ) -> impl Future<Output = Lookup<V>> + Send + 'a {
        self.local.tasks.inside(self.lookup_l2(remote, key))
    }

    async fn lookup_l2(&self, remote: &Arc<Remote<K, V>>, key: &K) -> Lookup<V> {
        let engine = &self.engine;
        if engine.local.is_closed() {
            return Lookup::Unavailable;
        }
        engine.tend();
        // Registered before the read, as every backfill is.
        let mut slot = Registration::new(engine.local.clone(), key.clone());
        let name = remote.wire.name(key);
        match remote.get_for_read(key, &name).await {
            Found::Hit(found) if found.until.is_fresh(engine.local.now(), 0) => {
                // The answer stands, whatever panics on its way into L1.
                let answer = Lookup::of(found.value.clone());
                let _ = Local::<K, V>::caught("a weigher or the L1 store", || slot.backfill(found));
                answer
            }
            Found::Nothing { fill: false } => Lookup::Unavailable,
            _ => Lookup::Miss,
        }
    }

    /// [`get`](Self::get) for many keys: one pass over L1, one L2 read and one batch load for what is missing (each in
    /// chunks of `max_batch`, one after another). Duplicates cost nothing. The answers come in the order of `keys`, each
    /// with its own outcome. A `get` of a key in a later chunk waits for the chunks before it.
    ///
    /// # Cancel safety
    /// As `get`.
    pub async fn mget<'k>(&self, keys: &'k [K]) -> Answers<'k, K, V> {
        read_many(&self.l1, &self.local, &self.engine, keys, ReadOptions::default()).await
    }

    /// [`mget`](Self::mget) with options.
    ///
    /// # Cancel safety
    /// As `get`.
    pub async fn mget_with<'k>(&self, keys: &'k [K], options: ReadOptions) -> Answers<'k, K, V> {
        read_many(&self.l1, &self.local, &self.engine, keys, options).await
    }

    /// The cached value, or the answer of `body`, which runs in the caller's own future and at most once for all who
    /// ask for the key at the same time. `Ok(None)` from the body is cached as absent.
    ///
    /// # Errors
    /// The body's error (as `Loader`, with its type), shared with those who waited; `Timeout` after `loader_timeout`
    /// (outside a runtime a body has no limit); `Panic` of somebody else's body; `Shutdown` after `shutdown`. A stale
    /// value is served instead where `stale_on_error` allows it.
    ///
    /// # Cancel safety
    /// Dropping the future drops the body; if it was running, the next who waits runs its own.
    pub async fn get_or_load<T, E, F>(&self, key: &K, body: F) -> CacheResult<Option<V>>
    where
        F: Future<Output = Result<T, E>>,
        T: Into<Loaded<V>>,
        E: Into<LoadError>,
    {
        if let Probed::Hit(value) = self.probe(key, true, true) {
            return Ok(value);
        }
        let mut missed = pin!(get_or_load_on(&self.engine, key, body));
        poll_fn(|cx| poll_apart(missed.as_mut(), cx)).await
    }

    /// Writes a value (or `None`: known to be absent) to both levels. Takes effect when called, also if the future is
    /// dropped. Prefer [`del`](Self::del) after a change of the source: two nodes that `set` are not ordered. Where a write
    /// guard holds the key, of this node or another, neither level keeps the value: the older one goes, and that is all.
    ///
    /// # Errors
    /// `Unconfirmed` where L2 did not confirm: L1 of this node then holds no older value, and this node reads past L2
    /// for the key; or where the bus did not: other nodes may have it in their L1. `Codec` where the value can't be
    /// encoded, or is larger than L2 takes: nothing has changed. `NoRuntime` outside a runtime, where there is an L2 or a
    /// bus. `Panic` where a weigher or the L1 store panicked: L1 has nothing for the key, and L2 the new value. `Shutdown`
    /// after `shutdown`: L1 of this node holds no older value then.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the write.
    pub fn set(&self, key: &K, value: impl Into<Option<V>>) -> CacheFuture<'static, CacheResult<()>> {
        self.set_with(key, value, WriteOptions::default())
    }

    /// [`set`](Self::set) with options.
    ///
    /// # Errors
    /// As `set`.
    ///
    /// # Cancel safety
    /// As `set`.
    pub fn set_with(
        &self,
        key: &K,
        value: impl Into<Option<V>>,
        options: WriteOptions,
    ) -> CacheFuture<'static, CacheResult<()>> {
        write(&self.engine, "set", vec![(key.clone(), value.into())], options)
    }

    /// [`set`](Self::set) for many keys, one L2 write per `max_batch`. Of duplicates the last one counts.
    ///
    /// # Errors
    /// As `set`. `Codec`, for any of the values: nothing has changed. Else the first error; the other keys were still
    /// written.
    ///
    /// # Cancel safety
    /// As `set`.
    pub fn mset(&self, items: impl IntoIterator<Item = (K, Option<V>)>) -> CacheFuture<'static, CacheResult<()>> {
        self.mset_with(items, WriteOptions::default())
    }

    /// [`mset`](Self::mset) with options.
    ///
    /// # Errors
    /// As `mset`.
    ///
    /// # Cancel safety
    /// As `set`.
    pub fn mset_with(
        &self,
        items: impl IntoIterator<Item = (K, Option<V>)>,
        options: WriteOptions,
    ) -> CacheFuture<'static, CacheResult<()>> {
        write(&self.engine, "mset", items.into_iter().collect(), options)
    }

    /// Invalidates the key in both levels: no read of this node that starts after it was acknowledged gets an older
    /// value, and with a [bus](crate::LevelCacheBuilder::bus) none of another node once the message has arrived there. L1 is
    /// purged when the method is called.
    ///
    /// # Errors
    /// `Unconfirmed` where L2 did not confirm, and this node reads past L2 for the key then; or where the bus did not, and
    /// the news is queued. `NoRuntime` outside a runtime, where there is an L2 or a bus. `Shutdown` after `shutdown`: L1 is
    /// purged all the same, L2 is not.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the delete.
    pub fn del(&self, key: &K) -> CacheFuture<'static, CacheResult<()>> {
        delete(&self.engine, "del", vec![key.clone()])
    }

    /// [`del`](Self::del) for many keys, one L2 delete per `max_batch`.
    ///
    /// # Errors
    /// The first error; the other keys were still tried.
    ///
    /// # Cancel safety
    /// As `del`.
    pub fn mdel(&self, keys: &[K]) -> CacheFuture<'static, CacheResult<()>> {
        delete(&self.engine, "mdel", keys.to_vec())
    }

    /// Announces a change of the source, for writers that want no window at all: after a `del` alone, a crash between
    /// the change and the `del` would leave the old value in L2 until its TTL is over.
    ///
    /// ```
    /// # use accelerator_core::{CacheError, LevelCache};
    /// # async fn commit() {}
    /// # async fn rename(cache: LevelCache<u64, String>) -> Result<(), CacheError> {
    /// let guard = cache.write_guard(&7).await?;
    /// commit().await; // your change of the row
    /// guard.finish().await
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidConfig` where L2 has no leases, or there is none. `Unconfirmed` where L2 did not confirm: nothing is held
    /// for sure, and nothing has been changed; or where the bus did not confirm the hold, and it is ended. `Shutdown` after
    /// `shutdown`.
    ///
    /// # Cancel safety
    /// Dropping the future may leave a hold. It is ended in the background, and by itself after 10 s.
    pub async fn write_guard(&self, key: &K) -> CacheResult<WriteGuard> {
        self.local.tasks.inside(hold(&self.engine, key)).await
    }

    /// Makes everything cached so far a miss for this node: all of L1, and what was written to L2 until now. With a
    /// [bus](crate::LevelCacheBuilder::bus) for all nodes that listen, too; not for one that starts later.
    ///
    /// # Errors
    /// `Unconfirmed` where the bus did not confirm: it is queued. `NoRuntime` outside a runtime, where there is a bus.
    /// `Shutdown` after `shutdown`, though L1 is cleared all the same.
    ///
    /// # Cancel safety
    /// It has happened on this node when the method returns, and others are told whether or not the future is polled.
    pub fn clear(&self) -> CacheFuture<'static, CacheResult<()>> {
        let engine = self.engine.clone();
        let clear = move || clear_all(&engine);
        if self.local.is_called() { self.local.outside("clear", clear) } else { clear() }
    }

    /// Reads `keys` in batches of `max_batch`, so that they are in L1 afterwards (as far as it has room).
    ///
    /// # Cancel safety
    /// Dropping the future ends it between batches; a batch that has begun goes on.
    pub async fn warmup(&self, keys: impl IntoIterator<Item = K>) -> WarmupReport {
        let mut report = WarmupReport::default();
        let mut keys = keys.into_iter();
        loop {
            let chunk: Vec<K> = keys.by_ref().take(self.local.policy.max_batch).collect();
            if chunk.is_empty() {
                return report;
            }
            let answers = self.mget(&chunk).await;
            let failed = answers.values.iter().filter(|answer| answer.is_err()).count();
            report.failed += failed;
            report.ready += chunk.len() - failed;
        }
    }

    /// Takes no new work and waits for loads and writes in progress, and for what L2 and the bus have yet to confirm, at
    /// most until `deadline` has passed. Afterwards an L1 hit is still answered, and all else is `Shutdown`; but a write or
    /// an invalidation, refused as it is, takes what it is about out of L1, which never answers what was replaced. With a
    /// bus nobody listens from then on, so L1 answers nothing either.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the cache shut down.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        shut(&self.engine, deadline).await
    }

    /// What the cache has done since it was built. The code of a key or value may call it; `flights` may then leave out
    /// some.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// What the L1 store knows about itself.
    ///
    /// # Panics
    /// Where the code of a value calls it; see [`Value`].
    #[must_use]
    pub fn l1_stats(&self) -> L1Stats {
        if inside::is_called() {
            inside::refuse();
        }
        // A store may evict now, and drop values under locks of its own.
        let _inside = inside::enter();
        self.local.l1.stats()
    }
}

/// Polls what a hit has no use for: it takes no registers of the hit's.
#[cold]
#[inline(never)]
fn poll_apart<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(cx)
}
