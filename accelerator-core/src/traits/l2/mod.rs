//! L2: shared, bytes, asynchronous, fallible.

mod handle;
pub mod head;
pub(crate) mod limits;
pub(crate) mod outcomes;
pub(crate) mod unclaimed;

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{StoreError, StoreResult};
use crate::traits::bus::InvalidationBus;
use crate::traits::l2::head::{Head, Kind};
use crate::traits::l2::outcomes::Outcomes;

pub use crate::traits::l2::limits::Limits;

/// What one L2 read says where leases exist.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum L2Read {
    /// A value is there; `seen` lets the reader replace exactly this value later.
    Hit {
        /// The stored bytes.
        bytes: Bytes,
        /// Proof of what was read, for a compare-and-set refresh.
        seen: Option<LeaseToken>,
    },
    /// Nothing is there, and the caller now holds the lease: it loads and fills.
    Leased {
        /// To be given to `fill` or `release`.
        token: LeaseToken,
        /// An expired value that may be served while loading.
        stale: Option<Bytes>,
    },
    /// Nothing is there, and somebody else loads.
    Busy,
    /// A writer holds the key: load, fill nothing.
    Held,
    /// Nothing is there and no lease is granted.
    NoLease,
}

/// What became of a fill under a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filled {
    /// The value is in L2.
    Stored,
    /// The lease was gone: an invalidation or another write came first. Nothing was stored.
    Lost,
    /// The server refused (out of memory, read only). Nothing was stored.
    Refused,
}

/// An opaque proof of a lease, made and read by one backend only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken([u8; 32]);

impl LeaseToken {
    /// A token of what a backend wants to find in it later. It is `Copy`, so it has a size of its own: 32 bytes.
    #[must_use]
    pub const fn new(proof: [u8; 32]) -> Self {
        Self(proof)
    }

    /// What its backend put into it.
    #[must_use]
    pub const fn proof(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whose a hold is: one of its own for each hold, known before the store is asked. So a hold whose answer was lost can be
/// ended as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HoldOwner(pub u64);

impl HoldOwner {
    /// An owner that nobody else is.
    #[must_use]
    pub fn random() -> Self {
        Self(Head::random(Kind::Hold).nonce)
    }
}

/// A shared store of bytes: Redis, memcached, a file system.
///
/// Keys consist of `[A-Za-z0-9._~-]` and respect [`limits`](L2Store::limits). The engine puts its own time limit
/// around every call and drops the future when it is over, so an implementation needs none; it must survive being
/// dropped at any await. Values are checksummed by the engine. Batch methods answer in the order of their input and with the same length.
///
/// `get`, `set` and `del` are required; the batch methods are loops unless overridden (override them where the server
/// takes a batch in one round trip); the lease methods answer "not supported" unless overridden, together with
/// [`Limits::leases`].
///
/// The engine calls batches by their `_into` methods, which put each key's outcome into [`Outcomes`] of the caller's as
/// soon as it has come: what is there when the engine's limit is over is kept. Unless overridden they call the plain
/// method and put all in at its end. Override them where outcomes come one after another: from several servers, or in
/// several round trips; then let the plain method call them, and return [`Outcomes::ended`].
#[doc = include_str!("../../../docs/l2_store.md")]
/// Prove a store with one line: `accelerator_core::l2_laws!(my_store, MyStore::connect(..).await);`
#[async_trait]
pub trait L2Store: Send + Sync + 'static {
    /// The bytes under `key`, if any. What marks a lease or a hold is no value.
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>>;

    /// Stores `value` for `ttl`. No time is not for ever; more than the store can count is as long as it can.
    ///
    /// # Errors
    ///
    /// `Held` where a writer holds the key: nothing was stored, and nothing older is there, as after a delete.
    /// `TooLarge` for a key or a value beyond the limits, here and in all other methods: in a batch for that key alone.
    /// (A store may take what is larger than it says, if it takes it whole.)
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()>;

    /// Deletes the value or the lease of `key`; deleting what isn't there is no error. Holds stand.
    async fn del(&self, key: &str) -> StoreResult<()>;

    /// [`get`](L2Store::get) for many keys: one answer per key, in their order.
    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let mut out = Vec::with_capacity(keys.len());
        for key in keys {
            out.push(self.get(key).await);
        }
        out
    }

    /// [`mget`](L2Store::mget) that puts each outcome into `out` as soon as it has come.
    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        out.put_all(self.mget(keys).await);
    }

    /// [`set`](L2Store::set) for many keys: one answer per item, in their order.
    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let mut out = Vec::with_capacity(items.len());
        for (key, value, ttl) in items {
            out.push(self.set(key, value, ttl).await);
        }
        out
    }

    /// [`mset`](L2Store::mset) that puts each outcome into `out` as soon as it has come.
    async fn mset_into(&self, items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        out.put_all(self.mset(items).await);
    }

    /// [`del`](L2Store::del) for many keys: one answer per key, in their order.
    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let mut out = Vec::with_capacity(keys.len());
        for key in keys {
            out.push(self.del(key).await);
        }
        out
    }

    /// [`mdel`](L2Store::mdel) that puts each outcome into `out` as soon as it has come.
    async fn mdel_into(&self, keys: &[&str], out: &mut Outcomes<()>) {
        out.put_all(self.mdel(keys).await);
    }

    /// Reads `key`, or takes the lease to fill it, in one round trip. Of all who miss, one gets the lease, until it is
    /// given back, filled, deleted, or its time is over. What [`get`](L2Store::get) finds is a hit.
    ///
    /// # Cancel safety
    ///
    /// The engine drops this future at its time limit. Whoever is dropped, or answers an error, gives back what it may
    /// have been granted: else all who read the key wait for a holder that doesn't know of its lease.
    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        let _ = (key, lease);
        Err(StoreError::unsupported("get_or_lease"))
    }

    /// [`get_or_lease`](L2Store::get_or_lease) for many keys. A key named twice is leased once.
    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let mut out = Vec::with_capacity(keys.len());
        for key in keys {
            out.push(self.get_or_lease(key, lease).await);
        }
        out
    }

    /// [`mget_or_lease`](L2Store::mget_or_lease) that puts each outcome into `out` as soon as it has come.
    async fn mget_or_lease_into(&self, keys: &[&str], lease: Duration, out: &mut Outcomes<L2Read>) {
        out.put_all(self.mget_or_lease(keys, lease).await);
    }

    /// [`get`](L2Store::get), and how long ago the value was stored: at most so long, by the store's own clock. The engine
    /// calls this one where [`Limits::ages`] says so, and takes no value for younger than that, whatever the clocks of the
    /// nodes say.
    ///
    /// `None`, as provided: the store can't tell.
    async fn get_aged(&self, key: &str) -> StoreResult<(Option<Bytes>, Option<Duration>)> {
        Ok((self.get(key).await?, None))
    }

    /// [`get_or_lease`](L2Store::get_or_lease), and how long ago the value was stored, as in [`get_aged`](L2Store::get_aged).
    ///
    /// # Cancel safety
    ///
    /// As `get_or_lease`.
    async fn get_or_lease_aged(&self, key: &str, lease: Duration) -> StoreResult<(L2Read, Option<Duration>)> {
        Ok((self.get_or_lease(key, lease).await?, None))
    }

    /// Stores `value` only where the lease (or the value seen) behind `token` still stands: nothing was written, deleted
    /// or held since. A token proves one lease of one key, and nothing after a restart of the server.
    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        let _ = (key, token, value, ttl);
        Err(StoreError::unsupported("fill"))
    }

    /// [`fill`](L2Store::fill) for many keys.
    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        let mut out = Vec::with_capacity(items.len());
        for (key, token, value, ttl) in items {
            out.push(self.fill(key, &token, value, ttl).await);
        }
        out
    }

    /// [`mfill`](L2Store::mfill) that puts each outcome into `out` as soon as it has come.
    async fn mfill_into(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>, out: &mut Outcomes<Filled>) {
        out.put_all(self.mfill(items).await);
    }

    /// Prolongs exactly the lease behind `token`: it stands for `lease` from now on. Answers the token to use from then on
    /// (it may be another one, and the old one be worth nothing), or `None` where the lease is gone: filled, deleted,
    /// held, another's, or over. What isn't a lease is left as it is, whatever the token has seen.
    ///
    /// # Errors
    ///
    /// Nothing is known then: the lease may be prolonged or not. The same token is to be tried again.
    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        let _ = (key, token, lease);
        Err(StoreError::unsupported("renew"))
    }

    /// [`renew`](L2Store::renew) for many keys.
    async fn mrenew(&self, items: Vec<(&str, LeaseToken)>, lease: Duration) -> Vec<StoreResult<Option<LeaseToken>>> {
        let mut out = Vec::with_capacity(items.len());
        for (key, token) in items {
            out.push(self.renew(key, &token, lease).await);
        }
        out
    }

    /// Gives a lease back without filling; or removes exactly the value that was seen, by its token. Of what is gone, or
    /// was replaced, this does nothing.
    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        let _ = (key, token);
        Err(StoreError::unsupported("release"))
    }

    /// Keeps everybody from filling `key` or setting it for `hold`, or until this owner ends it; what was there is gone.
    /// A key may have several holds at once. It is held until the last one has ended, each by its own owner or after its
    /// own time.
    ///
    /// # Errors
    ///
    /// `Rejected` where the key has more holds than the store counts. After any error the key may be held.
    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        let _ = (key, owner, hold);
        Err(StoreError::unsupported("hold"))
    }

    /// Ends the hold of this owner and of nobody else, and does what [`del`](L2Store::del) does. Where the hold has ended
    /// already, only the latter is left.
    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        let _ = (key, owner);
        Err(StoreError::unsupported("unhold"))
    }

    /// Whether [`mset_then_publish`](L2Store::mset_then_publish) and [`mdel_then_publish`](L2Store::mdel_then_publish)
    /// publish what listeners of this bus hear. `false`, as provided: then the cache writes first, and publishes when that
    /// was answered.
    fn publishes_for(&self, bus: &dyn InvalidationBus) -> bool {
        let _ = bus;
        false
    }

    /// [`mset_into`](L2Store::mset_into), and `message` to `topic` behind it, in one round trip where it can be. No listener
    /// may have the message before the values are stored; where some were not stored, it may be published or not. Answers
    /// what became of the message. Called only where [`publishes_for`](L2Store::publishes_for) says so.
    ///
    /// # Cancel safety
    ///
    /// The engine drops this future at its time limit. Then the message may be published or not.
    async fn mset_then_publish(
        &self,
        items: Vec<(&str, Bytes, Duration)>,
        topic: &str,
        message: Bytes,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        let _ = (topic, message);
        self.mset_into(items, out).await;
        Err(StoreError::unsupported("mset_then_publish"))
    }

    /// [`mdel_into`](L2Store::mdel_into), and `message` to `topic` behind it: as
    /// [`mset_then_publish`](L2Store::mset_then_publish).
    ///
    /// # Cancel safety
    ///
    /// As `mset_then_publish`.
    async fn mdel_then_publish(
        &self,
        keys: &[&str],
        topic: &str,
        message: Bytes,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        let _ = (topic, message);
        self.mdel_into(keys, out).await;
        Err(StoreError::unsupported("mdel_then_publish"))
    }

    /// What time it is at the store, in Unix milliseconds: not before the one and not after the other, as far as the store
    /// can tell without asking. `None`, as provided: it can't.
    ///
    /// The engine holds its own clock against it when it stamps a value and when it counts how long one has lived, so that
    /// no machine's clock lengthens a life. Where it isn't known, and reads don't tell ages either ([`Limits::ages`]), the
    /// clock of a writer that is up to 5 s ahead does, by as much as it is ahead.
    fn unix_ms(&self) -> Option<RangeInclusive<u64>> {
        None
    }

    /// What this store takes.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// A number that all clones of a handle have, and no other store of the process while one of them lives: the address of
    /// what they share will do. Two caches with one area on one store take each other's values, so
    /// [`LevelCacheBuilder::build`](crate::LevelCacheBuilder::build) refuses the second where it has other types or settings.
    /// `None`, as provided: it isn't noticed. (In an `Arc` it is: that has an address.)
    fn identity(&self) -> Option<usize> {
        None
    }
}
