//! A bus between the nodes of the `accelerator` cache on NATS: for fleets without Redis, with memcached or an L1 alone.
//!
//! ```no_run
//! use accelerator_backend_nats::NatsBus;
//! use accelerator_core::LevelCache;
//! use accelerator_core::testkit::MemoryL1;
//! use std::time::Duration;
//!
//! async fn names() -> Result<(), Box<dyn std::error::Error>> {
//!     let bus = NatsBus::builder().url("nats://127.0.0.1:4222").subject_prefix("shop").build()?;
//!     let names = LevelCache::<u64, String>::builder()
//!         .area("user-name")
//!         .l1(MemoryL1::new())
//!         .ttl(Duration::from_secs(3600))
//!         .bus(bus)
//!         .build()?;
//!     names.del(&7).await?; // gone on all nodes
//!     Ok(())
//! }
//! ```
//!
//! It takes core NATS: subjects, and nothing that is kept (no JetStream). See [`NatsBus`] for how its connection comes and
//! goes, and the guide `backends` of the repository for TLS and the least that a user of the server must be allowed.
//!
//! | feature | gives |
//! |---|---|
//! | `tls` | `tls://` URLs and `NatsBusBuilder::tls_ca`, on rustls |

mod bus;
mod connection;
mod server_error;
mod url;

pub use bus::NatsBus;
pub use bus::builder::NatsBusBuilder;
