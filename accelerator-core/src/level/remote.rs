//! The L2 side of an engine: names, envelopes, time limits. Every failure here is a miss and a counter.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use crate::error::{CacheError, ErrorKind, LoadError, StoreError, StoreErrorKind, StoreResult};
use crate::level::engine::{Engine, Key, Value};
use crate::level::envelope::{self, Meta, Unreadable};
use crate::level::policy::{Life, MAX_VALUE_BYTES, Until};
use crate::level::remembered::Remembered;
use crate::level::slots::Token;
use crate::level::stats::Count;
use crate::traits::codec::Codec;
use crate::traits::head::{Head, Kind};
use crate::traits::l2::{L2Store, Limits};

/// An L2 store and how this cache speaks to it.
pub(crate) struct Remote<K, V> {
    pub(crate) store: Arc<dyn L2Store>,
    pub(crate) codec: Arc<dyn Codec<V>>,
    /// `CacheKey::encode`, as a pointer: a cache without L2 asks nothing of its keys.
    pub(crate) text: fn(&K, &mut String),
    /// The escaped area and a dot.
    pub(crate) prefix: String,
    pub(crate) schema: u32,
    pub(crate) limits: Limits,
    /// Keys whose delete L2 did not confirm.
    pub(crate) bypass: Remembered<K, ()>,
    /// Values written up to this Unix millisecond are misses (`clear`).
    pub(crate) cleared_at: std::sync::atomic::AtomicU64,
}

/// A key as L2 knows it.
pub(crate) struct Name {
    /// Bound into the checksum.
    full: String,
    /// Sent instead, where the full one is too long for the store.
    short: Option<String>,
}

impl Name {
    pub(crate) fn wire(&self) -> &str {
        self.short.as_deref().unwrap_or(&self.full)
    }
}

/// What an L2 read means.
pub(crate) enum Found<V> {
    /// A readable value with some life left, fresh or only useful.
    Hit { value: Option<V>, until: Until },
    /// Nothing to use; `fill`: whether what is loaded should be stored.
    Nothing { fill: bool },
}

/// What is to be written, and for how long the store keeps it.
pub(crate) struct Sealed {
    pub(crate) bytes: Bytes,
    pub(crate) ttl: Duration,
}

/// Why a value can't be written.
pub(crate) enum Unsealed {
    NotEncoded(LoadError),
    TooLarge { size: usize, limit: usize },
}

impl Unsealed {
    fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotEncoded(_) => StoreErrorKind::Other,
            Self::TooLarge { .. } => StoreErrorKind::TooLarge,
        }
    }
}

impl From<Unsealed> for CacheError {
    fn from(why: Unsealed) -> Self {
        match why {
            Unsealed::NotEncoded(source) => {
                Self::with_source(ErrorKind::Codec, "the value could not be encoded", source.into())
            }
            Unsealed::TooLarge { size, limit } => {
                Self::new(ErrorKind::Codec, format!("the encoded value has {size} bytes; L2 takes {limit}"))
            }
        }
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    pub(crate) fn name(&self, key: &K) -> Name {
        let mut full = String::with_capacity(self.prefix.len() + 24);
        full.push_str(&self.prefix);
        (self.text)(key, &mut full);
        let short = (full.len() > self.limits.max_key_bytes).then(|| self.hashed(&full));
        Name { full, short }
    }

    /// As much of the text as fits, and 160 bits of hash.
    fn hashed(&self, full: &str) -> String {
        let hash = format!("~~{:032x}{:08x}", xxh3_128(full.as_bytes()), xxh3_64_with_seed(full.as_bytes(), 1) as u32);
        let keep = self.limits.max_key_bytes.saturating_sub(hash.len());
        // Key texts are ASCII, but a foreign CacheKey may not keep that promise.
        let cut = (0..=keep.min(full.len())).rev().find(|&i| full.is_char_boundary(i)).unwrap_or(0);
        format!("{}{hash}", &full[..cut])
    }

    /// The envelope and payload of a value written at `now` (Unix milliseconds).
    pub(crate) fn seal(&self, name: &Name, value: Option<&V>, life: Life, now: u64) -> Result<Sealed, Unsealed> {
        let mut buffer = envelope::open_buffer();
        if let Some(value) = value {
            let encoded = catch_unwind(AssertUnwindSafe(|| self.codec.encode(value, &mut buffer)));
            encoded.unwrap_or_else(|_| Err("the codec panicked".into())).map_err(Unsealed::NotEncoded)?;
        }
        let limit = MAX_VALUE_BYTES.min(self.limits.max_value_bytes);
        if buffer.len() > limit {
            return Err(Unsealed::TooLarge { size: buffer.len(), limit });
        }
        let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        let meta = Meta {
            head: Head::random(if value.is_some() { Kind::Value } else { Kind::Absent }),
            codec: self.codec.id(),
            schema: self.schema,
            written_at: now,
            soft_ttl: ms(life.fresh),
            hard_ttl: ms(life.useful),
        };
        envelope::seal(&mut buffer, &name.full, &meta);
        Ok(Sealed { bytes: buffer.into(), ttl: self.rounded_up(ms(life.useful)) })
    }

    fn rounded_up(&self, ms: u32) -> Duration {
        let grain = u64::try_from(self.limits.ttl_granularity.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(u64::from(ms).div_ceil(grain).saturating_mul(grain))
    }

    /// What the bytes mean at `now` (Unix milliseconds).
    fn open(&self, name: &Name, bytes: &[u8], now: u64) -> Result<Option<(Option<V>, Life)>, Unreadable> {
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(Unreadable::Garbage);
        }
        let (meta, payload) = envelope::parse(bytes, &name.full)?;
        if meta.schema != self.schema || meta.codec != self.codec.id() {
            return Err(Unreadable::Foreign);
        }
        let left = meta.left(now);
        if left.useful == 0 || meta.written_at <= self.cleared_at.load(std::sync::atomic::Ordering::Acquire) {
            return Ok(None);
        }
        let value = match meta.head.kind {
            Kind::Absent if payload.is_empty() => None,
            Kind::Absent => return Err(Unreadable::Garbage),
            _ => {
                // A codec that panics on bytes is one that can't read them.
                let decoded = catch_unwind(AssertUnwindSafe(|| self.codec.decode(payload)));
                Some(decoded.ok().and_then(Result::ok).ok_or(Unreadable::Garbage)?)
            }
        };
        Ok(Some((value, left)))
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Runs an L2 operation under `limit`; a runtime is needed for the timer.
    pub(crate) async fn timed<T>(&self, limit: Duration, op: impl Future<Output = T>) -> StoreResult<T> {
        let Some(timer) = self.timer(limit) else {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "no tokio runtime to time the L2 operation"));
        };
        let (mut op, mut timer) = (std::pin::pin!(op), std::pin::pin!(timer));
        std::future::poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| op.as_mut().poll(cx)));
            match polled {
                Ok(std::task::Poll::Ready(out)) => return std::task::Poll::Ready(Ok(out)),
                Ok(std::task::Poll::Pending) => {}
                Err(_) => {
                    return std::task::Poll::Ready(Err(StoreError::new(StoreErrorKind::Other, "the store panicked")));
                }
            }
            let over = || StoreError::new(StoreErrorKind::Timeout, format!("L2 did not answer within {limit:?}"));
            timer.as_mut().poll(cx).map(|()| Err(over()))
        })
        .await
    }

    /// Reads one key.
    pub(crate) async fn l2_get(&self, remote: &Remote<K, V>, key: &K, name: &Name) -> Found<V> {
        if remote.bypass.get(key, self.now()).is_some() {
            return Found::Nothing { fill: false };
        }
        let answer = self.timed(self.policy.l2_read_timeout, remote.store.get(name.wire())).await;
        self.understand(remote, name, answer.and_then(|a| a))
    }

    /// Reads many keys in one call; one answer per key.
    pub(crate) async fn l2_mget(&self, remote: &Remote<K, V>, asked: &[(&K, Name)]) -> Vec<Found<V>> {
        let now = self.now();
        let mut out: Vec<Option<Found<V>>> =
            asked.iter().map(|(key, _)| remote.bypass.get(key, now).map(|_| Found::Nothing { fill: false })).collect();
        let wires: Vec<&str> =
            asked.iter().zip(&out).filter(|(_, o)| o.is_none()).map(|((_, name), _)| name.wire()).collect();
        let mut answers = if wires.is_empty() {
            Vec::new().into_iter()
        } else {
            match self.timed(self.policy.l2_read_timeout, remote.store.mget(&wires)).await {
                Ok(answers) if answers.len() == wires.len() => answers.into_iter(),
                Ok(_) => {
                    self.counters.l2_error(StoreErrorKind::Protocol);
                    Vec::new().into_iter()
                }
                Err(e) => {
                    self.counters.l2_error(e.kind());
                    Vec::new().into_iter()
                }
            }
        };
        for (slot, (_, name)) in out.iter_mut().zip(asked) {
            if slot.is_none() {
                // Without an answer the whole call failed, and was counted once.
                *slot = answers.next().map(|answer| self.understand(remote, name, answer));
            }
        }
        out.into_iter().map(|found| found.unwrap_or(Found::Nothing { fill: false })).collect()
    }

    fn understand(&self, remote: &Remote<K, V>, name: &Name, answer: StoreResult<Option<Bytes>>) -> Found<V> {
        let bytes = match answer {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Found::Nothing { fill: true },
            Err(e) => {
                self.counters.l2_error(e.kind());
                // Who can't read in time will hardly write in time, and a caller is waiting.
                return Found::Nothing { fill: false };
            }
        };
        match remote.open(name, &bytes, self.clock.unix()) {
            Ok(Some((value, left))) => Found::Hit { value, until: left.from(self.now()) },
            Ok(None) => Found::Nothing { fill: true },
            Err(why) => {
                self.counters.one(Count::Undecodable);
                // Old and new nodes must not fight over a key during a rolling deploy.
                Found::Nothing { fill: why == Unreadable::Garbage }
            }
        }
    }

    /// Stores what was loaded in L2, unless an invalidation came since `token` or somebody writes the key right now.
    /// Failures are counted; the loaded value reaches its callers all the same.
    pub(crate) async fn l2_fill(&self, remote: &Remote<K, V>, fills: Vec<Fill<'_, K, V>>) {
        let mut turns: Vec<OwnedMutexGuard<()>> = Vec::with_capacity(fills.len());
        let (mut items, mut gone) = (Vec::with_capacity(fills.len()), Vec::new());
        for fill in &fills {
            // Sealed before the check: a `clear` that comes in between is later than `written_at`.
            let sealed = fill.life.map(|life| remote.seal(fill.name, fill.value, life, self.clock.unix())).transpose();
            let sealed = match sealed {
                Ok(sealed) => sealed,
                Err(why) => {
                    self.counters.l2_error(why.kind());
                    continue;
                }
            };
            let turn = self.table.turn_to_fill(fill.key, fill.hash, fill.token, || self.generation());
            if let Some(turn) = turn {
                turns.push(turn);
                match sealed {
                    Some(sealed) => items.push((fill.name.wire(), sealed.bytes, sealed.ttl)),
                    None => gone.push(fill.name.wire()),
                }
            }
        }
        let limit = self.policy.l2_write_timeout;
        let (wanted, unwanted) = (items.len(), gone.len());
        if wanted > 0 {
            self.per_key(self.timed(limit, remote.set_all(items)).await, wanted);
        }
        if unwanted > 0 {
            self.per_key(self.timed(limit, remote.del_all(&gone)).await, unwanted);
        }
    }

    /// One result per key of a call that may have failed as a whole; failures are counted.
    pub(crate) fn per_key(&self, results: StoreResult<Vec<StoreResult<()>>>, wanted: usize) -> Vec<StoreResult<()>> {
        let all = |kind: StoreErrorKind, why: &str| -> Vec<StoreResult<()>> {
            self.counters.l2_error(kind);
            (0..wanted).map(|_| Err(StoreError::new(kind, why))).collect()
        };
        match results {
            Ok(results) if results.len() == wanted => {
                results.iter().flat_map(|r| r.as_ref().err()).for_each(|e| self.counters.l2_error(e.kind()));
                results
            }
            Ok(_) => all(StoreErrorKind::Protocol, "a batch was answered with another length"),
            Err(e) => all(e.kind(), &e.to_string()),
        }
    }
}

impl<K, V> Remote<K, V> {
    /// Writes all, with the store's batch call where there is more than one.
    pub(crate) async fn set_all(&self, mut items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        match (items.len(), items.pop()) {
            (1, Some((wire, bytes, ttl))) => vec![self.store.set(wire, bytes, ttl).await],
            (_, Some(last)) => {
                items.push(last);
                self.store.mset(items).await
            }
            (_, None) => Vec::new(),
        }
    }

    /// Deletes all, with the store's batch call where there is more than one.
    pub(crate) async fn del_all(&self, wires: &[&str]) -> Vec<StoreResult<()>> {
        match wires {
            [one] => vec![self.store.del(one).await],
            many => self.store.mdel(many).await,
        }
    }
}

/// One value on its way into L2.
pub(crate) struct Fill<'a, K, V> {
    pub(crate) key: &'a K,
    pub(crate) hash: u64,
    pub(crate) token: Token,
    pub(crate) name: &'a Name,
    pub(crate) value: Option<&'a V>,
    /// `None`: what is there must go.
    pub(crate) life: Option<Life>,
}
