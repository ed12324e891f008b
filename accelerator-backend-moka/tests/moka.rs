//! What is `MokaL1`'s own: bounds, weights, hashers, and that dead entries leave.
#![cfg(feature = "moka")]

use std::hash::RandomState;
use std::time::{Duration, Instant};

use accelerator_backend_moka::MokaL1;
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
    let store = MokaL1::new(100);
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
    let by_entries = MokaL1::new(0);
    let by_weight = MokaL1::builder().weigher(0, |_, _| 1).build().expect("a bound");
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
    let store = MokaL1::new(u64::MAX);
    store.insert(1, entry("value"));
    assert!(store.get(&1).is_some());
}

#[test]
fn the_weigher_bounds_the_weight() {
    let bytes = |_: &u64, entry: &Entry<String>| entry.value().map_or(0, |v| v.len() as u32);
    let store = MokaL1::builder().weigher(1_000, bytes).build().expect("a bound");
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
    let store = MokaL1::builder().weigher(10, |_, _| 0).build().expect("a bound");
    for key in 0..1_000 {
        store.insert(key, entry("value"));
    }
    assert!(store.stats().entries <= 10, "{:?}", store.stats());
}

#[test]
fn an_entry_too_heavy_leaves_no_older_one() {
    let bytes = |_: &u64, entry: &Entry<String>| entry.value().map_or(0, |v| v.len() as u32);
    let store = MokaL1::builder().weigher(100, bytes).build().expect("a bound");
    store.insert(1, entry("old"));
    store.insert(1, entry(&"x".repeat(1_000)));
    for _ in 0..2 {
        assert_ne!(store.get(&1).and_then(Entry::into_value).as_deref(), Some("old"));
        // The bookkeeping throws it out.
        let _ = store.stats();
    }
}

#[test]
fn a_dead_entry_leaves_by_itself() {
    let store = MokaL1::new(100);
    // Times of the cache's clock have another start than moka's: only their distance counts.
    store.insert(1, Entry::new(Some("short".to_owned()), 7_000_000, 7_000_001, 7_000_001, 0));
    store.insert(2, entry("long"));
    let start = Instant::now();
    while store.get(&1).is_some() {
        assert!(start.elapsed() < Duration::from_secs(10), "the entry outlived its life of 1 ms");
        std::thread::yield_now();
    }
    assert!(store.get(&2).is_some());
}

#[test]
fn a_replacement_brings_its_own_life() {
    let store = MokaL1::new(100);
    let short = || Entry::new(Some("short".to_owned()), 0, 1, 1, 0);
    store.insert(1, short());
    store.insert(1, entry("long"));
    store.insert(2, entry("long"));
    store.insert(2, short());
    let start = Instant::now();
    while store.get(&2).is_some() {
        assert!(start.elapsed() < Duration::from_secs(10), "the entry kept the life of the one it replaced");
        std::thread::yield_now();
    }
    assert!(store.get(&1).is_some(), "the entry died with the one it replaced");
}

#[test]
fn with_a_longest_life_entries_leave_at_that_age_and_not_before() {
    let life = Duration::from_millis(20);
    let store = MokaL1::builder().capacity(100).longest_life(life).build().expect("a bound");
    let start = Instant::now();
    store.insert(1, Entry::new(Some("short".to_owned()), 0, 1, 1, 0));
    store.insert(2, entry("long"));
    loop {
        let gone = 2 - alive(&store, 3);
        let age = start.elapsed();
        assert!(gone == 0 || age >= life, "an entry left at the age of {age:?}");
        if gone == 2 {
            break;
        }
        assert!(age < Duration::from_secs(10), "the entries outlived the longest life");
        std::thread::yield_now();
    }
    assert_eq!(store.stats().entries, 0, "they are freed");
}

#[test]
fn the_shortest_and_the_longest_of_longest_lives_are_taken() {
    let none = MokaL1::builder().capacity(100).longest_life(Duration::ZERO).build().expect("a bound");
    none.insert(1, entry("value"));
    assert!(none.get(&1).is_none());
    let all = MokaL1::builder()
        .capacity(100)
        .longest_life(Duration::MAX)
        .hasher(RandomState::new())
        .build()
        .expect("a bound");
    all.insert(1, entry("value"));
    assert!(all.get(&1).is_some());
}

#[test]
fn clear_frees_the_entries() {
    let store = MokaL1::new(10_000);
    for key in 0..1_000 {
        store.insert(key, entry("value"));
    }
    store.clear();
    assert_eq!(store.stats().entries, 0);
}

#[test]
fn clones_share_and_a_hasher_is_taken() {
    let store = MokaL1::builder().capacity(100).hasher(RandomState::new()).build().expect("a bound");
    store.clone().insert(1, entry("value"));
    assert!(store.get(&1).is_some());
}

#[test]
fn debug_shows_no_keys_and_no_values() {
    let store = MokaL1::new(100);
    store.insert(424_242, entry("secret"));
    let shown = format!("{store:?}");
    assert!(!shown.contains("secret") && !shown.contains("424242"), "{shown}");
}

#[test]
fn clones_have_one_identity_and_other_stores_another() {
    let (store, other) = (MokaL1::<u64, String>::new(10), MokaL1::<u64, String>::new(10));
    assert!(store.identity().is_some() && store.identity() == store.clone().identity());
    assert_ne!(store.identity(), other.identity());
}

#[test]
fn a_value_may_panic_or_call_the_cache_when_it_is_dropped() {
    rude::a_drop_that_panics_ends_nothing(MokaL1::new(8));
    rude::a_drop_may_call_the_cache(MokaL1::new(8));
}

#[test]
fn a_weigher_that_panics_ends_its_own_operation() {
    let weigher = |_: &u64, entry: &Entry<rude::Value>| match entry.value() {
        Some(value) if value.n == rude::UNLUCKY => rude::unlucky(),
        _ => 1,
    };
    rude::a_weigher_that_panics_ends_its_own_operation(
        MokaL1::builder().weigher(1_000, weigher).build().expect("a bound"),
    );
}
