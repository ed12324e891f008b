//! Reads by callers who load with a future of their own: tickets (`begin`, the attributes) and `get_or_load`.
//!
//! A ticket is the right and the duty to load one key. The room looks into L2 before it gives one, and stores in both
//! levels what its holder hands in.

pub(crate) mod begin;
pub(crate) mod begin_many;
pub(crate) mod busy;
pub(crate) mod hold;
