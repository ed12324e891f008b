//! The L2 store of the `accelerator` cache on [memcached](https://memcached.org).

mod builder;
mod command;
mod connection;
mod fault;
mod fill;
mod greeting;
mod lease;
mod meaning;
mod pipeline;
mod pool;
mod reply;
mod route;
mod server;
mod settings;
mod store;

pub use crate::builder::MemcachedStoreBuilder;
pub use crate::store::MemcachedStore;
