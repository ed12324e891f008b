//! How it works: the engine, one file per path of the data.
//!
//! `read → refresh → load → write → invalidate` are the paths. `engine` is what they all extend; the other files serve
//! them.

mod answers;
mod api;
mod drive;
mod engine;
mod flight;
mod load;
mod local;
mod read;
mod remote;
mod shutdown;
mod source;
mod stats;
mod ticket;
mod time;
mod wire;
mod write;

use std::fmt;
use std::sync::Arc;

use crate::traits::l1::L1Store;

pub use answers::Answers;
pub use api::builder::Builder;
pub use api::verbs::{Lookup, ShutdownReport, WarmupReport};
pub use engine::{Key, Value};
pub use stats::counters::Stats;
#[cfg(feature = "metrics")]
pub use stats::reporter::METRIC_NAMES;
pub use write::guard::WriteGuard;

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
