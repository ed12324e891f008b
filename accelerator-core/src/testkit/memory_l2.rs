//! An L2 without a network, which behaves like one that has it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use super::{ManualClock, lock};
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::time::{Clock, millis};
use crate::traits::l2::{L2Store, Limits};

/// An [`L2Store`] over one map, with TTLs and without leases. A cheap handle: clones share the contents.
///
/// Every operation gives way to the scheduler once before it happens, as a network store's would: a caller can be
/// dropped there, and others run. It refuses what breaks its [`Limits`] or isn't a key of `[A-Za-z0-9._~-]`, so that
/// tests see what a real server would have choked on. A batch is one round trip. The helpers that are not part of
/// [`L2Store`] (`peek`, `put_raw`, ..) look at the contents from the side: no round trip, no giving way.
#[derive(Clone)]
pub struct MemoryL2(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    limits: Limits,
    contents: Mutex<HashMap<String, Stored>>,
    round_trips: AtomicU64,
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    until_ms: u64,
}

impl MemoryL2 {
    /// An empty store whose TTLs run in real time.
    #[must_use]
    pub fn new() -> Self {
        Self::build(Arc::new(RealTime(Instant::now())), Limits::default())
    }

    /// An empty store whose TTLs run with `clock`.
    #[must_use]
    pub fn with_clock(clock: ManualClock) -> Self {
        Self::build(Arc::new(clock), Limits::default())
    }

    /// An empty store on the same clock, with other limits. `leases` is ignored: there are none.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self::build(Arc::clone(&self.0.clock), limits.leases(false))
    }

    fn build(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        let (contents, round_trips) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Inner { clock, limits, contents, round_trips }))
    }

    /// How many operations went over the imagined wire: a batch counts once, an empty batch not at all.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.0.round_trips.load(Ordering::SeqCst)
    }

    /// How many living keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The living keys, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let now = self.0.clock.monotonic_ms();
        let mut contents = lock(&self.0.contents);
        contents.retain(|_, stored| stored.until_ms > now);
        let mut keys: Vec<String> = contents.keys().cloned().collect();
        keys.sort();
        keys
    }

    /// The bytes under `key`.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<Bytes> {
        self.living(key).map(|stored| stored.bytes)
    }

    /// How long `key` has to live.
    #[must_use]
    pub fn remaining(&self, key: &str) -> Option<Duration> {
        let stored = self.living(key)?;
        Some(Duration::from_millis(stored.until_ms.saturating_sub(self.0.clock.monotonic_ms())))
    }

    /// Puts bytes under `key` behind everybody's back; nothing is checked.
    pub fn put_raw(&self, key: &str, bytes: impl Into<Bytes>, ttl: Duration) {
        let until_ms = self.0.clock.monotonic_ms().saturating_add(millis(ttl));
        lock(&self.0.contents).insert(key.to_owned(), Stored { bytes: bytes.into(), until_ms });
    }

    /// Forgets everything, as a restarted server does.
    pub fn wipe(&self) {
        lock(&self.0.contents).clear();
    }

    fn living(&self, key: &str) -> Option<Stored> {
        let now = self.0.clock.monotonic_ms();
        lock(&self.0.contents).get(key).filter(|stored| stored.until_ms > now).cloned()
    }

    /// The wire: the operation happens after this. Dropped here, it has not happened.
    async fn travel(&self) {
        tokio::task::yield_now().await;
        self.0.round_trips.fetch_add(1, Ordering::SeqCst);
    }

    fn check_key(&self, key: &str) -> StoreResult<()> {
        if key.len() > self.0.limits.max_key_bytes {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "key exceeds max_key_bytes"));
        }
        if key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b)) {
            Ok(())
        } else {
            Err(StoreError::new(StoreErrorKind::Rejected, "key has a character outside of [A-Za-z0-9._~-]"))
        }
    }

    fn get_now(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.check_key(key)?;
        Ok(self.peek(key))
    }

    fn set_now(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.check_key(key)?;
        if value.len() > self.0.limits.max_value_bytes {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "value exceeds max_value_bytes"));
        }
        self.put_raw(key, value, ttl);
        Ok(())
    }

    fn del_now(&self, key: &str) -> StoreResult<()> {
        self.check_key(key)?;
        lock(&self.0.contents).remove(key);
        Ok(())
    }
}

impl Default for MemoryL2 {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryL2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryL2").field("len", &self.len()).field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

#[async_trait]
impl L2Store for MemoryL2 {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.travel().await;
        self.get_now(key)
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
        if !keys.is_empty() {
            self.travel().await;
        }
        keys.iter().map(|key| self.get_now(key)).collect()
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        if !items.is_empty() {
            self.travel().await;
        }
        items.into_iter().map(|(key, value, ttl)| self.set_now(key, value, ttl)).collect()
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        if !keys.is_empty() {
            self.travel().await;
        }
        keys.iter().map(|key| self.del_now(key)).collect()
    }

    fn limits(&self) -> Limits {
        self.0.limits
    }
}

/// Real time, of finer grain than the engine's default clock: tests with short TTLs want each millisecond.
struct RealTime(Instant);

impl Clock for RealTime {
    fn monotonic_ms(&self) -> u64 {
        millis(self.0.elapsed())
    }

    fn unix_ms(&self) -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, millis)
    }
}
