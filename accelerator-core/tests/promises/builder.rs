//! The builder refuses nonsense by name: the field, its value, and what it accepts.

use accelerator_core::testkit::{MemoryL1, MemoryL2};
use accelerator_core::{CacheResult, ErrorKind, LevelCache, LevelCacheBuilder, Limits, NoL1};

use crate::common::{L1, TTL, World, ms, ok, secs};

const YEAR: u64 = 365 * 24 * 3600;

fn refused<C>(built: CacheResult<C>, parts: &[&str]) {
    let Err(e) = built else { unreachable!("accepted: {parts:?}") };
    assert_eq!(e.kind(), ErrorKind::InvalidConfig);
    assert!(!e.is_transient());
    let text = e.to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

#[test]
fn each_nonsense_is_refused_by_name_value_and_range() {
    type Change = fn(LevelCacheBuilder<u64, u64, L1>) -> LevelCacheBuilder<u64, u64, L1>;
    let cases: Vec<(Change, &[&str])> = vec![
        (|b| b.area(""), &["area", "\"\"", "1 to 100"]),
        (|b| b.area("x".repeat(101)), &["area", "xxx", "1 to 100"]),
        (|b| b.ttl(ms(0)), &["ttl = 0ns", "1 ms to 10 years"]),
        (|b| b.ttl(std::time::Duration::from_micros(999)), &["ttl = 999µs", "1 ms to 10 years"]),
        (|b| b.ttl(secs(11 * YEAR)), &["ttl = 346896000s", "1 ms to 10 years"]),
        (|b| b.l1_ttl(ms(0)), &["l1_ttl = 0ns", "1 ms to 10 years"]),
        (|b| b.l2_ttl(ms(0)), &["l2_ttl = 0ns", "1 ms to 10 years"]),
        (|b| b.null_ttl(ms(0)), &["null_ttl = 0ns", "1 ms to 10 years"]),
        (|b| b.null_ttl(secs(5)).cache_null_value(false), &["null_ttl = 5s", "cache_null_value"]),
        (|b| b.l1_ttl(secs(61)), &["l1_ttl = 61s", "at most the L2 TTL, 60s"]),
        (|b| b.l1_ttl(secs(6)).l2_ttl(secs(5)), &["l1_ttl = 6s", "at most the L2 TTL, 5s"]),
        (|b| b.ttl_jitter_ratio(-0.1), &["ttl_jitter_ratio = -0.1", "0.0 to 1.0"]),
        (|b| b.ttl_jitter_ratio(1.5), &["ttl_jitter_ratio = 1.5", "0.0 to 1.0"]),
        (|b| b.ttl_jitter_ratio(f64::NAN), &["ttl_jitter_ratio = NaN", "0.0 to 1.0"]),
        (|b| b.ttl_jitter_ratio(f64::INFINITY), &["ttl_jitter_ratio = inf", "0.0 to 1.0"]),
        (|b| b.refresh_ahead_window(ms(0)), &["refresh_ahead_window = 0ns", "more than zero", "60s"]),
        (|b| b.refresh_ahead_window(TTL), &["refresh_ahead_window = 60s", "less than the TTL, 60s"]),
        (|b| b.l1_ttl(secs(5)).refresh_ahead_window(secs(6)), &["refresh_ahead_window = 6s", "less than the TTL, 5s"]),
        (|b| b.stale_on_error(secs(11 * YEAR)), &["stale_on_error = 346896000s", "zero to 10 years"]),
        (|b| b.loader_timeout(ms(0)), &["loader_timeout = 0ns", "1 ms to 10 years"]),
        (|b| b.loader_timeout(std::time::Duration::MAX), &["loader_timeout", "1 ms to 10 years"]),
        (|b| b.l2_timeout(ms(0)), &["l2_timeout = 0ns", "1 ms to 10 years"]),
        (|b| b.l2_timeout(std::time::Duration::MAX), &["l2_timeout", "1 ms to 10 years"]),
        (|b| b.lease_ttl(ms(3249)), &["lease_ttl = 3.249s", "3.25s", "loader_timeout", "10 years"]),
        (|b| b.loader_timeout(secs(9)).lease_ttl(secs(10)), &["lease_ttl = 10s", "10.25s"]),
        (|b| b.lease_ttl(std::time::Duration::MAX), &["lease_ttl", "10 years"]),
        (|b| b.lease_wait(std::time::Duration::MAX), &["lease_wait", "10 years"]),
        (|b| b.max_batch(0), &["max_batch = 0", "1 or more"]),
    ];
    let w = World::new();
    assert!(w.both().build().is_ok());
    for (change, parts) in cases {
        refused(change(w.both()).build(), parts);
    }
}

#[test]
fn what_is_missing_is_named() {
    let w = World::new();
    let none = || LevelCache::<u64, u64>::builder();
    refused(none().l1(w.l1.clone()).ttl(TTL).build(), &["area", "call area(..)"]);
    refused(none().area("t").ttl(TTL).build(), &["l1 and l2", "none", "an l1, an l2, or both"]);
    refused(none().area("t").l1(w.l1.clone()).build(), &["ttl = none", "call ttl(..)"]);
    refused(none().area("t").l2(w.l2.clone()).build(), &["ttl = none", "call ttl(..)"]);
    refused(none().area("t").l1(w.l1.clone()).l2(w.l2.clone()).l1_ttl(TTL).build(), &["ttl = none", "call ttl(..)"]);
    refused(none().area("t").l1(w.l1.clone()).l2(w.l2.clone()).l2_ttl(TTL).build(), &["ttl = none", "call ttl(..)"]);
    // Beside an L2, L1 keeps a value for 10 s at most.
    let window = secs(10);
    refused(w.l1().l2(w.l2.clone()).refresh_ahead_window(window).build(), &["refresh_ahead_window", "the TTL, 10s"]);
    refused(w.no_loader().refresh_ahead_window(secs(5)).build(), &["refresh_ahead_window = 5s", "loader"]);
    refused(w.l2().refresh_ahead_window(secs(5)).build(), &["refresh_ahead_window = 5s", "needs an l1"]);
}

#[test]
fn a_store_whose_keys_are_too_short_is_refused() {
    let w = World::new();
    let tiny = |bytes| MemoryL2::new().with_limits(Limits::default().max_key_bytes(bytes));
    refused(w.l1().l2(tiny(63)).build(), &["max_key_bytes = 63", "64 or more"]);
    assert!(w.l1().l2(tiny(64)).build().is_ok());
}

#[test]
fn what_makes_sense_is_accepted() {
    let w = World::new();
    let none = || LevelCache::<u64, u64>::builder();
    ok(none().area("t").l1(w.l1.clone()).l1_ttl(TTL));
    ok(none().area("t").l2(w.l2.clone()).l2_ttl(TTL));
    ok(none().area("t").l1(w.l1.clone()).l2(w.l2.clone()).l1_ttl(TTL).l2_ttl(TTL));
    ok(none().area("t").l1(NoL1).ttl(TTL));
    ok(w.both().area("é".repeat(100)));
    ok(w.l1().l2(w.l2.clone()).ttl(ms(1)));
    ok(w.both().ttl(secs(10 * YEAR)).stale_on_error(secs(10 * YEAR)).loader_timeout(secs(10 * YEAR)));
    ok(w.both().ttl_jitter_ratio(0.0));
    ok(w.both().ttl_jitter_ratio(1.0));
    ok(w.both().max_batch(1));
    ok(w.both().refresh_ahead_window(TTL - ms(1)));
    ok(w.both().cache_null_value(false));
    ok(w.both().null_ttl(secs(3600)));
    // L1's TTL follows L2's where it was not given itself.
    ok(w.l1().l2(w.l2.clone()).l2_ttl(secs(5)));
    ok(w.both().loader_timeout(secs(1)).lease_ttl(ms(2250)));
}

#[test]
fn a_cache_is_named_in_debug_and_shows_no_keys_or_values() {
    let cache = LevelCache::<String, String>::builder().area("t").l1(MemoryL1::new()).ttl(TTL).build().unwrap();
    drop(cache.set(&"secret-key".to_owned(), "secret-value".to_owned()));
    let text = format!("{cache:?}");
    assert!(text.starts_with("LevelCache") && !text.contains("secret"), "{text}");
}
