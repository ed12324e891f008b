//! The verbs of a cache whose stores are not named.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::cache::answers::{Answers, Lookup, ShutdownReport, WarmupReport};
use crate::cache::future::CacheFuture;
use crate::cache::guard::WriteGuard;
use crate::cache::load::{Body, or_load};
use crate::cache::stats::Stats;
use crate::cache::tickets::Tickets;
use crate::cache::tickets::ticket::Begin;
use crate::error::{CacheError, CacheResult, LoadError};
use crate::options::{ReadOptions, WriteOptions};
use crate::traits::l1::L1Stats;
use crate::traits::loader::Loaded;

/// A cache, whatever its stores. Object-safe: `Arc<dyn Cache<u64, Arc<User>>>` is what a service holds.
///
/// Its verbs are those of [`LevelCache`](crate::LevelCache), with the same names and arguments; where that takes
/// whatever can be made into a value (`impl Into<Option<V>>`, `impl IntoIterator`), this takes `Option<V>` and `Vec`.
/// `get_or_load` is a method of `dyn Cache` itself: further down on this page.
///
/// ```
/// use accelerator_core::{Cache, CacheResult};
/// use std::sync::Arc;
///
/// struct Users {
///     names: Arc<dyn Cache<u64, String>>,
/// }
///
/// impl Users {
///     async fn name(&self, id: u64) -> CacheResult<Option<String>> {
///         self.names.get_or_load(&id, async move { Ok::<_, std::io::Error>(Some(format!("user {id}"))) }).await
///     }
///
///     async fn rename(&self, id: u64) -> CacheResult<()> {
///         // after the change of your database
///         self.names.del(&id).await
///     }
/// }
/// ```
///
/// Required are four methods: `set_with`, `del` and `clear` here, and `begin` of [`Tickets`]. So a fake for a test is
/// short:
///
/// ```
/// use accelerator_core::{Begin, Cache, CacheFuture, CacheResult, LoadTicket, Tickets, WriteOptions};
/// /// Never has anything.
/// struct Off;
/// impl Tickets<u64, String> for Off {
///     fn begin<'a>(&'a self, _: &'a u64) -> CacheFuture<'a, Begin<String>> {
///         CacheFuture::ready(Begin::Lead(LoadTicket::detached()))
///     }
/// }
/// impl Cache<u64, String> for Off {
///     fn set_with<'a>(&'a self, _: &'a u64, _: Option<String>, _: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
///         CacheFuture::ready(Ok(()))
///     }
///     fn del<'a>(&'a self, _: &'a u64) -> CacheFuture<'a, CacheResult<()>> { CacheFuture::ready(Ok(())) }
///     fn clear(&self) -> CacheFuture<'_, CacheResult<()>> { CacheFuture::ready(Ok(())) }
/// }
/// let cache: Box<dyn Cache<u64, String>> = Box::new(Off);
/// # drop(cache);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a cache",
    note = "a cache is a `LevelCache`, an `Arc<dyn Cache<K, V>>`, a reference to one, or what implements `Cache<K, V>`"
)]
pub trait Cache<K: Sync + 'static, V: Send + 'static>: Tickets<K, V> {
    /// The value, with the cache's own loader where it has one; `None` is absent, or not cached and no loader.
    ///
    /// # Errors
    /// The loader's, where no stale value is allowed.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing for others.
    fn get<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<Option<V>>> {
        self.get_with(key, ReadOptions::new())
    }

    /// [`get`](Cache::get) with options. The provided method asks [`begin_with`](Tickets::begin_with) and loads nothing, so
    /// of the options only `allow_stale` means something to it.
    ///
    /// # Errors
    /// As `get`.
    ///
    /// # Cancel safety
    /// As `get`.
    fn get_with<'a>(&'a self, key: &'a K, options: ReadOptions) -> CacheFuture<'a, CacheResult<Option<V>>> {
        self.begin_with(key, options).map(|begin| match begin {
            Begin::Hit(value) => Ok(value),
            Begin::Lead(_) => Ok(None),
            Begin::Failed(failed) => Err(failed.into_error()),
            Begin::Unavailable(error) => Err(error),
        })
    }

    /// What the cache has in this process, now. Neither waits nor loads.
    fn try_get(&self, key: &K) -> Lookup<V> {
        match self.begin(key).take_ready() {
            Some(Begin::Hit(value)) => Lookup::of(value),
            _ => Lookup::Miss,
        }
    }

    /// What the cache has, in whatever level. Never loads.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    fn lookup<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Lookup<V>> {
        self.begin(key).map(|begin| match begin {
            Begin::Hit(value) => Lookup::of(value),
            Begin::Lead(_) | Begin::Failed(_) => Lookup::Miss,
            Begin::Unavailable(_) => Lookup::Unavailable,
        })
    }

    /// [`get`](Cache::get) for many keys. The answers come in the order of `keys`, each with its own outcome.
    ///
    /// # Cancel safety
    /// As `get`.
    fn mget<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, Answers<'a, K, V>> {
        self.mget_with(keys, ReadOptions::new())
    }

    /// [`mget`](Cache::mget) with options. The provided method reads one key after another.
    ///
    /// # Cancel safety
    /// As `get`.
    fn mget_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Answers<'a, K, V>> {
        CacheFuture::boxed(async move {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                // Not begun before its turn: a read that has begun may be what the one before it waits for.
                values.push(self.get_with(key, options).await);
            }
            Answers { keys, values }
        })
    }

    /// The cached value, or the answer of `body`, which runs in the caller's own future and at most once for all who ask
    /// for the key at the same time. `get_or_load` of `dyn Cache` is the same for a body of any type; this is
    /// the form of it that a trait object can have.
    ///
    /// ```
    /// use accelerator_core::{Cache, CacheResult, Loaded};
    /// use std::pin::pin;
    ///
    /// async fn name(cache: &impl Cache<u64, String>, id: u64) -> CacheResult<Option<String>> {
    ///     let body = pin!(async move { Ok(Loaded::value(format!("user {id}"))) });
    ///     cache.get_or_load_pinned(&id, body).await
    /// }
    /// ```
    ///
    /// # Errors
    /// The body's error (as `Loader`, with its type), shared with those who waited. A stale value is served instead where
    /// the cache allows it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the body where it is; if it had begun, the next who waits runs its own.
    fn get_or_load_pinned<'a>(&'a self, key: &'a K, body: Body<'a, V>) -> CacheFuture<'a, CacheResult<Option<V>>>
    where
        V: Clone,
    {
        or_load(self.begin(key), body)
    }

    /// Writes a value (`None`: known to be absent) to both levels. Takes effect when called, also if the future is
    /// dropped.
    ///
    /// # Errors
    /// `Unconfirmed` where L2 did not confirm, and L1 of this node holds no older value then; or where the bus did not.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the write.
    fn set<'a>(&'a self, key: &'a K, value: Option<V>) -> CacheFuture<'a, CacheResult<()>> {
        self.set_with(key, value, WriteOptions::new())
    }

    /// [`set`](Cache::set) with options.
    ///
    /// # Errors
    /// As `set`.
    ///
    /// # Cancel safety
    /// As `set`.
    fn set_with<'a>(&'a self, key: &'a K, value: Option<V>, options: WriteOptions) -> CacheFuture<'a, CacheResult<()>>;

    /// [`set`](Cache::set) for many.
    ///
    /// # Errors
    /// The first error; the other keys were still tried.
    ///
    /// # Cancel safety
    /// As `set`, in a `LevelCache`; the provided method writes one key after another while it is polled.
    fn mset<'a>(&'a self, items: Vec<(K, Option<V>)>) -> CacheFuture<'a, CacheResult<()>>
    where
        K: Send,
    {
        self.mset_with(items, WriteOptions::new())
    }

    /// [`mset`](Cache::mset) with options.
    ///
    /// # Errors
    /// As `mset`.
    ///
    /// # Cancel safety
    /// As `mset`.
    fn mset_with<'a>(&'a self, items: Vec<(K, Option<V>)>, options: WriteOptions) -> CacheFuture<'a, CacheResult<()>>
    where
        K: Send,
    {
        CacheFuture::boxed(async move {
            let mut first = Ok(());
            for (key, value) in items {
                first = first.and(self.set_with(&key, value, options).await);
            }
            first
        })
    }

    /// Invalidates the key in both levels. L1 is purged when the method is called.
    ///
    /// # Errors
    /// `Unconfirmed` where L2 did not confirm, and this node reads past L2 for the key then; or where the bus did not.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the delete.
    fn del<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<()>>;

    /// [`del`](Cache::del) for many.
    ///
    /// # Errors
    /// The first error; the other keys were still tried.
    ///
    /// # Cancel safety
    /// As `del`.
    fn mdel<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, CacheResult<()>> {
        let all: Vec<_> = keys.iter().map(|key| self.del(key)).collect();
        CacheFuture::boxed(async move {
            let mut first = Ok(());
            for one in all {
                first = first.and(one.await);
            }
            first
        })
    }

    /// Announces a change of the source, for writers that want no window at all; see
    /// [`LevelCache::write_guard`](crate::LevelCache::write_guard). The provided method has no guards; a fake may answer
    /// [`WriteGuard::detached`].
    ///
    /// # Errors
    /// `InvalidConfig` where the cache has no guards. `Unconfirmed` where L2 or the bus did not confirm: nothing has been
    /// changed.
    ///
    /// # Cancel safety
    /// Dropping the future may leave a hold, which ends by itself after 10 s.
    fn write_guard<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<WriteGuard>> {
        let _ = key;
        CacheFuture::ready(Err(CacheError::config("write_guard", "none", "this cache has no guards: call del(..)")))
    }

    /// Makes everything cached so far a miss on this node, and with a bus on those that listen.
    ///
    /// # Errors
    /// As `del`.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    fn clear(&self) -> CacheFuture<'_, CacheResult<()>>;

    /// Reads `keys`, so that they are in L1 afterwards (as far as it has room).
    ///
    /// # Cancel safety
    /// Dropping the future ends it; a load that has begun goes on.
    fn warmup<'a>(&'a self, keys: Vec<K>) -> CacheFuture<'a, WarmupReport>
    where
        K: Send,
    {
        CacheFuture::boxed(async move {
            let answers = self.mget(&keys).await;
            let failed = answers.values.iter().filter(|answer| answer.is_err()).count();
            WarmupReport { ready: answers.len() - failed, failed }
        })
    }

    /// Takes no new work and waits for what is in progress, at most until `deadline` has passed. The provided method has
    /// nothing to wait for.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the cache shut down.
    fn shutdown(&self, deadline: Duration) -> CacheFuture<'_, ShutdownReport> {
        let _ = deadline;
        CacheFuture::ready(ShutdownReport::default())
    }

    /// What the cache has done since it was built. The provided method counts nothing.
    fn stats(&self) -> Stats {
        Stats::default()
    }

    /// What its L1 store knows about itself. The provided method knows nothing.
    fn l1_stats(&self) -> L1Stats {
        L1Stats::default()
    }
}

impl<K: Sync + 'static, V: Clone + Send + 'static> dyn Cache<K, V> + '_ {
    /// The cached value, or the answer of `body`, which runs in the caller's own future and at most once for all who ask
    /// for the key at the same time. `Ok(None)` from the body is cached as absent. A hit allocates nothing.
    ///
    /// ```
    /// use accelerator_core::{Cache, CacheResult};
    /// use std::sync::Arc;
    ///
    /// async fn name(cache: &Arc<dyn Cache<u64, String>>, id: u64) -> CacheResult<Option<String>> {
    ///     cache.get_or_load(&id, async move { Ok::<_, std::io::Error>(Some(format!("user {id}"))) }).await
    /// }
    /// ```
    ///
    /// # Errors
    /// The body's error (as `Loader`, with its type), shared with those who waited. A stale value is served instead where
    /// the cache allows it. What else a cache has to say, see [`LevelCache::get_or_load`](crate::LevelCache::get_or_load).
    ///
    /// # Cancel safety
    /// Dropping the future drops the body; if it was running, the next who waits runs its own.
    pub async fn get_or_load<T, E>(
        &self,
        key: &K,
        body: impl Future<Output = Result<T, E>> + Send,
    ) -> CacheResult<Option<V>>
    where
        T: Into<Loaded<V>>,
        E: Into<LoadError>,
    {
        let body = pin!(async move { body.await.map(Into::into).map_err(Into::into) });
        self.get_or_load_pinned(key, body).await
    }
}
