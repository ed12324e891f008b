//! What is asked of the servers, and what their answers mean: commands as they go over the wire, replies, and each
//! operation on one key or many. The store calls it; it sends over [`connection`](crate::connection).

pub(crate) mod age;
pub(crate) mod command;
pub(crate) mod exchange;
pub(crate) mod given_up;
pub(crate) mod hold;
pub(crate) mod interpret;
pub(crate) mod lease;
pub(crate) mod renew;
pub(crate) mod reply;
