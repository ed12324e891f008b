//! L1 stores of the `accelerator` cache on [moka](https://docs.rs/moka) and [mini-moka](https://docs.rs/mini-moka).
//!
//! | store | feature | hit ratio policy | dead entries leave |
//! |---|---|---|---|
//! | `MokaL1` | `moka` (default) | TinyLFU | by themselves, at the end of their life |
//! | `MiniMokaL1` | `mini-moka` | TinyLFU | when evicted (the engine doesn't serve them) |
//!
//! Both keep reads and writes in order of their calls; the bookkeeping of the policy is done in batches by whichever
//! thread calls next, so neither has a thread of its own. Both are cheap handles: clones share the entries.

#[cfg(any(feature = "moka", feature = "mini-moka"))]
mod builder;
#[cfg(any(feature = "moka", feature = "mini-moka"))]
mod clearing;
#[cfg(feature = "mini-moka")]
mod mini_moka;
#[cfg(feature = "moka")]
mod moka;

#[cfg(feature = "mini-moka")]
pub use crate::mini_moka::{MiniMokaL1, MiniMokaL1Builder};
#[cfg(feature = "moka")]
pub use crate::moka::{MokaL1, MokaL1Builder};
