//! The L2 store of the `accelerator` cache on Redis and Valkey.
mod builder;
mod chunks;
mod command;
mod dial;
mod keeper;
mod lease;
mod line;
mod many;
mod refusal;
mod script;
mod store;
mod target;
#[cfg(feature = "tls")]
mod tls;
mod token;

pub use builder::RedisStoreBuilder;
pub use store::RedisStore;
