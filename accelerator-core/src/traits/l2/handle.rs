//! A store in an `Arc` is that store.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreResult;
use crate::traits::bus::InvalidationBus;
use crate::traits::l2::outcomes::Outcomes;
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits};

#[async_trait]
impl<S: L2Store + ?Sized> L2Store for Arc<S> {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        (**self).get(key).await
    }
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        (**self).set(key, value, ttl).await
    }
    async fn del(&self, key: &str) -> StoreResult<()> {
        (**self).del(key).await
    }
    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        (**self).mget(keys).await
    }
    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        (**self).mget_into(keys, out).await;
    }
    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        (**self).mset(items).await
    }
    async fn mset_into(&self, items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        (**self).mset_into(items, out).await;
    }
    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        (**self).mdel(keys).await
    }
    async fn mdel_into(&self, keys: &[&str], out: &mut Outcomes<()>) {
        (**self).mdel_into(keys, out).await;
    }
    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        (**self).get_or_lease(key, lease).await
    }
    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        (**self).mget_or_lease(keys, lease).await
    }
    async fn mget_or_lease_into(&self, keys: &[&str], lease: Duration, out: &mut Outcomes<L2Read>) {
        (**self).mget_or_lease_into(keys, lease, out).await;
    }
    async fn get_aged(&self, key: &str) -> StoreResult<(Option<Bytes>, Option<Duration>)> {
        (**self).get_aged(key).await
    }
    async fn get_or_lease_aged(&self, key: &str, lease: Duration) -> StoreResult<(L2Read, Option<Duration>)> {
        (**self).get_or_lease_aged(key, lease).await
    }
    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        (**self).fill(key, token, value, ttl).await
    }
    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        (**self).mfill(items).await
    }
    async fn mfill_into(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>, out: &mut Outcomes<Filled>) {
        (**self).mfill_into(items, out).await;
    }
    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        (**self).renew(key, token, lease).await
    }
    async fn mrenew(&self, items: Vec<(&str, LeaseToken)>, lease: Duration) -> Vec<StoreResult<Option<LeaseToken>>> {
        (**self).mrenew(items, lease).await
    }
    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        (**self).release(key, token).await
    }
    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        (**self).hold(key, owner, hold).await
    }
    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        (**self).unhold(key, owner).await
    }
    fn publishes_for(&self, bus: &dyn InvalidationBus) -> bool {
        (**self).publishes_for(bus)
    }
    async fn mset_then_publish(
        &self,
        items: Vec<(&str, Bytes, Duration)>,
        topic: &str,
        message: Bytes,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        (**self).mset_then_publish(items, topic, message, out).await
    }
    async fn mdel_then_publish(
        &self,
        keys: &[&str],
        topic: &str,
        message: Bytes,
        out: &mut Outcomes<()>,
    ) -> StoreResult<()> {
        (**self).mdel_then_publish(keys, topic, message, out).await
    }
    fn unix_ms(&self) -> Option<RangeInclusive<u64>> {
        (**self).unix_ms()
    }
    fn limits(&self) -> Limits {
        (**self).limits()
    }
    fn identity(&self) -> Option<usize> {
        (**self).identity().or_else(|| Some(Arc::as_ptr(self).addr()))
    }
}
