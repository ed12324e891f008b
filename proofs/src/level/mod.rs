//! The files under proof, as they are.

// Not every part of them is needed by a scenario.
#![allow(dead_code)]

#[path = "../../../accelerator-core/src/level/drive/mod.rs"]
pub(crate) mod drive;
#[path = "../../../accelerator-core/src/level/flight/mod.rs"]
pub(crate) mod flight;
