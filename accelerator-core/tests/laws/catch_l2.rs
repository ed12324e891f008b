//! L2 stores with one defect each, and the laws that name it.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use accelerator_core::testkit::laws::{Time, l2::failures};
use accelerator_core::testkit::{ManualClock, MemoryL2};
use accelerator_core::{
    Bytes, HoldOwner, L2Store, Limits, Outcomes, StoreError, StoreErrorKind, StoreResult, async_trait,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    Sound,
    IgnoresDeletion,
    IgnoresBatchDeletion,
    ReordersABatch,
    ServesPastTtl,
    EndsTtlEarly,
    KeepsTheFirstTtl,
    OneTtlPerBatch,
    MissingIsAnError,
    DeletingMissingIsAnError,
    DropsDuplicates,
    DropsTheTailOfABatch,
    EmptyIsMissing,
    EmptyBatchHasAnAnswer,
    ReadsValuesAsText,
    CutsLargeValues,
    CutsLongKeys,
    IgnoresCase,
    SetsOnlyOnce,
    BatchDeletesAll,
    RepliesGetOutOfStep,
    PromisesLeases,
    UnsupportedIsAnOutage,
    AReadTakesTheValue,
    BansDeletedKeys,
    BatchSetKeepsTheFirst,
    KeepsAPartOfALargeValue,
    RefusesWhatIsTooLargeAsAnOutage,
    OneLargeValueSpoilsABatch,
    OneLongKeySpoilsABatch,
    CutsKeysBeyondTheLimit,
    ALongTtlIsADate,
    NoTtlIsForEver,
    OutcomesInReverse,
    LeavesAPlaceEmpty,
    PutsBeforeItKnows,
}
use Defect::*;

/// The longest key and value, in bytes: small enough that the laws go beyond them.
const LIMITS: (usize, usize) = (1000, 100_000);

struct Broken {
    defect: Defect,
    memory: MemoryL2,
    replies: Mutex<Vec<Bytes>>,
    deleted: Mutex<HashSet<String>>,
}

impl Broken {
    fn key(&self, key: &str) -> String {
        match self.defect {
            IgnoresCase => key.to_lowercase(),
            CutsLongKeys => key.chars().take(900).collect(),
            CutsKeysBeyondTheLimit => key.chars().take(LIMITS.0).collect(),
            _ => key.to_owned(),
        }
    }

    fn too_large(&self) -> StoreError {
        let outage = self.defect == RefusesWhatIsTooLargeAsAnOutage;
        StoreError::new(if outage { StoreErrorKind::Unavailable } else { StoreErrorKind::TooLarge }, "too large")
    }
}

#[async_trait]
impl L2Store for Broken {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        if self.defect == RepliesGetOutOfStep {
            // A reply that nobody took is there for whoever asks next, as on a connection that lost count.
            let answer = self.memory.peek(key).unwrap_or_default();
            self.replies.lock().expect("lock").push(answer);
            tokio::task::yield_now().await;
            return Ok(Some(self.replies.lock().expect("lock").remove(0)).filter(|bytes| !bytes.is_empty()));
        }
        if self.key(key).len() > LIMITS.0 {
            return Err(self.too_large());
        }
        match self.memory.get(&self.key(key)).await? {
            None if self.defect == MissingIsAnError => Err(StoreError::new(StoreErrorKind::Protocol, "nil")),
            Some(bytes) if self.defect == AReadTakesTheValue => {
                self.memory.del(key).await?;
                Ok(Some(bytes))
            }
            Some(bytes) if self.defect == EmptyIsMissing && bytes.is_empty() => Ok(None),
            answer => Ok(answer),
        }
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        let key = self.key(key);
        let value = match self.defect {
            KeepsAPartOfALargeValue => value.slice(..value.len().min(LIMITS.1)),
            ReadsValuesAsText => String::from_utf8_lossy(&value).into_owned().into(),
            CutsLargeValues => value.slice(..value.len().min(65_535)),
            _ => value,
        };
        let ttl = match self.defect {
            ServesPastTtl => ttl.saturating_mul(2),
            EndsTtlEarly => ttl / 3,
            KeepsTheFirstTtl => self.memory.remaining(&key).unwrap_or(ttl),
            ALongTtlIsADate if ttl.as_secs() > 30 * 24 * 3600 => Duration::ZERO,
            NoTtlIsForEver if ttl.is_zero() => Duration::MAX,
            _ => ttl,
        };
        if key.len() > LIMITS.0 || value.len() > LIMITS.1 {
            return Err(self.too_large());
        }
        if self.defect == BansDeletedKeys && self.deleted.lock().expect("lock").contains(&key) {
            return Ok(());
        }
        if self.defect == SetsOnlyOnce && self.memory.peek(&key).is_some() {
            return Ok(());
        }
        self.memory.set(&key, value, ttl).await
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        self.deleted.lock().expect("lock").insert(key.to_owned());
        match self.defect {
            IgnoresDeletion => Ok(()),
            DeletingMissingIsAnError if self.memory.peek(key).is_none() => {
                Err(StoreError::new(StoreErrorKind::Protocol, "NOT_FOUND"))
            }
            _ => self.memory.del(&self.key(key)).await,
        }
    }

    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let mut keys = keys.to_vec();
        match self.defect {
            ReordersABatch => keys.sort_unstable(),
            DropsDuplicates => keys.dedup(),
            DropsTheTailOfABatch => keys.truncate(100),
            EmptyBatchHasAnAnswer if keys.is_empty() => keys.push("empty"),
            _ => {}
        }
        if self.defect == OneLongKeySpoilsABatch && keys.iter().any(|key| key.len() > LIMITS.0) {
            return keys.iter().map(|_| Err(self.too_large())).collect();
        }
        let mut out = Vec::new();
        for key in keys {
            out.push(self.get(key).await);
        }
        out
    }

    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        match self.defect {
            OutcomesInReverse => {
                for (n, key) in keys.iter().rev().enumerate() {
                    out.put(n, self.get(key).await);
                }
            }
            LeavesAPlaceEmpty => {
                for (n, key) in keys.iter().enumerate().skip(1) {
                    out.put(n, self.get(key).await);
                }
            }
            PutsBeforeItKnows => {
                (0..keys.len()).for_each(|n| out.put(n, Ok(None)));
                out.put_all(self.mget(keys).await);
            }
            _ => out.put_all(self.mget(keys).await),
        }
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        if self.defect == OneLargeValueSpoilsABatch && items.iter().any(|item| item.1.len() > LIMITS.1) {
            return items.iter().map(|_| Err(self.too_large())).collect();
        }
        let first = items.first().map(|item| item.2);
        let mut out = Vec::new();
        for (key, value, ttl) in items {
            if self.defect == BatchSetKeepsTheFirst && self.memory.peek(key).is_some() {
                out.push(Ok(()));
                continue;
            }
            let ttl = first.filter(|_| self.defect == OneTtlPerBatch).unwrap_or(ttl);
            out.push(self.set(key, value, ttl).await);
        }
        out
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        match self.defect {
            IgnoresBatchDeletion => return keys.iter().map(|_| Ok(())).collect(),
            BatchDeletesAll if !keys.is_empty() => self.memory.wipe(),
            _ => {}
        }
        let mut out = Vec::new();
        for key in keys {
            out.push(self.del(key).await);
        }
        out
    }

    async fn hold(&self, _: &str, _: HoldOwner, _: Duration) -> StoreResult<()> {
        Err(match self.defect {
            UnsupportedIsAnOutage => StoreError::new(StoreErrorKind::Unavailable, "unknown command"),
            _ => StoreError::unsupported("hold"),
        })
    }

    fn limits(&self) -> Limits {
        Limits::default().max_key_bytes(LIMITS.0).max_value_bytes(LIMITS.1).leases(self.defect == PromisesLeases)
    }
}

/// The laws that a store with this defect breaks.
fn caught(defect: Defect) -> Vec<&'static str> {
    failures(|| {
        let clock = ManualClock::new();
        let memory = MemoryL2::with_clock(clock.clone());
        (
            Broken { defect, memory, replies: Mutex::default(), deleted: Mutex::default() },
            Time::moved(move |by| clock.tick(by)),
        )
    })
}

#[test]
fn a_store_without_defect_keeps_all_laws() {
    assert_eq!(caught(Sound), [""; 0]);
}

#[test]
fn each_defect_is_named_by_the_laws_it_breaks() {
    let expected: &[(Defect, &[&str])] = &[
        (
            IgnoresDeletion,
            &["a_deleted_key_is_gone", "mdel_deletes_its_keys", "outcomes_are_put_at_the_places_of_their_keys"],
        ),
        (IgnoresBatchDeletion, &["mdel_deletes_its_keys", "outcomes_are_put_at_the_places_of_their_keys"]),
        (
            ServesPastTtl,
            &[
                "a_value_is_gone_after_its_ttl",
                "a_later_set_brings_its_own_ttl",
                "every_item_of_a_batch_has_its_own_ttl",
            ],
        ),
        (EndsTtlEarly, &["a_value_is_there_before_its_ttl_ends"]),
        (KeepsTheFirstTtl, &["a_later_set_brings_its_own_ttl"]),
        (OneTtlPerBatch, &["every_item_of_a_batch_has_its_own_ttl"]),
        (
            DeletingMissingIsAnError,
            &[
                "deleting_a_missing_key_is_no_error",
                "keys_beyond_the_limit_are_refused_or_kept_apart",
                "mdel_deletes_its_keys",
            ],
        ),
        (DropsDuplicates, &["mget_answers_duplicates_and_missing_keys"]),
        (DropsTheTailOfABatch, &["a_large_batch_is_answered_whole"]),
        (EmptyIsMissing, &["any_bytes_are_a_value", "set_replaces"]),
        (EmptyBatchHasAnAnswer, &["an_empty_batch_has_no_answers"]),
        (ReadsValuesAsText, &["any_bytes_are_a_value", "values_of_any_size_within_limits_are_kept"]),
        (
            CutsLargeValues,
            &["values_of_any_size_within_limits_are_kept", "values_beyond_the_limit_are_refused_or_kept_whole"],
        ),
        (
            CutsLongKeys,
            &["keys_of_the_greatest_length_are_kept_apart", "keys_beyond_the_limit_are_refused_or_kept_apart"],
        ),
        (IgnoresCase, &["keys_of_every_allowed_character_are_kept_apart"]),
        (BatchDeletesAll, &["mdel_leaves_other_keys", "outcomes_are_put_at_the_places_of_their_keys"]),
        (BansDeletedKeys, &["a_deleted_key_can_be_set_again"]),
        (BatchSetKeepsTheFirst, &["values_beyond_the_limit_are_refused_or_kept_whole", "mset_stores_all_its_items"]),
        (UnsupportedIsAnOutage, &["without_leases_lease_methods_are_unsupported"]),
        (KeepsAPartOfALargeValue, &["values_beyond_the_limit_are_refused_or_kept_whole"]),
        (
            RefusesWhatIsTooLargeAsAnOutage,
            &["values_beyond_the_limit_are_refused_or_kept_whole", "keys_beyond_the_limit_are_refused_or_kept_apart"],
        ),
        (OneLargeValueSpoilsABatch, &["values_beyond_the_limit_are_refused_or_kept_whole"]),
        (OneLongKeySpoilsABatch, &["keys_beyond_the_limit_are_refused_or_kept_apart"]),
        (CutsKeysBeyondTheLimit, &["keys_beyond_the_limit_are_refused_or_kept_apart"]),
        (ALongTtlIsADate, &["an_endless_ttl_is_taken"]),
        (NoTtlIsForEver, &["a_ttl_of_nothing_is_not_for_ever"]),
        (
            OutcomesInReverse,
            &["outcomes_are_put_at_the_places_of_their_keys", "what_was_put_before_a_call_is_dropped_is_true"],
        ),
        (LeavesAPlaceEmpty, &["outcomes_are_put_at_the_places_of_their_keys"]),
        (PutsBeforeItKnows, &["what_was_put_before_a_call_is_dropped_is_true"]),
    ];
    for (defect, laws) in expected {
        assert_eq!(caught(*defect), *laws, "{defect:?}");
    }
    // These break more than one thing; the law that names the defect is among those that fail.
    for (defect, law) in [
        (ReordersABatch, "mget_answers_in_the_order_of_its_keys"),
        (ReordersABatch, "mget_answers_duplicates_and_missing_keys"),
        (MissingIsAnError, "a_missing_key_is_none"),
        (SetsOnlyOnce, "set_replaces"),
        (AReadTakesTheValue, "get_gives_what_was_set"),
        (RepliesGetOutOfStep, "concurrent_operations_do_not_mix"),
        (RepliesGetOutOfStep, "a_dropped_operation_leaves_the_store_usable"),
        (PromisesLeases, "a_lease_is_granted_once"),
    ] {
        let laws = caught(defect);
        assert!(laws.contains(&law), "{defect:?}: {laws:?}");
    }
}
