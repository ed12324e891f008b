//! Reads: a hit of L1, one key that is missing, many keys, a caller who accepts nothing that is cached, refresh-ahead.
//!
//! The verbs of `api` call it. A read that L1 can't answer joins a flight or leads one; who leads goes on in `load`.

pub(crate) mod follow;
pub(crate) mod forced;
pub(crate) mod hit;
pub(crate) mod many;
pub(crate) mod many_inline;
pub(crate) mod one;
pub(crate) mod pass;
pub(crate) mod refresh;
