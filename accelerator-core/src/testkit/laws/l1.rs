//! The laws of an [`L1Store`]. Keys are `u64`, values `String`: an owned value shows a store that shares wrongly.

use std::sync::Arc;

pub use super::l1_removal::*;
use crate::entry::Entry;
use crate::traits::l1::L1Store;

/// How many entries the laws about many entries use: few enough to be kept by any policy in a store with room for
/// a thousand.
pub(super) const SOME: u64 = 32;
/// A moment of the cache's clock; far from the start of any store's own.
const BIRTH: u64 = 5_000_000;
const HOUR: u64 = 3_600_000;

#[doc(hidden)]
#[macro_export]
macro_rules! __l1_law_list {
    ($then:ident, $($arguments:tt)*) => {
        $crate::$then! { [
            a_key_never_inserted_is_missing,
            get_gives_exactly_what_was_inserted,
            known_absence_is_kept_apart_from_missing,
            insert_replaces,
            entries_are_kept_apart_by_key,
            entries_within_capacity_are_kept,
            an_endless_life_is_kept,
            a_dead_entry_leaves_no_older_one,
            a_living_entry_replaces_a_dead_one,
            a_value_handed_out_outlives_its_entry,
            stats_count_no_more_than_was_inserted,
            a_removed_key_is_gone,
            removing_a_missing_key_is_harmless,
            remove_leaves_other_keys,
            a_removed_key_can_be_inserted_again,
            clear_removes_everything,
            a_cleared_store_takes_new_entries,
            an_insert_is_seen_by_other_threads,
            a_removal_is_seen_by_other_threads,
            clear_wins_over_earlier_inserts_of_all_threads,
            the_last_removal_wins_over_concurrent_inserts,
        ] $($arguments)* }
    };
}

/// The names of the laws that a store breaks.
pub fn failures<S: L1Store<u64, String>>(make: impl Fn() -> S) -> Vec<&'static str> {
    super::broken(crate::__l1_law_list! { __law_calls, (&make()) })
}

/// The store behind a trait object.
#[doc(hidden)]
pub fn erase<S: L1Store<u64, String>>(store: S) -> Arc<dyn L1Store<u64, String>> {
    Arc::new(store)
}

/// An entry of a long life.
pub(super) fn entry(value: &str) -> Entry<String> {
    Entry::new(Some(value.to_owned()), BIRTH, BIRTH + HOUR, BIRTH + 2 * HOUR, 1)
}

/// What is stored under a key, as text.
pub(super) fn text<S: L1Store<u64, String> + ?Sized>(store: &S, key: u64) -> Option<String> {
    store.get(&key)?.into_value()
}

/// A key that was never inserted is missing.
pub fn a_key_never_inserted_is_missing<S: L1Store<u64, String> + ?Sized>(store: &S) {
    assert!(store.get(&1).is_none(), "an empty store has an entry");
    store.insert(2, entry("two"));
    assert!(store.get(&1).is_none(), "a store has an entry for a key that was never inserted");
}

/// `get` answers the entry that was inserted: value, times and generation.
pub fn get_gives_exactly_what_was_inserted<S: L1Store<u64, String> + ?Sized>(store: &S) {
    let inserted = Entry::new(Some("value".to_owned()), BIRTH, BIRTH + HOUR, BIRTH + 2 * HOUR, 7).with_window(1000);
    store.insert(1, inserted.clone());
    let got = store.get(&1).expect("the entry just inserted");
    assert_eq!(got.value(), inserted.value(), "value");
    assert_eq!(got.life(), inserted.life(), "birth");
    assert_eq!(got.fresh_until(), inserted.fresh_until(), "end of freshness");
    assert_eq!(got.useful_until(), inserted.useful_until(), "end of usefulness");
    assert_eq!(got.generation(), inserted.generation(), "generation");
    let calm = |e: &Entry<String>| [1001, 1000, 999].map(|before| e.is_plainly_fresh(BIRTH + HOUR - before));
    assert_eq!(calm(&got), calm(&inserted), "refresh window");
}

/// Known to be absent is an entry; it is not the same as no entry.
pub fn known_absence_is_kept_apart_from_missing<S: L1Store<u64, String> + ?Sized>(store: &S) {
    store.insert(1, Entry::new(None, BIRTH, BIRTH + HOUR, BIRTH + HOUR, 1));
    let got = store.get(&1).expect("an entry without value is an entry");
    assert!(got.value().is_none(), "absence became a value");
    assert!(store.get(&2).is_none(), "a missing key became known absence");
    store.insert(1, entry("value"));
    assert_eq!(text(store, 1).as_deref(), Some("value"), "a value replaces known absence");
}

/// Inserting under a key that is there replaces all of the entry.
pub fn insert_replaces<S: L1Store<u64, String> + ?Sized>(store: &S) {
    store.insert(1, entry("old"));
    store.insert(1, Entry::new(Some("new".to_owned()), BIRTH + 1, BIRTH + 2 * HOUR, BIRTH + 3 * HOUR, 2));
    let got = store.get(&1).expect("the entry that replaced another");
    assert_eq!(got.value().map(String::as_str), Some("new"), "value");
    assert_eq!((got.fresh_until(), got.useful_until()), (BIRTH + 2 * HOUR, BIRTH + 3 * HOUR), "times");
    assert_eq!(got.generation(), 2, "generation");
}

/// No key answers with another's entry.
pub fn entries_are_kept_apart_by_key<S: L1Store<u64, String> + ?Sized>(store: &S) {
    // Keys that look alike to a store that uses half of them, or their sum of digits.
    let keys = [0, 1, 10, 1 << 32, (1 << 32) + 1, u64::MAX, u64::MAX - 1];
    for key in keys {
        store.insert(key, entry(&key.to_string()));
    }
    for key in keys {
        assert_eq!(text(store, key), Some(key.to_string()), "key {key}");
    }
}

/// Well below its capacity, a store keeps what it is given.
pub fn entries_within_capacity_are_kept<S: L1Store<u64, String> + ?Sized>(store: &S) {
    for key in 0..SOME {
        store.insert(key, entry(&key.to_string()));
    }
    let kept = (0..SOME).filter(|&key| text(store, key) == Some(key.to_string())).count();
    assert_eq!(kept as u64, SOME, "entries were lost (does the store take 1000?)");
}

/// The longest life there is breaks no arithmetic and is no reason to drop the entry.
pub fn an_endless_life_is_kept<S: L1Store<u64, String> + ?Sized>(store: &S) {
    store.insert(1, Entry::new(Some("endless".to_owned()), 0, u64::MAX, u64::MAX, 1));
    store.insert(1, Entry::new(Some("endless".to_owned()), 0, u64::MAX, u64::MAX, 1));
    assert_eq!(text(store, 1).as_deref(), Some("endless"), "an entry with an endless life was lost");
}

/// A store may drop an entry whose life is over, or refuse it, but then the entry it replaces is gone as well.
pub fn a_dead_entry_leaves_no_older_one<S: L1Store<u64, String> + ?Sized>(store: &S) {
    store.insert(1, entry("old"));
    store.insert(1, Entry::new(Some("dead".to_owned()), BIRTH, BIRTH, BIRTH, 1));
    let got = text(store, 1);
    assert!(got.is_none() || got.as_deref() == Some("dead"), "an older entry came back: {got:?}");
}

/// An entry whose life is over doesn't shorten the life of the next one under its key.
pub fn a_living_entry_replaces_a_dead_one<S: L1Store<u64, String> + ?Sized>(store: &S) {
    store.insert(1, Entry::new(Some("dead".to_owned()), BIRTH, BIRTH, BIRTH, 1));
    store.insert(1, entry("living"));
    assert_eq!(text(store, 1).as_deref(), Some("living"), "a living entry was taken for the dead one");
}

/// What `get` handed out is the caller's own: nothing that happens to the store changes it.
pub fn a_value_handed_out_outlives_its_entry<S: L1Store<u64, String> + ?Sized>(store: &S) {
    store.insert(1, entry("first"));
    let held = store.get(&1).expect("the entry just inserted");
    let second = store.get(&1).expect("the entry just inserted");
    drop(second);
    store.insert(1, entry("other"));
    store.remove(&1);
    store.clear();
    assert_eq!(held.into_value().as_deref(), Some("first"), "a value changed in the caller's hands");
}

/// `stats` may lag, but never counts more entries than were inserted.
pub fn stats_count_no_more_than_was_inserted<S: L1Store<u64, String> + ?Sized>(store: &S) {
    assert_eq!(store.stats().entries, 0, "an empty store counts entries");
    for key in 0..SOME {
        store.insert(key, entry("value"));
        // Replacing is not a second entry.
        store.insert(key, entry("value"));
    }
    let entries = store.stats().entries;
    assert!(entries <= SOME, "{entries} entries counted, {SOME} inserted");
}
