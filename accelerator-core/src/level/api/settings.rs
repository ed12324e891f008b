//! What the builder was told, and whether it makes sense.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{CacheError, CacheResult};
use crate::key::CacheKey;
use crate::level::bounds::{Key, Value};
use crate::level::bus::{Bus, BusParts, ClearsL2, KeyText};
use crate::level::local::Local;
use crate::level::local::claim::{AreaClaim, Terms};
use crate::level::source::Sources;
use crate::level::time::policy::{LONGEST, MAX_VALUE_BYTES, Policy, RECOVERY_BYTES};
use crate::level::wire::envelope::ENVELOPE_LEN;
use crate::level::wire::layers::Layers;
use crate::level::wire::schema::schema;
use crate::time::{TimeSource, millis};
use crate::traits::bus::InvalidationBus;
use crate::traits::codec::Codec;
use crate::traits::l2::L2Store;
use crate::traits::layer::Layer;

/// An L2 store, and how keys become its text.
type L2<K> = (Arc<dyn L2Store>, fn(&K, &mut String));

pub(crate) struct Settings<K, V> {
    pub(crate) area: String,
    pub(crate) has_l1: bool,
    pub(crate) l2: Option<L2<K>>,
    pub(crate) codec: Option<Arc<dyn Codec<V>>>,
    pub(crate) bytes: BytesInL2<V>,
    pub(crate) sources: Sources<K, V>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) l1_ttl: Option<Duration>,
    pub(crate) l2_ttl: Option<Duration>,
    pub(crate) null_ttl: Option<Duration>,
    pub(crate) cache_null_value: bool,
    pub(crate) jitter: f64,
    pub(crate) window: Option<Duration>,
    pub(crate) stale: Duration,
    pub(crate) loader_timeout: Duration,
    pub(crate) l2_timeout: Option<Duration>,
    pub(crate) lease_ttl: Option<Duration>,
    pub(crate) lease_wait: Option<Duration>,
    pub(crate) max_batch: usize,
    pub(crate) recovery_bytes: usize,
    pub(crate) schema: u32,
    pub(crate) fingerprint: bool,
    pub(crate) max_value_bytes: Option<usize>,
    pub(crate) share_area: bool,
    pub(crate) clock: TimeSource,
    pub(crate) runtime: Option<Handle>,
    pub(crate) bus: BusSettings<K>,
}

impl<K, V> Default for Settings<K, V> {
    fn default() -> Self {
        Self {
            area: String::new(),
            has_l1: false,
            l2: None,
            codec: None,
            bytes: BytesInL2::default(),
            sources: Sources { one: None, many: None },
            ttl: None,
            l1_ttl: None,
            l2_ttl: None,
            null_ttl: None,
            cache_null_value: true,
            jitter: 0.0,
            window: None,
            stale: Duration::ZERO,
            loader_timeout: Duration::from_secs(2),
            l2_timeout: None,
            lease_ttl: None,
            lease_wait: None,
            max_batch: 256,
            recovery_bytes: RECOVERY_BYTES,
            schema: 0,
            fingerprint: true,
            max_value_bytes: None,
            share_area: false,
            clock: TimeSource::System,
            runtime: None,
            bus: BusSettings::default(),
        }
    }
}

/// The longest that L1 keeps something beside an L2, unless `l1_ttl` says otherwise: other nodes' writes are not heard of.
const L1_BESIDE_L2: Duration = Duration::from_secs(10);
const TTL: &str = "takes 1 ms to 10 years";

impl<K, V> Settings<K, V> {
    /// The policy.
    pub(crate) fn policy(&self) -> CacheResult<Policy> {
        let area = self.area.chars().count();
        if !(1..=100).contains(&area) {
            return Err(CacheError::config(
                "area",
                format!("{:?}", self.area),
                "takes 1 to 100 characters; call area(..)",
            ));
        }
        if !self.has_l1 && self.l2.is_none() {
            return Err(CacheError::config("l1 and l2", "none", "give the builder an l1, an l2, or both"));
        }
        for (field, ttl) in
            [("ttl", self.ttl), ("l1_ttl", self.l1_ttl), ("l2_ttl", self.l2_ttl), ("null_ttl", self.null_ttl)]
        {
            duration(field, ttl, TTL)?;
        }
        if self.null_ttl.is_some() && !self.cache_null_value {
            let fix = "has no use while cache_null_value = false; leave one of them out";
            return Err(CacheError::config("null_ttl", format!("{:?}", self.null_ttl.unwrap_or_default()), fix));
        }
        let missing = || CacheError::config("ttl", "none", "call ttl(..) with 1 ms to 10 years");
        let l2_ttl = match (self.l2_ttl, self.ttl, self.l1_ttl) {
            (Some(own), ..) | (None, Some(own), _) => own,
            // Without an L2 its TTL is nobody's business.
            (None, None, Some(l1)) if self.l2.is_none() => l1,
            _ => return Err(missing()),
        };
        let l1_ttl = match (self.l1_ttl, self.ttl) {
            (Some(own), _) | (None, Some(own)) => own,
            _ if !self.has_l1 => l2_ttl,
            _ => return Err(missing()),
        };
        let both = self.has_l1 && self.l2.is_some();
        if both && self.l1_ttl.is_some() && l1_ttl > l2_ttl {
            let fix = format!("takes at most the L2 TTL, {l2_ttl:?}: L1 never outlives L2");
            return Err(CacheError::config("l1_ttl", format!("{l1_ttl:?}"), &fix));
        }
        let l1_ttl = match (both, self.l1_ttl) {
            (true, None) if self.bus.bus.is_some() => l1_ttl.min(l2_ttl),
            (true, None) => l1_ttl.min(l2_ttl).min(L1_BESIDE_L2),
            _ => l1_ttl,
        };
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(CacheError::config("ttl_jitter_ratio", self.jitter, "takes 0.0 to 1.0"));
        }
        if let Some(window) = self.window {
            let shortest = if self.has_l1 { l1_ttl } else { l2_ttl };
            if window.is_zero() || window >= shortest {
                let fix = format!("takes more than zero and less than the TTL, {shortest:?}");
                return Err(CacheError::config("refresh_ahead_window", format!("{window:?}"), &fix));
            }
            if !self.sources.exist() {
                let fix = "needs a loader or a batch_loader to refresh with";
                return Err(CacheError::config("refresh_ahead_window", format!("{window:?}"), fix));
            }
            if !self.has_l1 {
                return Err(CacheError::config("refresh_ahead_window", format!("{window:?}"), "needs an l1"));
            }
        }
        if self.stale > LONGEST {
            return Err(CacheError::config("stale_on_error", format!("{:?}", self.stale), "takes zero to 10 years"));
        }
        let limit = "takes 1 ms to 10 years; there is no \"never\"";
        duration("loader_timeout", Some(self.loader_timeout), limit)?;
        duration("l2_timeout", self.l2_timeout, limit)?;
        let l2_read_timeout = self.l2_timeout.unwrap_or(Duration::from_millis(100));
        let l2_write_timeout = self.l2_timeout.unwrap_or(Duration::from_millis(250));
        let (lease, renew_after) = self.lease(l2_write_timeout)?;
        let lease_wait = self.lease_wait.unwrap_or(self.loader_timeout);
        if lease_wait > LONGEST {
            return Err(CacheError::config("lease_wait", format!("{lease_wait:?}"), "takes zero to 10 years"));
        }
        self.bus.check()?;
        if self.max_batch == 0 {
            return Err(CacheError::config("max_batch", 0, "takes 1 or more keys"));
        }
        let policy = Policy {
            l1_ttl: millis(l1_ttl),
            l2_ttl: millis(l2_ttl),
            null_ttl: self.cache_null_value.then(|| {
                let default = if self.l2.is_some() { l2_ttl } else { l1_ttl }.min(Duration::from_secs(30));
                millis(self.null_ttl.unwrap_or(default))
            }),
            longest_life: if self.l2.is_some() { u64::from(u32::MAX) } else { u64::MAX },
            stale: millis(self.stale),
            jitter: self.jitter,
            window: self.window.map_or(0, millis),
            loader_timeout: self.loader_timeout,
            l2_read_timeout,
            l2_write_timeout,
            lease,
            renew_after,
            lease_wait,
            max_batch: self.max_batch,
            longest_in_l1: AtomicU64::new(u64::MAX),
            longest_own: AtomicU64::new(0),
            usual: None,
        };
        Ok(policy.with_usual())
    }

    /// How long a lease lasts, and when it is renewed, where the store can do that: after a third of what is sure of it.
    fn lease(&self, l2_write_timeout: Duration) -> CacheResult<(Duration, Option<Duration>)> {
        let limits = self.l2.as_ref().map(|(store, _)| store.limits()).unwrap_or_default();
        let (shortest, why) = match limits.shortest_lease {
            Some(shortest) => (shortest, "the shortest of this store"),
            None => {
                (self.loader_timeout + l2_write_timeout + Duration::from_secs(1), "loader_timeout, the L2 write, 1 s")
            }
        };
        if let Some(lease) = self.lease_ttl.filter(|lease| !(shortest..=LONGEST).contains(lease)) {
            let fix = format!("takes {shortest:?} ({why}) to 10 years");
            return Err(CacheError::config("lease_ttl", format!("{lease:?}"), &fix));
        }
        let lease = self.lease_ttl.unwrap_or(shortest);
        // A store that counts in seconds may end it up to one of them early.
        let sure = if lease > limits.ttl_granularity { lease - limits.ttl_granularity } else { lease };
        Ok((lease, limits.shortest_lease.map(|_| sure / 3)))
    }
}

fn duration(field: &str, value: Option<Duration>, accepted: &str) -> CacheResult<()> {
    match value {
        Some(d) if d < Duration::from_millis(1) || d > LONGEST => {
            Err(CacheError::config(field, format!("{d:?}"), accepted))
        }
        _ => Ok(()),
    }
}

/// The longest value of a cache, where its store takes so much.
pub(crate) fn longest_value(given: Option<usize>, of_store: usize) -> CacheResult<usize> {
    match given {
        None => Ok(MAX_VALUE_BYTES.min(of_store)),
        Some(given) if (ENVELOPE_LEN..=of_store).contains(&given) => Ok(given),
        Some(given) => {
            let fix = format!(
                "takes {ENVELOPE_LEN} to {of_store} bytes, which is what the l2 takes: raise its limit in its own builder"
            );
            Err(CacheError::config("max_value_bytes", given, &fix))
        }
    }
}

/// This cache's part in its area.
pub(crate) fn claim_area(store: &dyn L2Store, area: &str, terms: Terms, shared: bool) -> CacheResult<AreaClaim> {
    AreaClaim::of(store.identity(), area, terms, shared).map_err(|difference| {
        let fix = format!(
            "a cache of this process has this area on the same store, with {difference}, and two caches of one area take \
             each other's values: takes a name of its own, or call share_area(true) if it is meant"
        );
        CacheError::config("area", format!("{area:?}"), &fix)
    })
}

/// The area as the first part of every L2 key: no text of a key can be mistaken for a longer area.
pub(crate) fn area_prefix(area: &str) -> String {
    let mut prefix = String::with_capacity(area.len() + 1);
    area.to_owned().encode(&mut prefix);
    prefix.push('.');
    prefix
}

/// What the builder was told of the bytes in L2 beside the codec.
pub(crate) struct BytesInL2<V> {
    pub(crate) also: Vec<Arc<dyn Codec<V>>>,
    /// In three groups, whatever the order of the calls: what is encrypted can't be compressed.
    pub(crate) compress: Vec<Arc<dyn Layer>>,
    pub(crate) others: Vec<Arc<dyn Layer>>,
    pub(crate) encrypt: Vec<Arc<dyn Layer>>,
    /// What is wrong with the keys, as `build()` says it.
    #[cfg(feature = "encrypt")]
    pub(crate) fault: Option<(u32, &'static str)>,
}

impl<V> Default for BytesInL2<V> {
    fn default() -> Self {
        Self {
            also: Vec::new(),
            compress: Vec::new(),
            others: Vec::new(),
            encrypt: Vec::new(),
            #[cfg(feature = "encrypt")]
            fault: None,
        }
    }
}

/// Further codecs with their schemas.
type Also<V> = Vec<(Arc<dyn Codec<V>>, u32)>;

impl<V: Value> BytesInL2<V> {
    /// The further codecs and the layers of a cache that writes with the codec of this number.
    pub(crate) fn checked(self, writes: u8, version: u32, fingerprint: bool) -> CacheResult<(Also<V>, Layers)> {
        #[cfg(feature = "encrypt")]
        if let Some((number, fault)) = self.fault {
            return Err(CacheError::config("encrypt", format!("key {number}"), fault));
        }
        let mut also: Also<V> = Vec::with_capacity(self.also.len());
        for codec in self.also {
            let id = codec.id();
            if id == writes || also.iter().any(|(other, _)| other.id() == id) {
                let given = format!("codec {id}");
                return Err(CacheError::config(
                    "also_reads",
                    given,
                    "takes each other codec once; codec(..) reads, too",
                ));
            }
            let schema = schema("also_reads", &*codec, version, fingerprint)?;
            also.push((codec, schema));
        }
        Ok((also, Layers::new([self.compress, self.others, self.encrypt].concat())?))
    }
}

/// A bus, and how keys become its text and come back.
type BusOf<K> = (Arc<dyn InvalidationBus>, fn(&K, &mut String), fn(&str) -> Option<K>);

/// What the builder was told of a bus.
pub(crate) struct BusSettings<K> {
    pub(super) bus: Option<BusOf<K>>,
    pub(super) suspect_ttl: Option<Duration>,
}

impl<K> Default for BusSettings<K> {
    fn default() -> Self {
        Self { bus: None, suspect_ttl: None }
    }
}

/// How long a value lives in L1 while this node does not hear of other nodes' writes.
const SUSPECT_TTL: Duration = Duration::from_secs(1);
/// A head, an area of the longest name, and room for some keys.
const SMALLEST_MESSAGE: usize = 1024;

impl<K> BusSettings<K> {
    pub(super) fn check(&self) -> CacheResult<()> {
        if let Some(ttl) = self.suspect_ttl {
            let given = format!("{ttl:?}");
            if self.bus.is_none() {
                return Err(CacheError::config(
                    "suspect_ttl",
                    given,
                    "has no use without a bus; call bus(..), or leave it out",
                ));
            }
            if !ttl.is_zero() && !(Duration::from_millis(1)..=LONGEST).contains(&ttl) {
                return Err(CacheError::config("suspect_ttl", given, "takes zero, or 1 ms to 10 years"));
            }
        }
        let limit = self.bus.as_ref().map(|(bus, ..)| bus.limits().max_message_bytes);
        match limit {
            Some(given) if given < SMALLEST_MESSAGE => {
                Err(CacheError::config("bus's limits().max_message_bytes", given, "takes 1024 or more"))
            }
            _ => Ok(()),
        }
    }

    /// The bus of the cache that is built, where there is one.
    pub(super) fn build<V: Value>(
        self,
        local: &Arc<Local<K, V>>,
        area: &str,
        most_bytes: usize,
        l2: Option<ClearsL2>,
    ) -> Option<Arc<Bus<K, V>>>
    where
        K: Key,
    {
        let suspect_ttl = self.suspect_ttl.unwrap_or(SUSPECT_TTL);
        let (bus, encode, decode) = self.bus?;
        let parts = BusParts { bus, text: KeyText { encode, decode }, suspect_ttl, most_bytes, l2 };
        Some(Arc::new(Bus::new(local.clone(), area, parts)))
    }
}
