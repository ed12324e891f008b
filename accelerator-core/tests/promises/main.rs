//! What the cache promises, one module per promise, through the public API only.

mod batch;
mod builder;
mod common;
mod envelope_bytes;
mod extremes;
mod flights;
mod guard_own_node;
mod guard_owners;
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
mod wakers;
mod write_guard;
