//! Values that are not taken, from L2 or into it: counted by cause, and said now and then.

use std::any::type_name;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::codecs::trial::Lost;
use crate::level::stats::counters::{Count, Counters, Rare};

/// Where a value comes from that this cache doesn't read though it isn't damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A format of the library that this version doesn't know.
    Version,
    /// Another codec.
    Codec,
    /// Another `schema_version`, or another shape of the type.
    Schema,
    /// A layer that this cache does not have, or without one that no value of this cache is without.
    Layer,
    /// A key of encryption that this cache does not have.
    KeyId,
}

/// A cause is told so often at most, in milliseconds.
const PAUSE: u64 = 60_000;
/// Causes: the origins, damage, a value that was lost in its trial, one that is too large to be read or to be stored.
const DAMAGED: usize = Origin::KeyId as usize + 1;
const LOST: usize = DAMAGED + 1;
const TOO_LARGE_TO_READ: usize = LOST + 1;
const TOO_LARGE_TO_STORE: usize = TOO_LARGE_TO_READ + 1;
const CAUSES: usize = TOO_LARGE_TO_STORE + 1;

/// One cache's.
pub(crate) struct Rejects {
    area: String,
    counters: Counters,
    /// When each cause was told last: Unix milliseconds, 0 for never.
    told: [AtomicU64; CAUSES],
}

impl Rejects {
    pub(crate) fn new(area: &str, counters: &Counters) -> Self {
        Self { area: area.to_owned(), counters: counters.clone(), told: Default::default() }
    }

    #[cold]
    pub(crate) fn foreign(&self, origin: Origin, now: u64) {
        self.counters.one(Count::Undecodable);
        self.counters.rare(match origin {
            Origin::Version => Rare::ForeignVersion,
            Origin::Codec => Rare::ForeignCodec,
            Origin::Schema => Rare::ForeignSchema,
            Origin::Layer => Rare::ForeignLayer,
            Origin::KeyId => Rare::ForeignKeyId,
        });
        if self.is_time_to_tell(origin as usize, now) {
            let cause = match origin {
                Origin::Version => "written by another version of the library",
                Origin::Codec => "written by another codec",
                Origin::Schema => {
                    "of another schema: the type or its schema_version differs; \
                     during a deploy that is normal, else two caches share the area"
                }
                Origin::Layer => {
                    "with other layers: another compression, or encrypted and this cache is not, or not so"
                }
                Origin::KeyId => "encrypted with a key that this cache does not have",
            };
            tracing::warn!(target: "accelerator::l2", area = %self.area, cause, "a value in L2 is not read");
        }
    }

    #[cold]
    pub(crate) fn damaged(&self, now: u64) {
        self.counters.one(Count::Undecodable);
        self.counters.rare(Rare::Damaged);
        if self.is_time_to_tell(DAMAGED, now) {
            let cause = "damaged, cut off, changed, of another key, or not decodable";
            tracing::warn!(target: "accelerator::l2", area = %self.area, cause, "a value in L2 is not read");
        }
    }

    /// `V` did not come back in its trial.
    #[cold]
    pub(crate) fn lost<V>(&self, how: Lost, now: u64) {
        self.counters.rare(Rare::TrialFailed);
        if self.is_time_to_tell(LOST, now) {
            let (value, cause) = (type_name::<V>(), how.cause());
            tracing::warn!(target: "accelerator::l2", area = %self.area, value, cause, "a value is not stored in L2");
        }
    }

    /// Of so many bytes, where the `limit` is less.
    #[cold]
    pub(crate) fn too_large_to_read(&self, bytes: usize, limit: usize, now: u64) {
        self.counters.one(Count::Undecodable);
        self.counters.rare(Rare::TooLarge);
        if self.is_time_to_tell(TOO_LARGE_TO_READ, now) {
            let cause = "larger than max_value_bytes: another node has a larger one";
            tracing::warn!(target: "accelerator::l2", area = %self.area, bytes, limit, cause, "a value in L2 is not read");
        }
    }

    /// The same of one that was to be stored.
    #[cold]
    pub(crate) fn too_large_to_store(&self, bytes: usize, limit: usize, now: u64) {
        self.counters.rare(Rare::TooLarge);
        if self.is_time_to_tell(TOO_LARGE_TO_STORE, now) {
            let cause = "larger than max_value_bytes: raise it here and in the builder of the store";
            tracing::warn!(target: "accelerator::l2", area = %self.area, bytes, limit, cause, "a value is not stored in L2");
        }
    }

    fn is_time_to_tell(&self, cause: usize, now: u64) -> bool {
        let (told, now) = (&self.told[cause], now.max(1));
        let last = told.load(Relaxed);
        let due = last == 0 || now.abs_diff(last) >= PAUSE;
        due && told.compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }
}
