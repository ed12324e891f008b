//! [`MemoryL2`] as a store: each operation travels, and happens then.

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryL2;
use crate::error::StoreResult;
use crate::time::millis;
use crate::traits::l2::outcomes::Outcomes;
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits};

#[async_trait]
impl L2Store for MemoryL2 {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.travel().await;
        self.get_now(key)
    }

    async fn get_aged(&self, key: &str) -> StoreResult<(Option<Bytes>, Option<Duration>)> {
        self.travel().await;
        Ok((self.get_now(key)?, self.age(key)))
    }

    async fn get_or_lease_aged(&self, key: &str, lease: Duration) -> StoreResult<(L2Read, Option<Duration>)> {
        self.travel().await;
        Ok((self.get_or_lease_now(key, lease)?, self.age(key)))
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.travel().await;
        self.set_now(key, value, ttl)
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        self.travel().await;
        self.del_now(key)
    }

    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let mut out = Outcomes::new(keys.len());
        self.mget_into(keys, &mut out).await;
        out.ended()
    }

    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        if !keys.is_empty() {
            self.travel().await;
        }
        keys.iter().enumerate().for_each(|(n, key)| out.put_aged(n, self.get_now(key), self.age(key)));
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let mut out = Outcomes::new(items.len());
        self.mset_into(items, &mut out).await;
        out.ended()
    }

    async fn mset_into(&self, items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        if !items.is_empty() {
            self.travel().await;
        }
        let items = items.into_iter().enumerate();
        items.for_each(|(n, (key, value, ttl))| out.put(n, self.set_now(key, value, ttl)));
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        if !keys.is_empty() {
            self.travel().await;
        }
        keys.iter().map(|key| self.del_now(key)).collect()
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        self.travel().await;
        self.get_or_lease_now(key, lease)
    }

    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let mut out = Outcomes::new(keys.len());
        self.mget_or_lease_into(keys, lease, &mut out).await;
        out.ended()
    }

    async fn mget_or_lease_into(&self, keys: &[&str], lease: Duration, out: &mut Outcomes<L2Read>) {
        if !keys.is_empty() {
            self.travel().await;
        }
        keys.iter().enumerate().for_each(|(n, key)| out.put_aged(n, self.get_or_lease_now(key, lease), self.age(key)));
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        self.travel().await;
        self.fill_now(key, token, value, ttl)
    }

    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        let mut out = Outcomes::new(items.len());
        self.mfill_into(items, &mut out).await;
        out.ended()
    }

    async fn mfill_into(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>, out: &mut Outcomes<Filled>) {
        if !items.is_empty() {
            self.travel().await;
        }
        let items = items.into_iter().enumerate();
        items.for_each(|(n, (key, token, value, ttl))| out.put(n, self.fill_now(key, &token, value, ttl)));
    }

    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        self.travel().await;
        self.renew_now(key, token, lease)
    }

    async fn mrenew(&self, items: Vec<(&str, LeaseToken)>, lease: Duration) -> Vec<StoreResult<Option<LeaseToken>>> {
        if !items.is_empty() {
            self.travel().await;
        }
        items.into_iter().map(|(key, token)| self.renew_now(key, &token, lease)).collect()
    }

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        self.travel().await;
        self.release_now(key, &token)
    }

    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        self.travel().await;
        self.need_leases("hold")?;
        self.change_holds(key, |holds, now| holds.add(owner, now.saturating_add(millis(hold)), now))
    }

    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.travel().await;
        self.need_leases("unhold")?;
        self.change_holds(key, |holds, now| {
            holds.end(owner, now);
            Ok(())
        })
    }

    fn unix_ms(&self) -> Option<RangeInclusive<u64>> {
        let now = self.wall_ms()?;
        Some(now..=now)
    }

    fn identity(&self) -> Option<usize> {
        Some(self.own_identity())
    }

    fn limits(&self) -> Limits {
        self.own_limits()
    }
}
