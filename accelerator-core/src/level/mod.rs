//! How it works: the engine, one file per path of the data.
//!
//! `read → refresh → load → write → invalidate` are the paths. `engine` is what they all extend; the other files serve
//! them.

mod age;
mod answers;
mod batch;
mod batch_latent;
mod batch_load;
mod batch_run;
mod borrow;
mod builder;
mod cells;
mod claim;
mod cleared;
mod engine;
mod envelope;
mod face;
mod fill;
mod finish;
mod flight;
mod forced;
mod guard;
mod guarded;
mod in_task;
mod inside;
mod invalidate;
mod join;
mod keep;
mod latent;
mod lease;
mod lease_many;
mod limits;
mod load;
mod load_latent;
#[cfg(feature = "metrics")]
mod metrics;
mod names;
mod overdue;
mod patience;
mod place;
mod policy;
mod pulse;
mod read;
mod recovery;
mod refresh;
mod rejects;
mod remembered;
mod remote;
mod renew;
mod rouse;
mod run;
mod schema;
mod settings;
mod shutdown;
mod slots;
mod sources;
mod stats;
mod ticker;
mod ticket;
mod timer;
mod trials;
mod turns;
mod verbs;
mod wait;
mod wake;
mod wall;
mod write;
mod written;

use std::fmt;
use std::sync::Arc;

use crate::traits::l1::L1Store;

pub use answers::Answers;
pub use builder::Builder;
pub use engine::{Key, Value};
pub use guard::WriteGuard;
#[cfg(feature = "metrics")]
pub use metrics::METRIC_NAMES;
pub use stats::Stats;
pub use verbs::{Lookup, ShutdownReport, WarmupReport};

/// A cache of two levels in front of the source of truth. Cheap to clone; all clones are one cache.
///
/// The code of keys and values (`Clone`, `Drop`, `Hash`, `Eq`) runs inside of it: what it may do there is said at
/// [`Value`].
///
/// It is generic over its L1 store, because the hit is the one place where static dispatch pays; a service that does
/// not want to name the store holds it as `Arc<dyn Cache<K, V>>`.
///
/// ```
/// # use accelerator_core::{LevelCache, testkit::MemoryL1};
/// # use std::{sync::Arc, time::Duration};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), accelerator_core::CacheError> {
/// let users = LevelCache::<u64, Arc<String>>::builder()
///     .area("user")
///     .l1(MemoryL1::new())
///     .ttl(Duration::from_secs(60))
///     .loader(|id| async move { Ok::<_, std::io::Error>(Some(Arc::new(format!("user {id}")))) })
///     .build()?;
/// assert_eq!(users.get(&7).await?.as_deref().map(String::as_str), Some("user 7"));
/// users.del(&7).await?;
/// # Ok(()) }
/// ```
pub struct LevelCache<K, V, L1 = Arc<dyn L1Store<K, V>>> {
    pub(crate) l1: L1,
    pub(crate) engine: Arc<engine::Engine<K, V>>,
}

impl<K, V, L1: Clone> Clone for LevelCache<K, V, L1> {
    fn clone(&self) -> Self {
        Self { l1: self.l1.clone(), engine: self.engine.clone() }
    }
}

impl<K, V, L1> fmt::Debug for LevelCache<K, V, L1> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelCache").field("policy", &self.engine.policy).finish_non_exhaustive()
    }
}
