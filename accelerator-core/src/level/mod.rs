//! How it works: rooms along the data, each with a few words on what it does, who calls it and what it may call.
//!
//! ```text
//! api → ticket, read → load, write → engine → remote → bus → wire, local → drive, time → flight, stats
//! ```
//! A room uses what stands to the right of it, never the other way (`tests/tidy/` holds it to that). A hit ends in
//! `read/hit.rs`. A miss goes through `read/one.rs` and `load/one.rs`, a look into L2 is in `remote/look.rs`, and every call
//! of the store in `remote/calls.rs`. A delete is in `write/delete.rs`, a wait in `drive/wait.rs`.

mod api;
mod bounds;
mod bus;
mod drive;
mod engine;
mod flight;
mod load;
mod local;
mod read;
mod remote;
mod source;
mod stats;
mod ticket;
mod time;
mod wire;
mod write;

pub use api::builder::LevelCacheBuilder;
pub use api::handle::LevelCache;
pub use bounds::{Key, Value};
#[cfg(feature = "metrics")]
pub use stats::{bus_reporter::BUS_METRIC_NAMES, reporter::METRIC_NAMES};
