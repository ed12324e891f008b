//! The bus of a cache: what the builder is told, and what a user may ask.

use std::sync::Arc;
use std::time::Duration;

use crate::cache::BusHealth;
use crate::key::CacheKey;
use crate::level::api::builder::LevelCacheBuilder;
use crate::level::api::handle::LevelCache;
use crate::level::bounds::{Key, Value};
use crate::traits::bus::InvalidationBus;

impl<K: Key, V: Value, L1> LevelCacheBuilder<K, V, L1> {
    /// By which this cache tells the others of its area, on other nodes or of the same process, what it writes, and hears
    /// what they write: a bus, or an `Arc` of one. After `del` or `set` is acknowledged, no other node answers an older
    /// value from its L1 once the message has arrived. `l1_ttl` is then `ttl` by default.
    ///
    /// While the bus is away, what is stored in L1 lives [`suspect_ttl`](Self::suspect_ttl) at most. All caches of one area
    /// need a bus that reaches the others. Keys whose text does not [decode](CacheKey::decode) (borrowed ones) make other
    /// nodes forget all of L1. A cache without an L1 publishes, too. The task that listens starts here if this is called
    /// in a runtime, else with the first call that L1 doesn't answer; that runtime must be one that is run, or give one
    /// with [`runtime`](Self::runtime).
    ///
    /// ```
    /// # use accelerator_core::{LevelCache, testkit::{MemoryBus, MemoryL1}};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), accelerator_core::CacheError> {
    /// let bus = MemoryBus::new(); // in a service one that reaches the other nodes: a RedisBus or NatsBus
    /// let names = LevelCache::<u64, String>::builder()
    ///     .area("name")
    ///     .l1(MemoryL1::new())
    ///     .ttl(Duration::from_secs(3600))
    ///     .bus(bus)
    ///     .build()?;
    /// names.del(&7).await?; // gone on all nodes
    /// # Ok(()) }
    /// ```
    pub fn bus(mut self, bus: impl InvalidationBus) -> Self
    where
        K: CacheKey,
    {
        self.set.bus.bus = Some((Arc::new(bus), K::encode, K::decode));
        self
    }

    /// The most that deletes which L2 did not confirm may take in memory, until they are sent again, and the same for
    /// invalidations that the bus did not take (beyond it one clear of L1 takes the place of all): the text of each key
    /// in L2, and 96 bytes. Beyond it, deletes are given up
    /// ([`CacheError::is_queued`](crate::CacheError::is_queued) is false), and this node reads past L2 for all keys, for as
    /// long as the longest TTL. Default: 64 MiB, some 500,000 keys.
    pub fn recovery_bytes(mut self, most: usize) -> Self {
        self.set.recovery_bytes = most;
        self
    }

    /// How long a value lives in L1 at most if it is stored while this node does not hear of other nodes' writes: after the
    /// start until the bus listens, and whenever it is away. Zero: L1 takes nothing then. Only with a [`bus`](Self::bus).
    /// Default: 1 s.
    pub fn suspect_ttl(mut self, ttl: Duration) -> Self {
        self.set.bus.suspect_ttl = Some(ttl);
        self
    }
}

impl<K: Key, V: Value, L1> LevelCache<K, V, L1> {
    /// How the bus of this cache is; `None` if it has none. All clones have one.
    ///
    /// ```
    /// # use accelerator_core::LevelCache;
    /// # fn check(names: &LevelCache<u64, String>) {
    /// if let Some(bus) = names.bus_health()
    ///     && !bus.hears_itself
    /// {
    ///     println!("no news from other nodes, last gap: {:?}", bus.last_gap);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn bus_health(&self) -> Option<BusHealth> {
        self.engine.bus.as_ref().map(|bus| bus.health())
    }
}
