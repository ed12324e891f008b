//! `Cache<K, V>`: the object-safe face of a cache, for macros, services that don't want to name stores, and fakes.
//!
//! The verbs are in `verbs.rs`, what they answer in `answers.rs`, `stats.rs`, `bus_health.rs` and `guard.rs`. The ticket
//! protocol stands apart, in `tickets/`.

mod answers;
mod bus_health;
mod forward;
mod future;
mod guard;
mod load;
mod stats;
mod tickets;
mod verbs;

pub use answers::{Answers, Lookup, ShutdownReport, WarmupReport};
pub use bus_health::{BusHealth, BusState, Delays, Gaps, LastGap};
pub use future::{BoxFuture, CacheFuture};
pub use guard::{GuardOps, WriteGuard};
pub use load::Body;
pub use stats::{L2Errors, Stats};
pub(crate) use tickets::busy::Waiting;
pub use tickets::failed::FailedLoad;
pub use tickets::ticket::{Begin, BusyOps, FlightOps, LoadTicket};
pub use tickets::{Batch, Probe, Tickets};
pub use verbs::Cache;
