//! What a function under an attribute does: one file per promise, each test against three caches.

#[macro_use]
mod common;

mod batch;
mod bus;
mod crowd;
mod failures;
mod fake;
mod fleet;
mod log;
mod reads;
mod slow;
mod trouble;
mod waiting;
mod writes;
