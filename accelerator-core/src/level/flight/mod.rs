//! Flights and the slot table: who loads a key, who waits for it, and what an invalidation makes void.
//!
//! One flight is a load of one key that many may wait for. Every operation that may write L1 registers in the key's slot.
//! The room knows nothing of stores, sources and runtimes: it uses the locks of `sync`, and the proofs compile it as it is.

pub(crate) mod forced;
pub(crate) mod handoff;
pub(crate) mod join;
pub(crate) mod patience;
pub(crate) mod reservation;
pub(crate) mod shared_run;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod token;
