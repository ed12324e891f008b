//! The store against real servers, and against some that only pretend to be one. One module per promise.

// Tests are told by panics. Modules of one binary: what they share is public to them.
#![allow(clippy::panic, unreachable_pub)]

#[path = "promises/batches.rs"]
mod batches;
#[path = "promises/builder.rs"]
mod builder;
#[path = "promises/cache_trips.rs"]
mod cache_trips;
#[path = "promises/cancellation.rs"]
mod cancellation;
#[path = "promises/clocks.rs"]
mod clocks;
#[path = "promises/given_up.rs"]
mod given_up;
#[path = "promises/holds.rs"]
mod holds;
#[path = "promises/large.rs"]
mod large;
#[path = "promises/laws.rs"]
mod laws;
#[path = "promises/leases.rs"]
mod leases;
#[path = "promises/limits.rs"]
mod limits;
#[path = "promises/outage.rs"]
mod outage;
#[path = "promises/pool.rs"]
mod pool;
#[path = "promises/round_trips.rs"]
mod round_trips;
#[path = "promises/runtimes.rs"]
mod runtimes;
#[path = "promises/secrets.rs"]
mod secrets;
#[path = "promises/start.rs"]
mod start;
#[path = "promises/strangers.rs"]
mod strangers;
#[path = "promises/tools.rs"]
mod tools;
#[path = "promises/versions.rs"]
mod versions;
