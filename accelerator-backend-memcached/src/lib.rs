//! The L2 store of the `accelerator` cache on [memcached](https://memcached.org), 1.6.10 or newer: one server or several,
//! with leases.
//!
//! ```no_run
//! use std::time::Duration;
//! use accelerator_backend_memcached::MemcachedStore;
//! use accelerator_core::LevelCache;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemcachedStore::builder()
//!     .servers(["cache-1:11211", "cache-2:11211"])
//!     .key_prefix("shop:")
//!     .connect() // or `build()`, which talks to nobody
//!     .await?;
//! let names = LevelCache::<u64, String>::builder()
//!     .area("user-name")
//!     .l2(store)
//!     .ttl(Duration::from_secs(60))
//!     .loader(|id| async move { Ok::<_, std::io::Error>(Some(format!("user {id}"))) })
//!     .build()?;
//! # let _ = names;
//! # Ok(())
//! # }
//! ```
//!
//! # What it does
//!
//! - Every call is one round trip, and so is a batch: one pipeline per server, all servers at once. A server that fails
//!   fails its own keys only. Only where a writer holds a key does it take two: to hold it, to end that, to set it, and to
//!   read it for a lease.
//! - Who holds a key stands in an item of its own, named `key!`, which is read behind each key.
//! - A key lives on the server that rendezvous hashing gives it, by a hash that is the same in every build. No server is
//!   left out because it fails: its keys are errors until it is back, which is a miss for the cache.
//! - Connections are kept up to what was in flight. A server that is down is an error at once; it is tried in the
//!   background, and serves again within a second or two of its return.
//! - A fill counts only on the server process that gave the lease, though a restarted server gives the same numbers again.
//!
//! # What it needs
//!
//! - memcached 1.6.10 or newer, without the option `-C`. Older versions speak other meta commands. `connect` says so, and
//!   so does the first call.
//! - Each name must stand for one memcached process. Behind a balancer or a proxy, a delete may miss the process that has
//!   the value, and a restart goes unnoticed.
//! - There is no TLS and no password (SASL, `-Y`): memcached belongs into a network of its own.
//!
//! # Limits
//!
//! - Keys of 249 bytes, with the prefix (memcached takes 250; one is for the name of the holds). The engine sends the beginning and a hash of longer ones.
//! - Values of 1 MiB without the overhead of an item, unless the servers and
//!   [`max_value_bytes`](MemcachedStoreBuilder::max_value_bytes) allow more. The store doesn't store a larger one, and deletes
//!   the old value, as the server does where its limit is the smaller one: nobody reads an old value any more.
//! - TTLs are whole seconds, rounded up, from 1 s to 30 days; leases last at least 2 s.

mod builder;
mod commands;
mod connection;
mod error;
mod route;
mod settings;
mod store;
mod token;
mod url;

pub use crate::builder::MemcachedStoreBuilder;
pub use crate::store::MemcachedStore;
