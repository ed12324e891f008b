//! The L1 store of the `accelerator` cache on [quick_cache](https://docs.rs/quick_cache): the shortest hit path of the
//! stores we measured.

mod store;
mod weight;

pub use store::{QuickCacheL1, QuickCacheL1Builder};
pub use weight::{Counted, Weighed};
