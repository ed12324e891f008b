//! One benchmark for every pair of stores, and the gate that compares its runs.
//!
//! ```text
//! benches/cache_path_bench.rs       the matrix: every pair through the same scenarios
//! benches/hit_path.rs               caches with loaders beside the raw stores, also on two threads
//! src/bin/bench_counts.rs           allocations, instructions, round trips and loads of the same rows
//! src/bin/hit_counts.rs             instructions of each verb
//! src/bin/codec_costs.rs            bytes, instructions and allocations of codecs and layers
//! src/bin/export_bench_baseline.rs  writes the baseline
//! src/bin/check_bench_regression.rs compares a run with it
//! ```
//! `scripts/bench.sh` drives them; `docs/performance-playbook.md` says how to read them.

// What isn't here can't be measured: a benchmark has nothing better to do than stop.
#![expect(clippy::expect_used, reason = "see above")]

pub mod again;
pub mod baseline;
pub mod callgrind;
pub mod clock;
pub mod command;
pub mod compare;
pub mod counts;
pub mod direct;
pub mod matrix;
pub mod rows;
pub mod run;
pub mod select;
