//! What users call: the builder, the handle with its verbs, the same verbs as an object, shutting down, reports.
//!
//! It checks what it is given and hands the call to the room whose work it is. Nothing below knows of it.

pub(crate) mod builder;
pub(crate) mod builder_bytes;
pub(crate) mod bus;
pub(crate) mod cache;
pub(crate) mod handle;
#[cfg(feature = "metrics")]
pub(crate) mod report;
pub(crate) mod settings;
pub(crate) mod shutdown;
pub(crate) mod verbs;
