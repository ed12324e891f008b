//! What the cache promises, one module per promise, through the public API only.

mod any;
mod batch;
mod bombs;
mod builder;
mod common;
mod deploys;
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
mod runtime;
mod stale;
mod stats;
mod trials;
mod types;
mod wakers;
mod write_guard;
