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
use crate::level::wire::envelope::{Meta, Parsed, Unreadable};
use crate::level::wire::layers::Layered;
use crate::level::wire::moment::{Dated, Instants};
use crate::level::wire::wall_clock;
use crate::level::wire::wire_key::WireKey;
use crate::traits::codec::Codec;
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
        // A layer may make it shorter than what the store takes.
        let most = if self.layers.is_empty() { self.limits.max_value_bytes } else { self.most_in_layers };
        self.check_size(&buffer, most, now)?;
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
        if self.layers.is_empty() {
            envelope::seal(&mut buffer, &name.full, &envelope::said(&meta, 0), 0);
        } else {
            self.seal_layered(&mut buffer, &name.full, &meta, now)?;
        }
        Ok(Sealed { bytes: buffer.into(), ttl: self.rounded_up(ms(life.useful)) })
    }

    fn check_size(&self, buffer: &[u8], limit: usize, now: u64) -> Result<(), Unsealed> {
        if buffer.len() <= limit {
            return Ok(());
        }
        self.rejects.too_large_to_store(buffer.len(), limit, now);
        Err(Unsealed::TooLarge { size: buffer.len(), limit })
    }

    /// The buffer has room for the envelope and what the codec has written.
    fn seal_layered(&self, buffer: &mut Vec<u8>, key: &str, meta: &Meta, now: u64) -> Result<(), Unsealed> {
        let said = envelope::said(meta, envelope::LAYERED);
        let bytes = &buffer[envelope::ENVELOPE_LEN..];
        let layered = self.layers.apply(bytes, key, &said, self.most_in_layers).map_err(Unsealed::NotEncoded)?;
        let (said, extras) = match layered {
            None => (envelope::said(meta, 0), 0),
            Some(Layered { extras, payload }) => {
                buffer.truncate(envelope::ENVELOPE_LEN);
                buffer.reserve_exact(extras.len() + payload.len());
                buffer.extend_from_slice(&extras);
                buffer.extend_from_slice(&payload);
                let length = u16::try_from(extras.len());
                (said, length.map_err(|_| Unsealed::NotEncoded("too many layers".into()))?)
            }
        };
        self.check_size(buffer, self.limits.max_value_bytes, now)?;
        envelope::seal(buffer, key, &said, extras);
        Ok(())
    }

    /// Whether a value is this cache's own, as far as codec and schema tell.
    #[inline(always)]
    fn is_own(&self, meta: &Meta) -> bool {
        meta.schema == self.schema && meta.codec == self.codec.id()
    }

    /// Where a value comes from that is not ours.
    #[inline(never)]
    fn origin(&self, parsed: &Parsed<'_>) -> Option<Origin> {
        let (meta, layers) = (&parsed.meta, &self.layers);
        let known = self.is_own(meta) || self.also_read(meta).is_some();
        let codecs = || self.also.iter().map(|(codec, _)| codec.id()).chain([self.codec.id()]);
        match &parsed.layered {
            _ if !known && !codecs().any(|codec| codec == meta.codec) => Some(Origin::Codec),
            _ if !known => Some(Origin::Schema),
            None => layers.required.then_some(Origin::Layer),
            Some(steps) => layers.origin(steps, parsed.payload),
        }
    }

    /// The codec of a value that another one has written than this cache writes with.
    #[inline(never)]
    fn also_read(&self, meta: &Meta) -> Option<&dyn Codec<V>> {
        let codec = self.also.iter().find(|(codec, schema)| codec.id() == meta.codec && *schema == meta.schema);
        codec.map(|(codec, _)| &**codec)
    }

    /// Whose value gives way to the next load, where these bytes are one. Of our own without layers it costs a look at
    /// three fields.
    #[inline]
    pub(crate) fn outdated(&self, full: &str, bytes: &[u8], at: Instants) -> Option<Origin> {
        let (codec, schema) = (bytes.get(envelope::CODEC)?, bytes.get(envelope::SCHEMA)?);
        let is_plain = bytes.get(envelope::FLAGS) == Some(&0) && !self.layers.required;
        if *codec == self.codec.id() && schema == self.schema.to_le_bytes() && is_plain {
            return None;
        }
        let parsed = envelope::parse(bytes, full).ok()?;
        match Unreadable::of(self.origin(&parsed)?, &parsed.meta, at) {
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
        let parsed = envelope::parse(bytes, full)?;
        let (meta, is_own) = (parsed.meta, self.is_own(&parsed.meta));
        let is_plain = parsed.layered.is_none() && !self.layers.required;
        if !(is_own && is_plain)
            && let Some(origin) = self.origin(&parsed)
        {
            return Err(Unreadable::of(origin, &meta, at));
        }
        let left = meta.left(at.unix, at.least_age);
        if left.useful == 0 || self.cleared.covers(meta.written_at) {
            return Ok(None);
        }
        let codec = if is_own { &*self.codec } else { self.also_read(&meta).unwrap_or(&*self.codec) };
        let value = match parsed.layered {
            None => decoded(codec, meta.head.kind, parsed.payload),
            Some(steps) => {
                let undone = self.layers.undo(&steps, parsed.payload, full, self.most_in_layers);
                let payload = undone.map_err(|why| match why {
                    Unreadable::Foreign(origin) => Unreadable::of(origin, &meta, at),
                    damaged => damaged,
                })?;
                decoded(codec, meta.head.kind, &payload)
            }
        };
        Ok(Some(Dated { value: value?, until: left.from(at.now) }))
    }
}

#[inline(always)]
fn decoded<V: Value>(codec: &dyn Codec<V>, kind: Kind, payload: &[u8]) -> Result<Option<V>, Unreadable> {
    match kind {
        Kind::Absent if payload.is_empty() => Ok(None),
        Kind::Absent => Err(Unreadable::Garbage),
        _ => {
            // A codec that panics on bytes is one that can't read them.
            let decoded = catch_unwind(AssertUnwindSafe(|| codec.decode(payload)));
            decoded.ok().and_then(Result::ok).map(Some).ok_or(Unreadable::Garbage)
        }
    }
}
