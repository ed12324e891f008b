//! The L2 side of an engine: names, envelopes, time limits. Every failure here is a miss and a counter.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use crate::codecs::trial::{Lost, comes_back};
use crate::error::{CacheError, ErrorKind, LoadError, StoreError, StoreErrorKind, StoreResult};
use crate::level::age::{Asked, told};
use crate::level::cleared::Cleared;
use crate::level::engine::{Engine, Key, Stale, Value};
use crate::level::envelope::{self, Meta, Unreadable};
use crate::level::guarded::Guarded;
use crate::level::lease::Grants;
use crate::level::names::Name;
use crate::level::policy::{Life, MAX_VALUE_BYTES, Until};
use crate::level::pulse::Pulse;
use crate::level::rejects::{Origin, Rejects};
use crate::level::remembered::Remembered;
use crate::level::ticker::{Limit, NoRuntime};
use crate::level::trials::Trials;
use crate::level::wall;
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
    /// `schema_version`, with the shape of `V` where the codec knows it.
    pub(crate) schema: u32,
    pub(crate) limits: Limits,
    pub(crate) grants: Grants,
    /// Keys that this node guards itself.
    pub(crate) guarded: Guarded<K>,
    /// Keys whose delete L2 did not confirm.
    pub(crate) bypass: Remembered<K, ()>,
    /// The task that sends their deletes again.
    pub(crate) recovering: Pulse,
    /// Whether it was said that a batch can't be read or written in time.
    pub(crate) told_too_large: AtomicBool,
    pub(crate) cleared: Cleared,
    pub(crate) trials: Trials,
    pub(crate) rejects: Rejects,
}

/// When an answer of L2 came: read from the clocks once, however many keys it is about.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    /// Milliseconds of the cache's clock.
    pub(crate) now: u64,
    /// Unix milliseconds.
    pub(crate) unix: u64,
    /// The value is taken for at least so old, in milliseconds: as the store told. Zero where it doesn't.
    pub(crate) least_age: u64,
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
    TooLarge {
        size: usize,
        limit: usize,
    },
    /// It does not come back as it was written.
    Lost(Lost),
}

impl Unsealed {
    pub(crate) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotEncoded(_) | Self::Lost(_) => StoreErrorKind::Other,
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
            Unsealed::Lost(how) => {
                Self::new(ErrorKind::Codec, format!("the value does not come back from its bytes: {}", how.cause()))
            }
        }
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    /// Whether the store has leases and, as far as is known, gives them.
    pub(crate) fn has_leases(&self) -> bool {
        self.limits.leases && !self.grants.refused()
    }

    /// The envelope and payload of a value written at `now` (Unix milliseconds, by this machine), after the last `clear`.
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
        if value.is_some() && self.trials.is_due() {
            comes_back(&*self.codec, &buffer[envelope::ENVELOPE_LEN..]).map_err(|how| {
                self.rejects.lost::<V>(how, now);
                Unsealed::Lost(how)
            })?;
        }
        let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        let stamp = wall::stamp(&*self.store, &self.cleared, now, life);
        let meta = Meta {
            head: Head::random(if value.is_some() { Kind::Value } else { Kind::Absent }),
            codec: self.codec.id(),
            schema: self.schema,
            written_at: stamp.written_at,
            soft_ttl: ms(stamp.life.fresh),
            hard_ttl: ms(stamp.life.useful),
        };
        envelope::seal(&mut buffer, &name.full, &meta);
        Ok(Sealed { bytes: buffer.into(), ttl: self.rounded_up(ms(life.useful)) })
    }

    fn rounded_up(&self, ms: u32) -> Duration {
        let grain = u64::try_from(self.limits.ttl_granularity.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(u64::from(ms).div_ceil(grain).saturating_mul(grain))
    }

    /// What the bytes mean that were read at that moment.
    #[inline(always)]
    pub(crate) fn open(&self, full: &str, bytes: &[u8], at: Moment) -> Result<Option<(Option<V>, Life)>, Unreadable> {
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(Unreadable::Garbage);
        }
        let (meta, payload) = envelope::parse(bytes, full)?;
        if meta.schema != self.schema || meta.codec != self.codec.id() {
            let codec = meta.codec != self.codec.id();
            return Err(Unreadable::Foreign(if codec { Origin::Codec } else { Origin::Schema }));
        }
        let left = meta.left(at.unix, at.least_age);
        if left.useful == 0 || self.cleared.covers(meta.written_at) {
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

pub(crate) fn no_runtime() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "no tokio runtime to time the L2 operation")
}

impl<K: Key, V: Value> Engine<K, V> {
    pub(crate) fn moment(&self) -> Moment {
        let own = self.clock.unix();
        let unix = self.remote.as_ref().map_or(own, |remote| wall::to_read(&*remote.store, own));
        Moment { now: self.now(), unix, least_age: 0 }
    }

    /// Runs an L2 operation under `limit`; a runtime is needed for the timer.
    pub(crate) async fn timed<T>(&self, limit: Duration, op: impl Future<Output = T>) -> StoreResult<T> {
        if !self.may_have_runtime() {
            return Err(no_runtime());
        }
        let (mut op, mut over) = (std::pin::pin!(op), Limit::new(&self.ticker, limit));
        poll_fn(|cx| {
            let _inside = self.enter();
            match catch_unwind(AssertUnwindSafe(|| op.as_mut().poll(cx))) {
                Ok(Poll::Ready(out)) => return Poll::Ready(Ok(out)),
                Ok(Poll::Pending) => {}
                Err(_) => return Poll::Ready(Err(StoreError::new(StoreErrorKind::Other, "the store panicked"))),
            }
            self.poll_limit(&mut over, cx).map(|over| match over {
                Ok(()) => Err(StoreError::new(StoreErrorKind::Timeout, format!("L2 did not answer within {limit:?}"))),
                Err(NoRuntime) => Err(no_runtime()),
            })
        })
        .await
    }

    /// Reads one key.
    pub(crate) async fn l2_get(self: &Arc<Self>, remote: &Remote<K, V>, key: &K, name: &Name) -> Found<V> {
        self.tend(remote);
        if self.guards(remote, key) || remote.bypass.get(key, self.now()).is_some() {
            return Found::Nothing { fill: false };
        }
        let asked_at = self.asked_at(remote);
        let answer = self.timed(self.policy.l2_read_timeout, Asked::get(remote, name)).await.and_then(|a| a);
        let (answer, age) = told(answer);
        self.understand(remote, &name.full, answer, self.moment().aged(age, asked_at))
    }

    pub(crate) fn understand(
        &self,
        remote: &Remote<K, V>,
        full: &str,
        answer: StoreResult<Option<Bytes>>,
        at: Moment,
    ) -> Found<V> {
        let bytes = match answer {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Found::Nothing { fill: true },
            Err(e) => {
                self.counters.l2_error(e.kind());
                // Who can't read in time will hardly write in time, and a caller is waiting.
                return Found::Nothing { fill: false };
            }
        };
        match self.open(remote, full, &bytes, at) {
            Ok(Some(Stale { value, until })) => Found::Hit { value, until },
            Ok(None) => Found::Nothing { fill: true },
            // Old and new nodes must not fight over a key during a rolling deploy.
            Err(why) => Found::Nothing { fill: why == Unreadable::Garbage },
        }
    }
}
