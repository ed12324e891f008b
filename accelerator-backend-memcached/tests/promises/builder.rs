//! What the builder refuses, and how it says so.

use std::time::Duration;

use accelerator_backend_memcached::{MemcachedStore, MemcachedStoreBuilder};
use accelerator_core::{CacheError, ErrorKind, L2Store, StoreErrorKind};

use crate::tools::{builder, error, kind};

fn refused(builder: MemcachedStoreBuilder) -> String {
    let error = builder.build().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    error.to_string()
}

#[test]
fn every_refusal_names_the_field_the_value_and_what_it_takes() {
    let given = || builder("a:1");
    let most = Duration::from_secs(60);
    let cases = [
        (MemcachedStore::builder(), "servers = []: takes at least one host:port"),
        (MemcachedStore::builder().servers(["a:1", "memcache://a:1"]), "servers = a:1: takes each server once"),
        (
            MemcachedStore::builder().servers(["redis://a:1"]),
            "servers = (not shown): bad scheme; takes host:port or memcache://host:port, without a login",
        ),
        (given().key_prefix("a b"), "key_prefix = \"a b\": takes up to 185 ASCII characters, no spaces"),
        (given().connect_timeout(Duration::ZERO), "connect_timeout = 0ns: takes more than nothing and at most 60 s"),
        (
            given().response_timeout(most + Duration::from_millis(1)),
            "response_timeout = 60.001s: takes more than nothing and at most 60 s",
        ),
        (given().max_connections(0), "max_connections = 0: takes 1 to 65536"),
        (given().max_connections(65_537), "max_connections = 65537: takes 1 to 65536"),
        (given().max_idle(0), "max_idle = 0: takes 1 to max_connections"),
        (given().max_connections(2).max_idle(3), "max_idle = 3: takes 1 to max_connections"),
        (given().max_value_bytes(0), "max_value_bytes = 0: takes 1 to 1073741824 (1 GiB)"),
        (given().max_value_bytes((1 << 30) + 1), "max_value_bytes = 1073741825: takes 1 to 1073741824 (1 GiB)"),
    ];
    for (builder, expected) in cases {
        assert_eq!(refused(builder), expected);
    }
    for prefix in ["x".repeat(187), "ä".to_owned(), "a\n".to_owned()] {
        assert!(refused(given().key_prefix(prefix)).starts_with("key_prefix = "));
    }
}

#[test]
fn the_borders_are_taken() {
    let given = || builder("a:1");
    let most = Duration::from_secs(60);
    for builder in [
        given().key_prefix("x".repeat(185)),
        given().connect_timeout(Duration::from_nanos(1)).response_timeout(most),
        given().max_connections(65_536).max_idle(65_536),
        given().max_idle(1).max_connections(1),
        given().max_value_bytes(1 << 30),
        MemcachedStore::builder().servers(["memcache://a,b:2,[::1]:3"]),
    ] {
        builder.build().expect("a store");
    }
}

#[test]
fn limits_follow_what_was_given() {
    let store = builder("a:1").key_prefix("12345:").max_value_bytes(7).build().expect("a store");
    let limits = store.limits();
    assert_eq!((limits.max_key_bytes, limits.max_value_bytes), (243, 7));
    assert_eq!((limits.ttl_granularity, limits.leases), (Duration::from_secs(1), true));
}

#[tokio::test]
async fn connect_refuses_what_build_refuses() {
    let refused = error(MemcachedStore::builder().connect().await);
    assert_eq!(refused.kind(), StoreErrorKind::Other);
    assert!(format!("{refused:#}").contains("servers = []"), "{refused:#}");
    let source = std::error::Error::source(&refused).and_then(|source| source.downcast_ref::<CacheError>());
    assert_eq!(source.map(CacheError::kind), Some(ErrorKind::InvalidConfig));
}

#[tokio::test]
async fn errors_name_the_server_and_no_key() {
    let store = builder("127.0.0.1:1").build().expect("a store");
    let refused = error(store.get("secret").await);
    let said = format!("{refused} {refused:?}");
    assert!(said.contains("127.0.0.1:1") && !said.contains("secret"), "{said}");
    assert!(std::error::Error::source(&refused).is_some(), "the error of the system is kept");
    assert_eq!(format!("{store:?}"), "MemcachedStore { servers: [\"127.0.0.1:1\"], .. }");
    assert_eq!(kind(builder("no-such-host.invalid").connect().await), StoreErrorKind::Unavailable);
}
