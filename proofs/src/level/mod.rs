//! The files under proof, as they are.

// Not every part of them is needed by a scenario.
#![allow(dead_code)]

#[path = "../../../accelerator-core/src/level/flight.rs"]
pub(crate) mod flight;
#[path = "../../../accelerator-core/src/level/join.rs"]
pub(crate) mod join;
#[path = "../../../accelerator-core/src/level/latent.rs"]
pub(crate) mod latent;
#[path = "../../../accelerator-core/src/level/patience.rs"]
pub(crate) mod patience;
#[path = "../../../accelerator-core/src/level/place.rs"]
pub(crate) mod place;
#[path = "../../../accelerator-core/src/level/run.rs"]
pub(crate) mod run;
#[path = "../../../accelerator-core/src/level/slots.rs"]
pub(crate) mod slots;
#[path = "../../../accelerator-core/src/level/wake.rs"]
pub(crate) mod wake;
