//! Values on their way into L2, and what bytes from there mean.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;

use crate::codecs::trial::{Lost, comes_back};
use crate::error::{CacheError, ErrorKind, LoadError, StoreErrorKind};
use crate::level::bounds::{Key, Value};
use crate::level::stats::rejects::Origin;
use crate::level::time::policy::Life;
use crate::level::wire::Wire;
use crate::level::wire::envelope;
use crate::level::wire::envelope::{Meta, Unreadable};
use crate::level::wire::moment::{Dated, Instants};
use crate::level::wire::wall_clock;
use crate::level::wire::wire_key::WireKey;
use crate::traits::l2::L2Store;
use crate::traits::l2::head::{Head, Kind};

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
    /// The error of a caller who wanted to write it.
    pub(crate) fn into_error(self) -> CacheError {
        match self {
            Self::NotEncoded(source) => {
                CacheError::with_source(ErrorKind::Codec, "the value could not be encoded", source.into())
            }
            Self::TooLarge { size, limit } => {
                let fix = "raise max_value_bytes(..) of the cache's builder, and of the store's where it has one";
                CacheError::new(
                    ErrorKind::Codec,
                    format!("the encoded value has {size} bytes; L2 takes {limit}: {fix}"),
                )
            }
            Self::Lost(how) => CacheError::new(
                ErrorKind::Codec,
                format!("the value does not come back from its bytes: {}", how.cause()),
            ),
        }
    }

    pub(crate) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotEncoded(_) | Self::Lost(_) => StoreErrorKind::Other,
            Self::TooLarge { .. } => StoreErrorKind::TooLarge,
        }
    }
}

impl<K: Key, V: Value> Wire<K, V> {
    /// The envelope and payload of a value written at `now` (Unix milliseconds, by this machine), after the last `clear`.
    pub(crate) fn seal(
        &self,
        store: &dyn L2Store,
        name: &WireKey,
        value: Option<&V>,
        life: Life,
        now: u64,
    ) -> Result<Sealed, Unsealed> {
        let mut buffer = envelope::open_buffer();
        if let Some(value) = value {
            let encoded = catch_unwind(AssertUnwindSafe(|| self.codec.encode(value, &mut buffer)));
            encoded.unwrap_or_else(|_| Err("the codec panicked".into())).map_err(Unsealed::NotEncoded)?;
        }
        let limit = self.limits.max_value_bytes;
        if buffer.len() > limit {
            self.rejects.too_large_to_store(buffer.len(), limit, now);
            return Err(Unsealed::TooLarge { size: buffer.len(), limit });
        }
        if value.is_some() && self.trials.is_due() {
            comes_back(&*self.codec, &buffer[envelope::ENVELOPE_LEN..]).map_err(|how| {
                self.rejects.lost::<V>(how, now);
                Unsealed::Lost(how)
            })?;
        }
        let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        let stamp = wall_clock::stamp(store, &self.cleared, now, life);
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

    /// Where a value comes from that is not ours.
    #[inline(always)]
    fn origin(&self, meta: &Meta) -> Option<Origin> {
        match () {
            () if meta.codec != self.codec.id() => Some(Origin::Codec),
            () if meta.schema != self.schema => Some(Origin::Schema),
            () => None,
        }
    }

    /// Whose value gives way to the next load, where these bytes are one. Of our own it costs a look at two fields.
    #[inline]
    pub(crate) fn outdated(&self, full: &str, bytes: &[u8], at: Instants) -> Option<Origin> {
        let (codec, schema) = (bytes.get(envelope::CODEC)?, bytes.get(envelope::SCHEMA)?);
        if *codec == self.codec.id() && schema == self.schema.to_le_bytes() {
            return None;
        }
        let (meta, _) = envelope::parse(bytes, full).ok()?;
        match Unreadable::of(self.origin(&meta)?, &meta, at) {
            Unreadable::Outdated(origin) => Some(origin),
            _ => None,
        }
    }

    fn rounded_up(&self, ms: u32) -> Duration {
        let grain = u64::try_from(self.limits.ttl_granularity.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(u64::from(ms).div_ceil(grain).saturating_mul(grain))
    }

    /// What the bytes mean that were read at that moment.
    #[inline(always)]
    pub(crate) fn open(&self, full: &str, bytes: &[u8], at: Instants) -> Result<Option<Dated<V>>, Unreadable> {
        if bytes.len() > self.limits.max_value_bytes {
            return Err(Unreadable::TooLarge(bytes.len()));
        }
        let (meta, payload) = envelope::parse(bytes, full)?;
        if let Some(origin) = self.origin(&meta) {
            return Err(Unreadable::of(origin, &meta, at));
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
        Ok(Some(Dated { value, until: left.from(at.now) }))
    }
}
