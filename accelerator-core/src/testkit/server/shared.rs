//! One server for all tests that need no more than a server.

use std::sync::OnceLock;

use super::{MemcachedServer, NatsServer, RedisServer};

/// The URL of a plain Redis for tests that neither stop nor restart it, nor count on being alone: that of the variable
/// `ACCELERATOR_TEST_REDIS_URL`, else of a server that is started at the first call, serves the whole test process and
/// ends with it.
///
/// `None` if it would have to be started, `redis-server` is not installed, and `ACCELERATOR_SKIP_SERVERS` is `1`.
///
/// ```no_run
/// # async fn connect(url: &str) -> accelerator_core::testkit::MemoryL2 { unimplemented!() }
/// use accelerator_core::testkit::server;
/// // A law may return early: then it is skipped, and the first call said so.
/// accelerator_core::l2_laws!(redis, {
///     let Some(url) = server::redis_url() else { return };
///     connect(url).await
/// });
/// ```
///
/// # Panics
///
/// `redis-server` is not installed, or does not start.
#[must_use]
pub fn redis_url() -> Option<&'static str> {
    static SERVER: OnceLock<Option<RedisServer>> = OnceLock::new();
    static URL: OnceLock<Option<String>> = OnceLock::new();
    let start = || SERVER.get_or_init(RedisServer::start).as_ref().map(RedisServer::url);
    URL.get_or_init(|| given("ACCELERATOR_TEST_REDIS_URL").or_else(start)).as_deref()
}

/// The address (`host:port`) of a plain memcached for tests that neither stop nor restart it, nor count on being alone:
/// that of the variable `ACCELERATOR_TEST_MEMCACHED_URL` (with or without `memcache://`), else of a server that is
/// started at the first call, serves the whole test process and ends with it.
///
/// `None` if it would have to be started, `memcached` is not installed, and `ACCELERATOR_SKIP_SERVERS` is `1`.
///
/// # Panics
///
/// `memcached` is not installed, or does not start.
#[must_use]
pub fn memcached_addr() -> Option<&'static str> {
    static SERVER: OnceLock<Option<MemcachedServer>> = OnceLock::new();
    static ADDR: OnceLock<Option<String>> = OnceLock::new();
    let start = || SERVER.get_or_init(MemcachedServer::start).as_ref().map(MemcachedServer::addr);
    let host = |url: String| url.strip_prefix("memcache://").unwrap_or(&url).trim_end_matches('/').to_owned();
    ADDR.get_or_init(|| given("ACCELERATOR_TEST_MEMCACHED_URL").map(host).or_else(start)).as_deref()
}

/// The URL of a plain NATS for tests that neither stop nor restart it, nor count on being alone: that of the variable
/// `ACCELERATOR_TEST_NATS_URL`, else of a server that is started at the first call, serves the whole test process and ends
/// with it.
///
/// `None` if it would have to be started, `nats-server` is not installed, and `ACCELERATOR_SKIP_SERVERS` is `1`.
///
/// # Panics
///
/// `nats-server` is not installed, or does not start.
#[must_use]
pub fn nats_url() -> Option<&'static str> {
    static SERVER: OnceLock<Option<NatsServer>> = OnceLock::new();
    static URL: OnceLock<Option<String>> = OnceLock::new();
    let start = || SERVER.get_or_init(NatsServer::start).as_ref().map(NatsServer::url);
    URL.get_or_init(|| given("ACCELERATOR_TEST_NATS_URL").or_else(start)).as_deref()
}

fn given(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|url| !url.is_empty())
}
