//! `Tickets<K, V>`: the protocol of those who load themselves. A read ends in a hit, or in the right to load.

pub(super) mod busy;
pub(super) mod failed;
pub(super) mod ticket;

use crate::cache::future::CacheFuture;
use crate::cache::tickets::ticket::{Begin, LoadTicket};
use crate::error::CacheError;
use crate::options::ReadOptions;

/// What [`Tickets::hit_or_begin`] found.
#[derive(Debug)]
#[must_use = "a turn to load may be in it"]
pub enum Probe<'a, V> {
    /// In L1; `None` is known to be absent.
    Hit(Option<V>),
    /// Not there: await this. It has looked into L1 already.
    Begin(CacheFuture<'a, Begin<V>>),
}

/// What [`Tickets::begin_many`] found. A key that is led or followed is there once, at the index of its first occurrence.
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

/// The ticket protocol of a cache: what callers use who load with a future of their own, and what the attributes and
/// [`memoize`](crate::memoize) are made of. Services call the verbs of [`Cache`](crate::Cache) instead.
///
/// `begin` is required. It says what the cache has; and who has nothing to share (a fake for a test) gives
/// [`LoadTicket::detached`]:
///
/// ```
/// use accelerator_core::{Begin, CacheFuture, LoadTicket, Tickets};
/// use std::collections::HashMap;
///
/// struct Fake(HashMap<u64, String>);
///
/// impl Tickets<u64, String> for Fake {
///     fn begin<'a>(&'a self, key: &'a u64) -> CacheFuture<'a, Begin<String>> {
///         CacheFuture::ready(match self.0.get(key) {
///             Some(value) => Begin::Hit(Some(value.clone())),
///             None => Begin::Lead(LoadTicket::detached()),
///         })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` gives no tickets, so it is not a cache",
    note = "beside `Cache<K, V>` a cache implements `Tickets<K, V>`, whose `begin` says what it has"
)]
pub trait Tickets<K: Sync + 'static, V: Send + 'static>: Send + Sync {
    /// The value, or the right to load it, after waiting for anybody who already loads it (after
    /// `loader_timeout` one of all who wait loads as well).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing for others; a turn to load passes on.
    fn begin<'a>(&'a self, key: &'a K) -> CacheFuture<'a, Begin<V>>;

    /// [`begin`](Tickets::begin) with options; of these only `allow_stale` means something here. A cache that serves no
    /// stale values needs none of its own.
    ///
    /// # Cancel safety
    /// As `begin`.
    fn begin_with<'a>(&'a self, key: &'a K, _: ReadOptions) -> CacheFuture<'a, Begin<V>> {
        self.begin(key)
    }

    /// [`begin`](Tickets::begin), with the answer of a hit by value: the way to write a cached read by hand. A hit ends
    /// here, without a future that is made, moved and dropped.
    ///
    /// ```
    /// use accelerator_core::{Begin, Cache, CacheResult, Probe};
    /// # async fn from_database(id: u64) -> CacheResult<Option<String>> { Ok(Some(id.to_string())) }
    ///
    /// async fn name(cache: &dyn Cache<u64, String>, id: u64) -> CacheResult<Option<String>> {
    ///     let begun = match cache.hit_or_begin(&id) {
    ///         Probe::Hit(hit) => return Ok(hit),
    ///         Probe::Begin(begin) => begin.await,
    ///     };
    ///     match begun {
    ///         Begin::Hit(value) => Ok(value),
    ///         Begin::Lead(ticket) => {
    ///             let value = from_database(id).await?;
    ///             ticket.fill(value.clone());
    ///             Ok(value)
    ///         }
    ///         Begin::Failed(failed) => Err(failed.into_error()),
    ///         _ => from_database(id).await, // the cache can't take part
    ///     }
    /// }
    /// ```
    ///
    /// The provided method never answers by value; what it returns is right, and as fast as `begin`.
    ///
    /// # Cancel safety
    /// As `begin`.
    fn hit_or_begin<'a>(&'a self, key: &'a K) -> Probe<'a, V> {
        Probe::Begin(self.begin(key))
    }

    /// [`begin`](Tickets::begin) for many keys; waits for nobody.
    ///
    /// # Cancel safety
    /// As `begin`.
    fn begin_many<'a>(&'a self, keys: &'a [K]) -> CacheFuture<'a, Batch<'a, V>> {
        self.begin_many_with(keys, ReadOptions::new())
    }

    /// [`begin_many`](Tickets::begin_many) with the options of [`begin_with`](Tickets::begin_with).
    ///
    /// # Cancel safety
    /// As `begin`.
    fn begin_many_with<'a>(&'a self, keys: &'a [K], options: ReadOptions) -> CacheFuture<'a, Batch<'a, V>> {
        let followed = keys.iter().enumerate().map(|(i, key)| (i, self.begin_with(key, options))).collect();
        CacheFuture::ready(Batch { followed, ..Batch::default() })
    }
}
