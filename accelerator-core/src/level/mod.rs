//! How it works: the engine, one file per path of the data.
//!
//! `read → refresh → load → write → invalidate` are the paths. `engine` is what they all extend; the other files serve
//! them.

mod answers;
mod api;
mod bounds;
mod drive;
mod engine;
mod flight;
mod load;
mod local;
mod read;
mod remote;
mod shutdown;
mod source;
mod stats;
mod ticket;
mod time;
mod wire;
mod write;

pub use answers::{Answers, Lookup, ShutdownReport, WarmupReport};
pub use api::builder::Builder;
pub use api::handle::LevelCache;
pub use bounds::{Key, Value};
pub use stats::counters::Stats;
#[cfg(feature = "metrics")]
pub use stats::reporter::METRIC_NAMES;
pub use write::guard::WriteGuard;
