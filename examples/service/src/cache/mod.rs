//! The caches: one file for each.

mod user_cache;

pub use user_cache::{UserCache, builder, user_cache};
