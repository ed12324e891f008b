//! What the expansions of the attributes call, and nobody else: macros and core are released together. Whoever writes a
//! cached function by hand finds what it takes in [`memoize`](crate::memoize).

mod keys;
pub mod repeat;
pub mod sharing;

pub use crate::memoize::alive::{Alive, Lead, alive};
pub use crate::memoize::batch::rebind::Rebind;
pub use crate::memoize::batch::rounds::cacheable_batch_in_rounds;
pub use crate::memoize::batch::{Hits, bypass_batch, hits_or_begin};
pub use crate::memoize::options::{Read, Write};
pub use crate::memoize::single::{bypass, cacheable, hand_in, hit_or_begin};
pub use crate::memoize::write::{cache_evict, cache_evict_batch, cache_put, evict_batch_first, evict_first, owned};
pub use keys::{Keys, keys_of};
