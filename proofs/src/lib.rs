//! Concurrency proofs of `accelerator-core`.
//!
//! The slot table, the flights, the runs of batches and the place of their work are compiled here from **the same
//! source files** as in `accelerator-core`, on top of a mutex of [shuttle](https://docs.rs/shuttle), which runs all
//! threads of a scenario one at a time and decides at every lock and every atomic who goes on. So a schedule is data: it
//! can be drawn at random a million times, and a failure prints the one that led to it.
//!
//! ```text
//! cargo test -p accelerator-proofs                                          a small number of schedules
//! ACCELERATOR_SCHEDULES=1000000 cargo test --release -p accelerator-proofs -- --nocapture
//! scripts/mutants.sh                                                        every weakening is caught
//! ```
//! `ACCELERATOR_SCHEDULES` is the number for all scenarios together, half of it drawn uniformly and half by PCT (few
//! preemptions at random places); each scenario prints what has been run so far, so the last `schedules=` is the sum.
//! `ACCELERATOR_SEED` draws other schedules.
//!
//! [`mutants`] are weakenings of that code, which the proofs must catch.
//!
//! [`bus_model`] is the protocol between nodes, in all its states.
//!
//! What shuttle can't see (reads and writes of the engine around the table, over a real L2 interface) is tested in
//! `tests/engine_races.rs`, one forced interleaving per test.

// Compiled as it ships, without the tests that are in its files.
#[cfg(not(test))]
pub mod bus_model;
pub mod mutants;

#[cfg(test)]
mod besides;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod flights;
#[cfg(test)]
mod level;
#[cfg(not(test))]
use bus_model::{error, level};
#[cfg(test)]
mod places;
#[cfg(test)]
mod reservations;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod runner;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod sync;
#[cfg(test)]
#[path = "../../accelerator-core/src/wake.rs"]
mod wake;
