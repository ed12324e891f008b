//! What the store on Redis promises, against real servers.
#![cfg(unix)]

#[path = "../../accelerator-core/tests/promises/any.rs"]
mod any;
#[path = "promises/batches.rs"]
mod batches;
#[path = "promises/bus.rs"]
mod bus;
#[path = "promises/bus_outages.rs"]
mod bus_outages;
#[path = "promises/bus_refusals.rs"]
mod bus_refusals;
#[path = "promises/bus_runtimes.rs"]
mod bus_runtimes;
#[path = "promises/bus_silence.rs"]
mod bus_silence;
#[path = "promises/bus_trips.rs"]
mod bus_trips;
#[path = "promises/cache_trips.rs"]
mod cache_trips;
#[path = "promises/clock.rs"]
mod clock;
#[path = "promises/deploys.rs"]
mod deploys;
#[path = "promises/foreign.rs"]
mod foreign;
#[path = "promises/given_up.rs"]
mod given_up;
#[path = "promises/holds.rs"]
mod holds;
#[path = "promises/large.rs"]
mod large;
#[path = "promises/laws.rs"]
mod laws;
#[path = "promises/login.rs"]
mod login;
#[path = "promises/old_servers.rs"]
mod old_servers;
#[path = "promises/outages.rs"]
mod outages;
#[path = "promises/refusals.rs"]
mod refusals;
#[path = "promises/rollouts.rs"]
mod rollouts;
#[path = "promises/round_trips.rs"]
mod round_trips;
#[path = "promises/runtimes.rs"]
mod runtimes;
#[path = "promises/secrets.rs"]
mod secrets;
#[path = "../../accelerator-core/tests/promises/bus/silent.rs"]
mod silent;
#[path = "promises/start.rs"]
mod start;
#[path = "promises/stores.rs"]
mod stores;
#[path = "promises/support.rs"]
mod support;
#[cfg(feature = "tls")]
#[path = "promises/tls.rs"]
mod tls;
#[path = "../../accelerator-core/tests/promises/types.rs"]
mod types;

/// What the files of the core ask for.
mod common {
    pub(crate) const TTL: std::time::Duration = std::time::Duration::from_secs(60);
}
