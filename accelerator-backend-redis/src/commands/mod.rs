//! What is asked of the server, and what its answers mean: commands as bytes, scripts, and each operation on one key or
//! many. The store calls it; it sends over [`connection`](crate::connection).

pub(crate) mod batch;
pub(crate) mod chunks;
pub(crate) mod command;
pub(crate) mod given_up;
pub(crate) mod hold;
pub(crate) mod lease;
pub(crate) mod lease_batch;
pub(crate) mod news;
pub(crate) mod script;
