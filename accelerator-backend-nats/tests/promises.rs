//! What the bus on NATS promises, against real servers.
#![cfg(unix)]

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
#[path = "promises/secrets.rs"]
mod secrets;
#[path = "../../accelerator-core/tests/promises/bus/silent.rs"]
mod silent;
#[path = "promises/support.rs"]
mod support;
#[cfg(feature = "tls")]
#[path = "promises/tls.rs"]
mod tls;
