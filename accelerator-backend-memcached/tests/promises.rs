//! The store against real servers, and against some that only pretend to be one. One module per promise.

// Tests are told by panics. Modules of one binary: what they share is public to them.
#![allow(clippy::panic, unreachable_pub)]

#[path = "../../accelerator-core/tests/promises/any.rs"]
mod any;
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
#[path = "promises/deploys.rs"]
mod deploys;
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
#[path = "promises/rollouts.rs"]
mod rollouts;
#[path = "promises/round_trips.rs"]
mod round_trips;
#[path = "promises/runtimes.rs"]
mod runtimes;
#[path = "promises/secrets.rs"]
mod secrets;
#[path = "promises/start.rs"]
mod start;
#[path = "promises/stores.rs"]
mod stores;
#[path = "promises/strangers.rs"]
mod strangers;
#[path = "promises/tools.rs"]
mod tools;
#[path = "../../accelerator-core/tests/promises/types.rs"]
mod types;
#[path = "promises/versions.rs"]
mod versions;

/// What the files of the core ask for.
mod common {
    pub(crate) const TTL: std::time::Duration = std::time::Duration::from_secs(60);
}
