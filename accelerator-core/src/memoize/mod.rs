//! Functions whose answer is cached, for people who dislike attributes: what those are made of.
//!
//! A cached read comes in two halves: [`begin`] asks the cache, and keeps no borrow of it or of the key; [`cacheable`]
//! answers, or runs the body and hands its outcome to all who wait. [`begin_batch`] and [`cacheable_batch`] do the same
//! for many keys, [`cacheable_batch_in_rounds`] for a body that may run again. After a write, [`cache_put`], [`cache_evict`]
//! and [`cache_evict_batch`] pass the body's outcome on and act only where it is `Ok`.
//!
//! ```
//! use accelerator_core::memoize::{Read, begin, cacheable, sharing};
//! use accelerator_core::{Cache, CacheResult};
//! # async fn from_database(id: u64) -> CacheResult<Option<String>> { Ok(Some(id.to_string())) }
//!
//! async fn name(cache: &dyn Cache<u64, String>, id: u64) -> CacheResult<Option<String>> {
//!     let read = Read::new();
//!     let begun = begin(cache, &id, &read).await;
//!     cacheable(begun, read, sharing::ByError, || from_database(id)).await
//! }
//! ```
//!
//! A failure of the body goes to its own caller as it is. Those who waited for it get a copy where the error can be
//! copied ([`sharing`]); else they run their own bodies, [`TOGETHER`] at most at once for each failure, each after a
//! look into the cache, and what these find is not cached.
//!
//! A body that is slow does not fail. Those who wait for it wait on while it is alive, and else run one more body in
//! each `loader_timeout` (and a little more); the first answer is everybody's.

mod alive;
mod batch;
mod crowd;
#[doc(hidden)]
pub mod expansion;
mod ignored;
mod options;
mod returned;
pub mod sharing;
mod single;
mod write;

pub use batch::repeat;
pub use batch::rounds::{cacheable_batch, cacheable_batch_in_rounds};
pub use batch::{BegunBatch, begin_batch, bypass_batch};
pub use options::{Ignore, OnCacheError, Propagate, Read, Write};
pub use returned::{Done, Found, FromCacheError, Returned, ReturnedMap};
pub use single::{Beginning, Begun, begin, bypass, cacheable};
pub use write::{cache_evict, cache_evict_batch, cache_put, evict_batch_first, evict_first};

/// How many bodies run at once among those who waited for a body that failed with an error that can't be copied.
pub const TOGETHER: usize = 64;
