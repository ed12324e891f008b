//! The laws of an [`L2Store`]. Every law takes keys that nobody else has, so that one server can serve them all.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;

pub use super::l2_age::*;
pub use super::l2_batch::*;
pub use super::l2_hold::*;
pub use super::l2_lease::*;
pub use super::l2_lease_batch::*;
pub use super::l2_lease_time::*;
pub use super::l2_limits::*;
pub use super::l2_outcomes::*;
pub use super::l2_race::*;
pub use super::l2_renew::*;
pub use super::l2_time::*;
pub use super::l2_token::*;
use super::time::Time;
use crate::error::StoreErrorKind;
use crate::traits::l2::{HoldOwner, L2Store, LeaseToken};

/// Longer than any test takes, and gone when nobody remembers it.
pub(super) const LONG: Duration = Duration::from_secs(600);

// The laws that are over at once, and those that let time pass.
#[doc(hidden)]
#[macro_export]
macro_rules! __l2_law_list {
    ($then:ident, $($arguments:tt)*) => {
        $crate::$then! { [
            a_missing_key_is_none,
            get_gives_what_was_set,
            any_bytes_are_a_value,
            values_of_any_size_within_limits_are_kept,
            values_beyond_the_limit_are_refused_or_kept_whole,
            set_replaces,
            a_deleted_key_is_gone,
            deleting_a_missing_key_is_no_error,
            a_deleted_key_can_be_set_again,
            keys_of_every_allowed_character_are_kept_apart,
            keys_of_the_greatest_length_are_kept_apart,
            keys_beyond_the_limit_are_refused_or_kept_apart,
            concurrent_operations_do_not_mix,
            a_dropped_operation_leaves_the_store_usable,
            mget_answers_in_the_order_of_its_keys,
            mget_answers_duplicates_and_missing_keys,
            an_empty_batch_has_no_answers,
            mset_stores_all_its_items,
            mdel_deletes_its_keys,
            mdel_leaves_other_keys,
            a_large_batch_is_answered_whole,
            outcomes_are_put_at_the_places_of_their_keys,
            what_was_put_before_a_call_is_dropped_is_true,
            an_endless_ttl_is_taken,
            without_leases_lease_methods_are_unsupported,
            a_lease_is_granted_once,
            a_fill_under_the_lease_is_stored,
            a_fill_after_a_delete_is_lost,
            a_fill_after_a_set_is_lost,
            a_released_lease_is_free,
            a_hold_blocks_leases_and_older_fills,
            a_hold_ends_by_its_owner_alone,
            a_delete_or_set_leaves_a_hold,
            a_batch_leaves_a_hold,
            an_end_of_no_hold_is_a_delete,
            many_holds_of_one_key_are_counted,
            of_many_holds_at_once_each_counts,
            a_read_for_a_lease_finds_what_a_plain_read_finds,
            a_lease_or_hold_is_no_value,
            endless_leases_are_taken,
            a_used_token_fills_nothing,
            each_lease_has_a_token_of_its_own,
            a_foreign_token_is_worth_nothing,
            a_value_seen_can_be_replaced_once,
            a_value_seen_can_be_removed,
            a_value_seen_and_gone_is_not_replaced,
            lease_batches_answer_in_order,
            an_empty_lease_batch_has_no_answers,
            a_key_named_twice_is_leased_and_filled_once,
            a_large_lease_batch_is_answered_whole,
            lease_outcomes_are_put_at_the_places_of_their_keys,
            of_many_readers_at_once_one_gets_the_lease,
            of_many_batches_at_once_one_gets_each_lease,
            of_many_fills_at_once_one_is_stored,
            a_fill_racing_a_delete_leaves_nothing,
            a_dropped_lease_operation_leaves_the_store_usable,
            a_renewed_lease_is_filled_and_released,
            a_lease_that_is_gone_is_not_renewed,
            a_value_seen_is_not_renewed,
            a_foreign_token_renews_nothing,
            renewals_of_a_batch_answer_in_order,
            a_read_that_is_given_up_leaves_no_lease,
        ] [
            a_value_is_there_before_its_ttl_ends,
            a_value_is_gone_after_its_ttl,
            a_later_set_brings_its_own_ttl,
            every_item_of_a_batch_has_its_own_ttl,
            a_ttl_of_nothing_is_not_for_ever,
            a_lease_ends,
            a_fill_after_the_end_of_its_lease_is_lost,
            a_hold_ends,
            each_hold_ends_at_its_own_time,
            leases_and_holds_of_no_time_end,
            a_fill_brings_its_own_ttl,
            a_renewed_lease_stands_longer,
            a_renewal_ends,
            an_age_is_no_less_than_it_is,
        ] $($arguments)* }
    };
}

/// The names of the laws that a store breaks.
pub fn failures<S: L2Store>(make: impl Fn() -> (S, Time<'static>)) -> Vec<&'static str> {
    super::broken(crate::__l2_law_list! { __async_law_calls, make })
}

/// A key that no other test has, within any sensible limit.
pub(super) fn fresh_key() -> String {
    format!("law.{:016x}", fastrand::u64(..))
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(super) async fn set<S: L2Store + ?Sized>(store: &S, key: &str, value: &str) {
    store.set(key, bytes(value), LONG).await.expect("set");
}

pub(super) async fn get<S: L2Store + ?Sized>(store: &S, key: &str) -> Option<Bytes> {
    store.get(key).await.expect("get")
}

/// A key that was never set is `None`, not an error.
pub async fn a_missing_key_is_none<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let key = fresh_key();
    assert_eq!(get(store, &key).await, None);
    set(store, &fresh_key(), "another").await;
    assert_eq!(get(store, &key).await, None);
}

/// `get` answers the bytes that were set.
pub async fn get_gives_what_was_set<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let key = fresh_key();
    set(store, &key, "value").await;
    assert_eq!(get(store, &key).await, Some(bytes("value")));
    assert_eq!(get(store, &key).await, Some(bytes("value")), "the second read");
}

/// Values are bytes: empty ones, zeros, line ends and what isn't text.
pub async fn any_bytes_are_a_value<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let all: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"\0", b"\r\n", b"END\r\n", b"$-1\r\n", b" ", &[0xFF, 0xFE], &all] {
        let key = fresh_key();
        store.set(&key, Bytes::copy_from_slice(value), LONG).await.expect("set");
        assert_eq!(get(store, &key).await.as_deref(), Some(value));
    }
}

/// The later set wins, also where it is shorter.
pub async fn set_replaces<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let key = fresh_key();
    for value in ["a long first value", "short", ""] {
        set(store, &key, value).await;
        assert_eq!(get(store, &key).await, Some(bytes(value)));
    }
}

/// When `del` has answered, the key is gone.
pub async fn a_deleted_key_is_gone<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let key = fresh_key();
    set(store, &key, "value").await;
    store.del(&key).await.expect("del");
    assert_eq!(get(store, &key).await, None, "a value survived its deletion");
}

/// Deleting what isn't there is no error, and deletes nothing else.
pub async fn deleting_a_missing_key_is_no_error<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let key = fresh_key();
    set(store, &key, "value").await;
    store.del(&fresh_key()).await.expect("del of a missing key");
    assert_eq!(get(store, &key).await, Some(bytes("value")));
}

/// A deletion is not a ban.
pub async fn a_deleted_key_can_be_set_again<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let key = fresh_key();
    set(store, &key, "first").await;
    store.del(&key).await.expect("del");
    set(store, &key, "second").await;
    assert_eq!(get(store, &key).await, Some(bytes("second")));
}

/// All of `[A-Za-z0-9._~-]` may be in a key, and each character counts, at either end of it.
pub async fn keys_of_every_allowed_character_are_kept_apart<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let base = fresh_key();
    let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*b"._~-").map(char::from);
    let keys: Vec<String> = letters.flat_map(|c| [format!("{base}{c}"), format!("{c}{base}")]).collect();
    for key in &keys {
        set(store, key, key).await;
    }
    for key in &keys {
        assert_eq!(get(store, key).await, Some(bytes(key)), "key {key}");
    }
}

/// Operations under way at the same time get their own answers.
pub async fn concurrent_operations_do_not_mix<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let one = async |n: usize| {
        let key = fresh_key();
        assert_eq!(get(store, &key).await, None, "another's answer");
        for round in 0..8 {
            let value = format!("{n} in round {round}").repeat(1 + n * 7 % 50);
            set(store, &key, &value).await;
            assert_eq!(get(store, &key).await, Some(bytes(&value)), "another's answer");
        }
    };
    join_all((0..32).map(one)).await;
}

/// An operation may be dropped at any await (the engine's time limit does it): the next ones get their own answers.
pub async fn a_dropped_operation_leaves_the_store_usable<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    let (dropped, kept) = (fresh_key(), fresh_key());
    set(store, &dropped, "of the dropped").await;
    set(store, &kept, "kept").await;
    for _ in 0..16 {
        let _ = store.get(&dropped).now_or_never();
        assert_eq!(get(store, &kept).await, Some(bytes("kept")), "after a dropped get");
        let _ = store.set(&dropped, bytes("new"), LONG).now_or_never();
        assert_eq!(get(store, &kept).await, Some(bytes("kept")), "after a dropped set");
        let _ = store.mget(&[&dropped, &dropped]).now_or_never();
        assert_eq!(get(store, &kept).await, Some(bytes("kept")), "after a dropped mget");
        let _ = store.del(&dropped).now_or_never();
        set(store, &kept, "kept").await;
    }
    store.get(&dropped).await.expect("get of the key whose operations were dropped");
}

/// A store whose limits say that it has no leases answers `Unsupported`, so that nobody takes it for an outage.
pub async fn without_leases_lease_methods_are_unsupported<S: L2Store + ?Sized>(store: &S, _: &Time<'_>) {
    if store.limits().leases {
        return;
    }
    let (key, token) = (fresh_key(), LeaseToken::new([0; 32]));
    let kinds = [
        store.get_or_lease(&key, LONG).await.err().map(|e| e.kind()),
        store.fill(&key, &token, bytes("value"), LONG).await.err().map(|e| e.kind()),
        store.release(&key, token).await.err().map(|e| e.kind()),
        store.hold(&key, HoldOwner::random(), LONG).await.err().map(|e| e.kind()),
        store.unhold(&key, HoldOwner::random()).await.err().map(|e| e.kind()),
        store.renew(&key, &token, LONG).await.err().map(|e| e.kind()),
    ];
    assert_eq!(kinds, [Some(StoreErrorKind::Unsupported); 6]);
    let batch = store.mget_or_lease(&[&key, &key], LONG).await;
    assert_eq!(batch.len(), 2, "one answer per key");
}
