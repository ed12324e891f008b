//! An L2 that tells the oracle when values are on their way into it: until then their flights are joined.

use std::sync::Arc;
use std::time::Duration;

use accelerator_core::testkit::{Faulty, MemoryL2};
use accelerator_core::{Bytes, Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits, StoreResult, async_trait};

use crate::world::World;

/// The shared store as one node sees it.
pub(crate) struct Watched {
    pub(crate) store: Faulty<MemoryL2>,
    pub(crate) world: Arc<World>,
    pub(crate) node: usize,
}

/// A write in progress; it may end by being dropped.
struct Writing<'a> {
    world: &'a World,
    node: usize,
    writes: Vec<(u32, usize)>,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.world.l2_written(self.node, &self.writes);
    }
}

/// A renewal in progress; it may end by being dropped.
struct Renewing<'a> {
    world: &'a World,
    node: usize,
    renewals: Vec<(u32, usize)>,
}

impl Drop for Renewing<'_> {
    fn drop(&mut self) {
        self.world.renewed(self.node, &self.renewals);
    }
}

fn keys<'a>(wires: impl Iterator<Item = &'a str>) -> Vec<u32> {
    wires.filter_map(|wire| wire.strip_prefix("model.")?.parse().ok()).collect()
}

impl Watched {
    fn writing<'a>(&'a self, wires: impl Iterator<Item = &'a str>) -> Writing<'a> {
        let writes = self.world.l2_writing(self.node, &keys(wires));
        Writing { world: &self.world, node: self.node, writes }
    }

    fn renewing<'a>(&'a self, wires: impl Iterator<Item = &'a str>) -> Renewing<'a> {
        let renewals = self.world.renewing(self.node, &keys(wires));
        Renewing { world: &self.world, node: self.node, renewals }
    }
}

#[async_trait]
impl L2Store for Watched {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.store.get(key).await
    }
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        let _writing = self.writing([key].into_iter());
        self.store.set(key, value, ttl).await
    }
    async fn del(&self, key: &str) -> StoreResult<()> {
        let _writing = self.writing([key].into_iter());
        self.store.del(key).await
    }
    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        self.store.mget(keys).await
    }
    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let _writing = self.writing(items.iter().map(|item| item.0));
        self.store.mset(items).await
    }
    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let _writing = self.writing(keys.iter().copied());
        self.store.mdel(keys).await
    }
    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        self.store.get_or_lease(key, lease).await
    }
    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        self.store.mget_or_lease(keys, lease).await
    }
    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        let _writing = self.writing([key].into_iter());
        self.store.fill(key, token, value, ttl).await
    }
    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        let _writing = self.writing(items.iter().map(|item| item.0));
        self.store.mfill(items).await
    }
    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        let _renewing = self.renewing([key].into_iter());
        self.store.renew(key, token, lease).await
    }
    async fn mrenew(&self, items: Vec<(&str, LeaseToken)>, lease: Duration) -> Vec<StoreResult<Option<LeaseToken>>> {
        let _renewing = self.renewing(items.iter().map(|item| item.0));
        self.store.mrenew(items, lease).await
    }
    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        let _writing = self.writing([key].into_iter());
        self.store.release(key, token).await
    }
    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        self.store.hold(key, owner, hold).await
    }
    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.store.unhold(key, owner).await
    }
    fn limits(&self) -> Limits {
        self.store.limits()
    }
}
