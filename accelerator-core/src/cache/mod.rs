//! `Cache<K, V>`: the object-safe face of a cache, for macros, services that don't want to name stores, and fakes.

mod busy;
mod future;

use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::error::{CacheError, CacheResult};
use crate::options::{ReadOptions, WriteOptions};
use crate::traits::loader::Loaded;

pub use busy::BusyOps;
pub(crate) use busy::Waiting;
pub use future::{BoxFuture, CacheFuture};

/// What [`Cache::begin`] found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Begin<V> {
    /// In the cache; `None` is known to be absent.
    Hit(Option<V>),
    /// Not there, and it is the caller's turn to load: give the result to the ticket.
    Lead(LoadTicket<V>),
    /// Somebody else's load of this key, which the caller waited for, failed.
    Failed(CacheError),
    /// The cache can't take part (it is shut down): load without it.
    Unavailable(CacheError),
}

/// What [`Cache::begin_many`] found. A key that is led or followed is there once, at the index of its first occurrence.
///
/// ```
/// use accelerator_core::{Batch, Begin, Cache};
/// # async fn from_database(id: u64) -> Option<String> { Some(id.to_string()) }
///
/// /// The names of `ids`, in which each id is once.
/// async fn names(cache: &dyn Cache<u64, String>, ids: &[u64]) -> Vec<Option<String>> {
///     let mut names = vec![None; ids.len()];
///     let Batch { hits, led, followed, .. } = cache.begin_many(ids).await;
///     for (at, name) in hits {
///         names[at] = name;
///     }
///     for (at, ticket) in led {
///         names[at] = from_database(ids[at]).await;
///         ticket.fill(names[at].clone());
///     }
///     for (at, begin) in followed {
///         names[at] = match begin.await {
///             Begin::Hit(name) => name,
///             // The other load failed or was given up: a `Begin::Lead` dropped here passes the turn on.
///             _ => from_database(ids[at]).await,
///         };
///     }
///     names
/// }
/// ```
#[derive(Debug)]
pub struct Batch<'a, V> {
    /// In the cache; a key that was asked for twice may be here twice.
    pub hits: Vec<(usize, Option<V>)>,
    /// The caller's turn to load. Of these another process may load some just now: see [`LoadTicket::is_busy`].
    pub led: Vec<(usize, LoadTicket<V>)>,
    /// Somebody else is loading; await these after the led ones are filled, never before.
    pub followed: Vec<(usize, CacheFuture<'a, Begin<V>>)>,
    /// The cache can't take part; the tickets do nothing.
    pub unavailable: Option<CacheError>,
}

impl<V> Default for Batch<'_, V> {
    fn default() -> Self {
        Self { hits: Vec::new(), led: Vec::new(), followed: Vec::new(), unavailable: None }
    }
}

/// What a ticket can do to its flight; implemented by the engine, and by wrappers that want to see what passes.
pub trait FlightOps<V>: Send + Sync {
    /// The load ended well.
    fn complete(self: Arc<Self>, loaded: Loaded<V>);
    /// The load failed; all who wait get `error`.
    fn fail(self: Arc<Self>, error: CacheError);
    /// The load was given up; the next who waits takes over.
    fn hand_over(self: Arc<Self>);
    /// A stale value to serve instead of the failed load; counted as served.
    fn stale(&self) -> Option<Option<V>>;
    /// Where those who wait look for the pulse of this load, to know that it is alive. The provided method says nowhere.
    fn pulse_point(&self) -> Option<crate::PulsePoint> {
        None
    }
    /// The keys of its batch that other processes load, and which of them this one is. The provided method says that it is
    /// none.
    fn busy(&self) -> Option<(Arc<dyn BusyOps<V>>, usize)> {
        None
    }
}

/// The right and the duty to load one key. Dropping it hands the load to the next who waits, also where a panic drops it.
#[must_use = "a dropped ticket gives the load up"]
pub struct LoadTicket<V>(pub(crate) Option<Arc<dyn FlightOps<V>>>);

impl<V> LoadTicket<V> {
    /// A ticket of a flight.
    pub fn new(flight: Arc<dyn FlightOps<V>>) -> Self {
        Self(Some(flight))
    }

    /// A ticket of no flight, for fakes and for caches that can't take part: filling it does nothing.
    pub fn detached() -> Self {
        Self(None)
    }

    /// Where those who wait look for the pulse of its load.
    pub(crate) fn pulse_point(&self) -> Option<crate::PulsePoint> {
        self.0.as_ref().and_then(|flight| flight.pulse_point())
    }

    /// Hands in what was loaded. It is cached unless an invalidation came since the ticket was given, and goes to all
    /// who wait.
    pub fn fill(mut self, loaded: impl Into<Loaded<V>>) {
        // Before the ticket is used up: user code, which may panic.
        let loaded = loaded.into();
        if let Some(flight) = self.0.take() {
            flight.complete(loaded);
        }
    }

    /// Says that the load failed, to all who wait. They get a stale value where the cache allows one.
    pub fn fail(mut self, error: CacheError) {
        if let Some(flight) = self.0.take() {
            flight.fail(error);
        }
    }

    pub(crate) fn flight(&self) -> Option<Arc<dyn FlightOps<V>>> {
        self.0.clone()
    }

    /// A stale value to serve because this load failed, where the cache allows that. It counts as served.
    #[must_use]
    pub fn stale(&self) -> Option<Option<V>> {
        self.0.as_ref().and_then(|flight| flight.stale())
    }
}

impl<V> Drop for LoadTicket<V> {
    fn drop(&mut self) {
        // Also by a panic, which may be of anything else in the task.
        if let Some(flight) = self.0.take() {
            flight.hand_over();
        }
    }
}

impl<V> fmt::Debug for LoadTicket<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "LoadTicket" } else { "LoadTicket(detached)" })
    }
}

/// A cache, whatever its stores. Object-safe: `Arc<dyn Cache<u64, Arc<User>>>` is what a service holds.
///
/// Required are `begin`, `set`, `del` and `clear`, so a fake for a test is short:
///
/// ```
/// use accelerator_core::{Begin, Cache, CacheFuture, CacheResult, LoadTicket, WriteOptions};
/// /// Never has anything.
/// struct Off;
/// impl Cache<u64, String> for Off {
///     fn begin<'a>(&'a self, _: &'a u64) -> CacheFuture<'a, Begin<String>> {
///         CacheFuture::ready(Begin::Lead(LoadTicket::detached()))
///     }
///     fn set<'a>(&'a self, _: &'a u64, _: Option<String>, _: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
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
pub trait Cache<K: Sync + 'static, V: Send + 'static>: Send + Sync {
    /// The value, or the right to load it, after waiting for anybody who already loads it (after
    /// `loader_timeout` one of all who wait loads as well).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing for others; a turn to load passes on.
    fn begin<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Begin<V>>;

    /// [`begin`](Cache::begin) with options; of these only `allow_stale` means something here. A cache that serves no
    /// stale values needs none of its own.
    ///
    /// # Cancel safety
    /// As `begin`.
    fn begin_with<'a>(&'a self, key: &'a K, _: ReadOptions) -> CacheFuture<'a, Begin<V>> {
        self.begin(key)
    }

    /// [`begin`](Cache::begin), with the answer of a hit by value: the way to write a cached read by hand. A hit ends
    /// here, without a future that is made, moved and dropped; `Err` holds the future for everything else, which has
    /// looked into L1 already.
    ///
    /// ```
    /// use accelerator_core::{Begin, Cache, CacheResult};
    /// # async fn from_database(id: u64) -> CacheResult<Option<String>> { Ok(Some(id.to_string())) }
    ///
    /// async fn name(cache: &dyn Cache<u64, String>, id: u64) -> CacheResult<Option<String>> {
    ///     let begun = match cache.hit_or_begin(&id) {
    ///         Ok(hit) => return Ok(hit),
    ///         Err(begin) => begin.await,
    ///     };
    ///     match begun {
    ///         Begin::Hit(value) => Ok(value),
    ///         Begin::Lead(ticket) => {
    ///             let value = from_database(id).await?;
    ///             ticket.fill(value.clone());
    ///             Ok(value)
    ///         }
    ///         Begin::Failed(error) => Err(error),
    ///         _ => from_database(id).await, // the cache can't take part
    ///     }
    /// }
    /// ```
    ///
    /// The provided method never answers by value; what it returns is right, and as fast as `begin`.
    ///
    /// # Errors
    /// None: `Err` is where to go on.
    ///
    /// # Cancel safety
    /// As `begin`.
    fn hit_or_begin<'a>(&'a self, key: &'a K) -> Result<Option<V>, CacheFuture<'a, Begin<V>>> {
        Err(self.begin(key))
    }

    /// [`begin`](Cache::begin) for many keys; waits for nobody.
    ///
    /// # Cancel safety
    /// As `begin`.
    fn begin_many<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, Batch<'a, V>> {
        self.begin_many_with(keys, ReadOptions::new())
    }

    /// [`begin_many`](Cache::begin_many) with the options of [`begin_with`](Cache::begin_with).
    ///
    /// # Cancel safety
    /// As `begin`.
    fn begin_many_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Batch<'a, V>> {
        let followed = keys.iter().enumerate().map(|(i, key)| (i, self.begin_with(key, options))).collect();
        CacheFuture::ready(Batch { followed, ..Batch::default() })
    }

    /// The value, with the cache's own loader where it has one; `None` is absent, or not cached and no loader.
    ///
    /// # Errors
    /// The loader's, where no stale value is allowed.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing for others.
    fn get<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<Option<V>>> {
        let begin = self.begin(key);
        CacheFuture::boxed(async move {
            match begin.await {
                Begin::Hit(value) => Ok(value),
                Begin::Lead(_) => Ok(None),
                Begin::Failed(e) | Begin::Unavailable(e) => Err(e),
            }
        })
    }

    /// Writes a value (`None`: known to be absent) to both levels. Takes effect when called, also if the future is
    /// dropped.
    ///
    /// # Errors
    /// `Unconfirmed` where L2 did not confirm; L1 of this node holds no older value then.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the write.
    fn set<'a>(&'a self, key: &'a K, value: Option<V>, options: WriteOptions) -> CacheFuture<'a, CacheResult<()>>;

    /// Invalidates the key in both levels. L1 is purged when the method is called.
    ///
    /// # Errors
    /// `Unconfirmed` where L2 did not confirm; this node reads past L2 for the key then.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the delete.
    fn del<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<()>>;

    /// [`set`](Cache::set) for many.
    ///
    /// # Errors
    /// The first error; the other keys were still tried.
    ///
    /// # Cancel safety
    /// As `set`, in a `LevelCache`; the provided method writes one key after another while it is polled.
    fn mset<'a>(&'a self, items: Vec<(K, Option<V>)>, options: WriteOptions) -> CacheFuture<'a, CacheResult<()>>
    where
        K: Send,
    {
        CacheFuture::boxed(async move {
            let mut first = Ok(());
            for (key, value) in items {
                first = first.and(self.set(&key, value, options).await);
            }
            first
        })
    }

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

    /// Makes everything cached so far a miss on this node.
    ///
    /// # Errors
    /// As `del`.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    fn clear(&self) -> CacheFuture<'_, CacheResult<()>>;
}

macro_rules! forward {
    ($($wrapper:ty [$($relax:tt)*]),*) => {$(
        impl<K: Sync + 'static, V: Send + 'static, C: Cache<K, V> + $($relax)*> Cache<K, V> for $wrapper {
            #[inline]
            fn begin<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Begin<V>> {
                (**self).begin(key)
            }
            fn begin_with<'a>(&'a self, key: &'a K, o: ReadOptions) -> CacheFuture<'a, Begin<V>> {
                (**self).begin_with(key, o)
            }
            #[inline]
            fn hit_or_begin<'a>(&'a self, key: &'a K) -> Result<Option<V>, CacheFuture<'a, Begin<V>>> {
                (**self).hit_or_begin(key)
            }
            fn begin_many<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, Batch<'a, V>> {
                (**self).begin_many(keys)
            }
            fn begin_many_with<'a>(&'a self, keys: &'a [K], o: ReadOptions) -> CacheFuture<'a, Batch<'a, V>> {
                (**self).begin_many_with(keys, o)
            }
            #[inline]
            fn get<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<Option<V>>> {
                (**self).get(key)
            }
            fn set<'a>(&'a self, key: &'a K, value: Option<V>, o: WriteOptions) -> CacheFuture<'a, CacheResult<()>> {
                (**self).set(key, value, o)
            }
            fn del<'a>(&'a self, key: &'a K) -> CacheFuture<'a, CacheResult<()>> {
                (**self).del(key)
            }
            fn mset<'a>(&'a self, items: Vec<(K, Option<V>)>, o: WriteOptions) -> CacheFuture<'a, CacheResult<()>>
            where
                K: Send,
            {
                (**self).mset(items, o)
            }
            fn mdel<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, CacheResult<()>> {
                (**self).mdel(keys)
            }
            fn clear(&self) -> CacheFuture<'_, CacheResult<()>> {
                (**self).clear()
            }
        }
    )*};
}

forward!(&C [?Sized], Arc<C> [?Sized], Box<C> [?Sized], LazyLock<C> []);
