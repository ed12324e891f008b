//! Nodes at one bus: every node hears of every write, and knows when it may have missed one.

mod attached;
mod delivery;
mod gaps;
mod lives;
mod log;
mod publishing;
mod tasks;

use std::sync::Arc;

use accelerator_core::testkit::{Faulty, MemoryBus, MemoryL1, MemoryL2, settle};
use accelerator_core::{
    BoxStream, BusEvent, BusLimits, Bytes, InvalidationBus, LevelCacheBuilder, StoreResult, async_trait,
};
use tokio::sync::Semaphore;

use crate::common::{L1, Level, World, ok};

/// What a node is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    L1,
    Many,
    Both,
    Batches,
    Leases,
    LeasedBatches,
}

pub(crate) const WAYS: [Way; 6] = [Way::L1, Way::Many, Way::Both, Way::Batches, Way::Leases, Way::LeasedBatches];

impl Way {
    pub(crate) fn world(self) -> World {
        let mut w = World::new();
        if matches!(self, Self::Leases | Self::LeasedBatches) {
            w.l2 = Faulty::new(MemoryL2::with_clock(w.clock.clone()).with_leases());
        }
        w
    }

    pub(crate) fn has_l2(self) -> bool {
        !matches!(self, Self::L1 | Self::Many)
    }

    pub(crate) fn builder(self, w: &World) -> LevelCacheBuilder<u64, u64, L1> {
        match self {
            Self::L1 => w.l1(),
            Self::Many => w.many(),
            Self::Both | Self::Leases => w.both(),
            Self::Batches | Self::LeasedBatches => w.batches(),
        }
    }
}

/// Two nodes with one clock, one L2 and one source.
pub(crate) struct Pair {
    pub(crate) w: World,
    pub(crate) a: Level,
    pub(crate) b: Level,
    pub(crate) at_a: MemoryBus,
    pub(crate) at_b: MemoryBus,
}

impl Pair {
    pub(crate) async fn new(way: Way) -> Self {
        Self::with(way, |builder| builder).await
    }

    pub(crate) async fn with(
        way: Way,
        set: impl Fn(LevelCacheBuilder<u64, u64, L1>) -> LevelCacheBuilder<u64, u64, L1>,
    ) -> Self {
        let (w, at_a) = (way.world(), MemoryBus::new());
        let at_b = at_a.node();
        let a = ok(set(way.builder(&w).bus(at_a.clone())));
        let b = ok(set(way.builder(&w.twin()).bus(at_b.clone())));
        settle().await;
        Self { w, a, b, at_a, at_b }
    }

    /// Both have the keys in L1, as they were.
    pub(crate) async fn fill(&self, keys: &[u64]) {
        for node in [&self.a, &self.b] {
            node.mget(keys).await.into_values().expect("values");
        }
    }
}

/// What was published beside hellos: the type of each message.
pub(crate) fn told(bus: &MemoryBus) -> Vec<u8> {
    bus.published().iter().map(|(_, bytes)| bytes[3]).filter(|kind| *kind != 3).collect()
}

/// The keys of a message about the area `t`, in their order.
pub(crate) fn keys_of(message: &[u8]) -> Vec<String> {
    let (mut keys, mut rest) = (Vec::new(), &message[32..message.len() - 8]);
    while let [low, high, more @ ..] = rest {
        let (key, after) = more.split_at(usize::from(u16::from_le_bytes([*low, *high])));
        keys.push(String::from_utf8_lossy(key).into_owned());
        rest = after;
    }
    keys
}

/// A bus that takes a message when the test says so.
#[derive(Clone)]
pub(crate) struct Doored {
    pub(crate) inner: MemoryBus,
    pub(crate) door: Arc<Semaphore>,
}

impl Doored {
    pub(crate) fn new(inner: &MemoryBus) -> Self {
        Self { inner: inner.clone(), door: Arc::new(Semaphore::new(0)) }
    }
}

#[async_trait]
impl InvalidationBus for Doored {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        if message[3] != 3 {
            self.door.acquire().await.expect("an open door").forget();
        }
        self.inner.publish(topic, message).await
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        self.inner.listen(topic)
    }

    fn limits(&self) -> BusLimits {
        self.inner.limits()
    }
}

/// A node of another world, which is not told of this one's source.
pub(crate) fn lone(w: &World, bus: &MemoryBus) -> Level {
    ok(w.bare().l1(MemoryL1::new()).bus(bus.clone()))
}
