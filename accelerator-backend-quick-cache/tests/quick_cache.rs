//! What is `QuickCacheL1`'s own: bounds, weights and hashers.

use std::hash::RandomState;
use std::sync::Arc;

use accelerator_backend_quick_cache::QuickCacheL1;
use accelerator_core::{Entry, L1Store};

#[path = "../../accelerator-core/tests/promises/rude.rs"]
mod rude;

fn entry(value: &str) -> Entry<String> {
    Entry::new(Some(value.to_owned()), 0, 3_600_000, 3_600_000, 0)
}

fn alive<S>(store: &S, keys: u64) -> u64
where
    S: L1Store<u64, String>,
{
    (0..keys).filter(|key| store.get(key).is_some()).count() as u64
}

#[test]
fn capacity_bounds_the_number_of_entries() {
    let store = QuickCacheL1::new(100);
    for key in 0..10_000 {
        store.insert(key, entry("value"));
    }
    let stats = store.stats();
    assert!(stats.entries <= 100, "{stats:?}");
    assert_eq!(stats.entries, alive(&store, 10_000));
    assert_eq!(stats.weight, None, "there is no weigher");
}

#[test]
fn a_capacity_of_zero_stores_nothing() {
    let by_entries: Arc<dyn L1Store<u64, String>> = Arc::new(QuickCacheL1::new(0));
    let by_weight: Arc<dyn L1Store<u64, String>> =
        Arc::new(QuickCacheL1::builder().weigher(0, |_, _| 1).build().expect("a bound"));
    for store in [by_entries, by_weight] {
        store.insert(1, entry("value"));
        assert!(store.get(&1).is_none());
        store.remove(&1);
        store.clear();
        assert_eq!(store.stats().entries, 0);
    }
}

#[test]
fn the_greatest_capacity_is_taken() {
    let store = QuickCacheL1::new(u64::MAX);
    store.insert(1, entry("value"));
    assert!(store.get(&1).is_some());
}

#[test]
fn the_weigher_bounds_the_weight() {
    let bytes = |_: &u64, entry: &Entry<String>| entry.value().map_or(0, |v| v.len() as u32);
    let store = QuickCacheL1::builder().weigher(1_000, bytes).build().expect("a bound");
    for key in 0..1_000 {
        store.insert(key, entry(&"x".repeat(50)));
    }
    let stats = store.stats();
    let weight = stats.weight.expect("the store weighs");
    assert!(weight <= 1_000, "{stats:?}");
    assert_eq!(weight, 50 * stats.entries);
}

#[test]
fn what_weighs_nothing_counts_as_one() {
    let store = QuickCacheL1::builder().weigher(10, |_, _| 0).build().expect("a bound");
    for key in 0..1_000 {
        store.insert(key, entry("value"));
    }
    assert!(store.stats().entries <= 10, "{:?}", store.stats());
}

#[test]
fn an_entry_too_heavy_leaves_no_older_one() {
    let bytes = |_: &u64, entry: &Entry<String>| entry.value().map_or(0, |v| v.len() as u32);
    let store = QuickCacheL1::builder().weigher(100, bytes).build().expect("a bound");
    store.insert(1, entry("old"));
    store.insert(1, entry(&"x".repeat(1_000)));
    for _ in 0..2 {
        assert_ne!(store.get(&1).and_then(Entry::into_value).as_deref(), Some("old"));
    }
}

#[test]
fn clear_frees_the_entries() {
    let store = QuickCacheL1::new(10_000);
    for key in 0..1_000 {
        store.insert(key, entry("value"));
    }
    store.clear();
    assert_eq!(store.stats().entries, 0);
}

#[test]
fn clones_share_and_a_hasher_is_taken() {
    let store = QuickCacheL1::builder().capacity(100).hasher(RandomState::new()).build().expect("a bound");
    store.clone().insert(1, entry("value"));
    assert!(store.get(&1).is_some());
}

#[test]
fn debug_shows_no_keys_and_no_values() {
    let store = QuickCacheL1::new(100);
    store.insert(424_242, entry("secret"));
    let shown = format!("{store:?}");
    assert!(!shown.contains("secret") && !shown.contains("424242"), "{shown}");
}

#[test]
fn clones_have_one_identity_and_other_stores_another() {
    let (store, other) = (QuickCacheL1::<u64, String>::new(10), QuickCacheL1::<u64, String>::new(10));
    assert!(store.identity().is_some() && store.identity() == store.clone().identity());
    assert_ne!(store.identity(), other.identity());
}

#[test]
fn a_value_may_panic_or_call_the_cache_when_it_is_dropped() {
    rude::a_drop_that_panics_ends_nothing(QuickCacheL1::new(8));
    rude::a_drop_may_call_the_cache(QuickCacheL1::new(8));
}

#[test]
fn a_weigher_that_panics_ends_its_own_operation() {
    let weigher = |_: &u64, entry: &Entry<rude::Value>| match entry.value() {
        Some(value) if value.n == rude::UNLUCKY => rude::unlucky(),
        _ => 1,
    };
    rude::a_weigher_that_panics_ends_its_own_operation(
        QuickCacheL1::builder().weigher(100_000, weigher).build().expect("a bound"),
    );
}
