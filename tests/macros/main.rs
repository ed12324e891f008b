//! What a function under an attribute does: one file per promise, each test against three caches.

#[macro_use]
mod common;

mod failures;
mod fake;
mod reads;
mod trouble;
