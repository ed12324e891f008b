//! What the cache promises, one module per promise, through the public API only.

mod batch;
mod builder;
mod common;
mod endings;
mod envelope_bytes;
mod extremes;
mod flights;
mod hit_or_begin;
mod idle_runtimes;
mod invalidation;
mod leases;
mod lives;
mod outage;
mod panics;
mod patience;
mod per_key;
mod recovery;
mod refresh;
mod renewals;
mod runtime;
mod slow_line;
mod stale;
mod stats;
mod wakers;
mod write_guard;
