//! What the cache promises, one module per promise, through the public API only.

mod batch;
mod builder;
mod common;
mod endings;
mod envelope_bytes;
mod extremes;
mod flights;
mod forced;
mod hit_or_begin;
mod invalidation;
mod leases;
mod lives;
mod one_store;
mod outage;
mod panics;
mod patience;
mod recovery;
mod refresh;
mod runtime;
mod skew;
mod stale;
mod stats;
mod wakers;
mod write_guard;
