//! The L2 store of the `accelerator` cache on Redis and Valkey, with leases, and a bus ([`RedisBus`]).
//!
//! ```no_run
//! use accelerator_backend_redis::RedisStore;
//! use accelerator_core::LevelCache;
//! use std::time::Duration;
//!
//! async fn names() -> Result<(), Box<dyn std::error::Error>> {
//!     let l2 = RedisStore::builder().url("redis://127.0.0.1:6379").key_prefix("shop:").connect().await?;
//!     let names = LevelCache::<u64, String>::builder()
//!         .area("user-name")
//!         .l2(l2)
//!         .ttl(Duration::from_secs(60))
//!         .loader(|id| async move { Ok::<_, std::io::Error>(Some(format!("user {id}"))) })
//!         .build()?;
//!     assert_eq!(names.get(&7).await?.as_deref(), Some("user 7"));
//!     Ok(())
//! }
//! ```
//!
//! # How it talks to the server
//!
//! | operation | command | round trips |
//! |---|---|---|
//! | `get`, `mget` | `GET`, `MGET` | 1 |
//! | `get_or_lease` | `SET key lease NX GET PX ms`; a script before Redis 7.0 | 1, for a hit and for a miss |
//! | `mget_or_lease` | the same in one piece; `MGET` first where batches found everything lately | 1; after `MGET`, if something is missing, 2: in the long run one batch in 33 at most |
//! | `fill` | a script that compares and sets | 1 |
//! | `release` | a script that compares and deletes | 1 |
//! | `set`, `mset` | a script that sets unless the key is held | 1 |
//! | `del`, `mdel` | a script that deletes unless the key is held | 1 |
//! | `hold`, `unhold` | a script on the holds of the key | 1 |
//!
//! Batches of single-key commands are sent in one piece. A batch takes one round trip per 512 keys or 4 MiB of values (but
//! see `mget_or_lease`). A script that the server doesn't know costs one more, once.
//!
//! All calls share one connection, kept up by a task of the store; a call never waits for it. See [`RedisStore`] for how
//! it comes and goes, and the guide `backends` of the repository for servers, TLS, limits and the least that a user of
//! the server must be allowed.
//!
//! The bus publishes by `PUBLISH` on such a connection, its own or that of a store, and listens on another one.
//!
//! | feature | gives |
//! |---|---|
//! | `tls` | `rediss://` URLs and `RedisStoreBuilder::tls_ca`, on rustls |

mod builder;
mod bus;
mod commands;
mod connection;
mod server_error;
mod store;
mod token;
mod url;

pub use builder::RedisStoreBuilder;
pub use bus::RedisBus;
pub use bus::builder::RedisBusBuilder;
pub use store::RedisStore;
