//! Real servers for tests: Redis, memcached and NATS, started on the spot, and a proxy that counts round trips (feature
//! `testkit-server`, Unix only).
//!
//! [`RedisServer`], [`MemcachedServer`] and [`NatsServer`] start a server of one's own, which can be stopped, continued, killed and
//! restarted. Tests that need just any server share one: [`redis_url`], [`memcached_addr`],
//! [`nats_url`].
//!
//! A missing program fails the test, with the line that installs it. Where tests are to pass without servers, set
//! `ACCELERATOR_SKIP_SERVERS=1`: then these functions answer `None` where the program is missing, and say so on stderr.

// Tests are told by panics.
#![allow(clippy::panic)]

mod daemon;
mod memcached;
mod nats;
mod ports;
mod process;
mod proxy;
mod pump;
mod redis;
mod shared;
mod tls;

pub use memcached::{MemcachedServer, MemcachedServerBuilder};
pub use nats::{NatsServer, NatsServerBuilder};
pub use proxy::CountingProxy;
pub use redis::{RedisServer, RedisServerBuilder};
pub use shared::{memcached_addr, nats_url, redis_url};
