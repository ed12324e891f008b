//! What the cache promises, one module per promise, through the public API only.

mod batch;
mod builder;
mod common;
mod envelope_bytes;
mod extremes;
mod flights;
mod hit_or_begin;
mod invalidation;
mod leases;
mod lives;
mod outage;
mod panics;
mod patience;
mod recovery;
mod refresh;
mod rude;
mod runtime;
mod stale;
mod stats;
mod values;
mod wakers;
mod write_guard;
