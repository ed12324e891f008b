//! An L2 without a network, which behaves like one that has it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::holds::Holds;
use super::{ManualClock, lock};
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::time::{Clock, millis};
use crate::traits::l2::{Filled, L2Read, LeaseToken, Limits};

/// An [`L2Store`](crate::L2Store) over one map, with TTLs. A cheap handle: clones share the contents.
///
/// It has no leases unless [`with_leases`](Self::with_leases) says so.
///
/// Every operation gives way to the scheduler once before it happens, as a network store's would: a caller can be
/// dropped there, and others run. It refuses what breaks its [`Limits`] or isn't a key of `[A-Za-z0-9._~-]`, so that
/// tests see what a real server would have choked on. A batch is one round trip. The helpers that are not part of
/// [`L2Store`](crate::L2Store) (`peek`, `put_raw`, ..) look at the contents from the side: no round trip, no giving way.
#[derive(Clone)]
pub struct MemoryL2(Arc<Inner>);

/// As short as on a server that counts milliseconds.
const SHORTEST_LEASE: Duration = Duration::from_secs(1);
/// In milliseconds.
const SECOND: u64 = 1_000;

struct Inner {
    clock: Arc<dyn Clock>,
    // Of a store in real time nobody's but its users'.
    wall: Option<ManualClock>,
    // In milliseconds.
    tick: u64,
    limits: Limits,
    contents: Mutex<HashMap<String, Stored>>,
    round_trips: AtomicU64,
    writes: AtomicU64,
}

#[derive(Clone)]
struct Stored {
    what: What,
    // Of the write that put it there: what a token proves.
    number: u64,
    put_ms: u64,
    until_ms: u64,
}

#[derive(Clone)]
enum What {
    Value(Bytes),
    Lease,
    Hold(Holds),
}

impl Stored {
    /// The holds that are there and not over.
    fn holds(&self, now: u64) -> Option<&Holds> {
        match &self.what {
            What::Hold(holds) if self.until_ms > now => Some(holds),
            _ => None,
        }
    }

    fn token(&self) -> LeaseToken {
        let mut token = [0; 32];
        token[..8].copy_from_slice(&self.number.to_le_bytes());
        LeaseToken::new(token)
    }
}

impl MemoryL2 {
    /// An empty store whose TTLs run in real time.
    #[must_use]
    pub fn new() -> Self {
        Self::build(Arc::new(RealTime(Instant::now())), None, 1, Limits::default())
    }

    /// An empty store whose TTLs run with `clock`, and which tells its wall time.
    #[must_use]
    pub fn with_clock(clock: ManualClock) -> Self {
        Self::build(Arc::new(clock.clone()), Some(clock), 1, Limits::default())
    }

    /// An empty store on the same clock, with other limits; it has leases where they say so.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self::build(Arc::clone(&self.0.clock), self.0.wall.clone(), self.0.tick, limits)
    }

    /// An empty store on the same clock, of which it sees whole seconds only, as memcached does. It tells no wall time,
    /// but how old the values are that it reads.
    #[must_use]
    pub fn counting_seconds(self) -> Self {
        let limits = self.0.limits.ttl_granularity(Duration::from_millis(SECOND)).ages(true);
        Self::build(Arc::clone(&self.0.clock), None, SECOND, limits)
    }

    /// An empty store on the same clock, with leases.
    #[must_use]
    pub fn with_leases(self) -> Self {
        let limits = self.0.limits.leases(true).shortest_lease(SHORTEST_LEASE);
        self.with_limits(limits)
    }

    fn build(clock: Arc<dyn Clock>, wall: Option<ManualClock>, tick: u64, limits: Limits) -> Self {
        let (contents, round_trips, writes) = (Mutex::default(), AtomicU64::new(0), AtomicU64::new(1));
        Self(Arc::new(Inner { clock, wall, tick, limits, contents, round_trips, writes }))
    }

    /// How many operations went over the imagined wire: a batch counts once, an empty batch not at all.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.0.round_trips.load(Ordering::SeqCst)
    }

    /// How many living values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys of the living values, sorted.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let now = self.0.clock.monotonic_ms();
        let mut contents = lock(&self.0.contents);
        contents.retain(|_, stored| stored.until_ms > now);
        let values = contents.iter().filter(|(_, stored)| matches!(stored.what, What::Value(_)));
        let mut keys: Vec<String> = values.map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys
    }

    /// The bytes under `key`.
    #[must_use]
    pub fn peek(&self, key: &str) -> Option<Bytes> {
        match &self.find(&lock(&self.0.contents), key)?.what {
            What::Value(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Whether somebody holds the lease of `key`.
    #[must_use]
    pub fn is_leased(&self, key: &str) -> bool {
        self.living(key).is_some_and(|stored| matches!(stored.what, What::Lease))
    }

    /// How long `key` has to live, whatever is there.
    #[must_use]
    pub fn remaining(&self, key: &str) -> Option<Duration> {
        let stored = self.living(key)?;
        Some(Duration::from_millis(stored.until_ms.saturating_sub(self.0.clock.monotonic_ms())))
    }

    /// Puts bytes under `key` behind everybody's back; nothing is checked.
    pub fn put_raw(&self, key: &str, bytes: impl Into<Bytes>, ttl: Duration) {
        self.put(&mut lock(&self.0.contents), key, What::Value(bytes.into()), ttl);
    }

    /// Forgets everything, as a restarted server does.
    pub fn wipe(&self) {
        lock(&self.0.contents).clear();
    }

    fn living(&self, key: &str) -> Option<Stored> {
        self.find(&lock(&self.0.contents), key).cloned()
    }

    fn find<'a>(&self, contents: &'a HashMap<String, Stored>, key: &str) -> Option<&'a Stored> {
        let now = self.0.clock.monotonic_ms();
        contents.get(key).filter(|stored| stored.until_ms > now)
    }

    fn put(&self, contents: &mut HashMap<String, Stored>, key: &str, what: What, ttl: Duration) -> LeaseToken {
        let stored = self.stored(what, self.ticked_ms(), ttl);
        let token = stored.token();
        contents.insert(key.to_owned(), stored);
        token
    }

    fn stored(&self, what: What, put_ms: u64, ttl: Duration) -> Stored {
        let number = self.0.writes.fetch_add(1, Ordering::SeqCst);
        Stored { what, number, put_ms, until_ms: put_ms.saturating_add(millis(ttl)) }
    }

    /// What the clock says that the store sees.
    fn ticked_ms(&self) -> u64 {
        let now = self.0.clock.monotonic_ms();
        now - now % self.0.tick
    }

    /// How long ago the value under `key` was stored, at most, where the store tells.
    pub(super) fn age(&self, key: &str) -> Option<Duration> {
        if !self.0.limits.ages {
            return None;
        }
        let passed = self.ticked_ms().saturating_sub(self.living(key)?.put_ms);
        // It was stored at the beginning of its tick, and this one is nearly over.
        Some(Duration::from_millis(passed + self.0.tick))
    }

    /// The wire: the operation happens after this. Dropped here, it has not happened.
    pub(super) async fn travel(&self) {
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

    pub(super) fn get_now(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.check_key(key)?;
        Ok(self.peek(key))
    }

    pub(super) fn set_now(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.check(key, &value)?;
        let (now, mut contents) = (self.0.clock.monotonic_ms(), lock(&self.0.contents));
        let stored = self.stored(What::Value(value), now - now % self.0.tick, ttl);
        // One look for both: what is there, and the place.
        match contents.entry(key.to_owned()) {
            Entry::Occupied(there) if there.get().holds(now).is_some() => return Err(StoreError::held()),
            there => there.insert_entry(stored),
        };
        Ok(())
    }

    fn check(&self, key: &str, value: &Bytes) -> StoreResult<()> {
        if value.len() > self.0.limits.max_value_bytes {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "value exceeds max_value_bytes"));
        }
        self.check_key(key)
    }

    pub(super) fn del_now(&self, key: &str) -> StoreResult<()> {
        self.check_key(key)?;
        let mut contents = lock(&self.0.contents);
        if self.holds(&contents, key).is_none() {
            contents.remove(key);
        }
        Ok(())
    }

    fn holds<'a>(&self, contents: &'a HashMap<String, Stored>, key: &str) -> Option<&'a Holds> {
        contents.get(key)?.holds(self.0.clock.monotonic_ms())
    }

    /// Changes the holds of a key, in whose place nothing else stays.
    pub(super) fn change_holds(
        &self,
        key: &str,
        change: impl FnOnce(&mut Holds, u64) -> StoreResult<()>,
    ) -> StoreResult<()> {
        self.check_key(key)?;
        let now = self.0.clock.monotonic_ms();
        let mut contents = lock(&self.0.contents);
        let mut holds = self.holds(&contents, key).cloned().unwrap_or_default();
        change(&mut holds, now)?;
        match holds.until_ms() {
            Some(until) => {
                let left = Duration::from_millis(until.saturating_sub(now));
                self.put(&mut contents, key, What::Hold(holds), left);
            }
            None => {
                contents.remove(key);
            }
        }
        Ok(())
    }

    pub(super) fn need_leases(&self, op: &str) -> StoreResult<()> {
        if self.0.limits.leases { Ok(()) } else { Err(StoreError::unsupported(op)) }
    }

    pub(super) fn get_or_lease_now(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        self.need_leases("get_or_lease")?;
        self.check_key(key)?;
        let mut contents = lock(&self.0.contents);
        let Some(stored) = self.find(&contents, key) else {
            return Ok(L2Read::Leased { token: self.put(&mut contents, key, What::Lease, lease), stale: None });
        };
        Ok(match &stored.what {
            What::Value(bytes) => L2Read::Hit { bytes: bytes.clone(), seen: Some(stored.token()) },
            What::Lease => L2Read::Busy,
            What::Hold(_) => L2Read::Held,
        })
    }

    /// Whether what the token proves is still there.
    fn stands(&self, contents: &HashMap<String, Stored>, key: &str, token: &LeaseToken) -> bool {
        self.find(contents, key).is_some_and(|stored| stored.token() == *token)
    }

    pub(super) fn renew_now(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        self.need_leases("renew")?;
        self.check_key(key)?;
        let mut contents = lock(&self.0.contents);
        let is_lease = self.find(&contents, key).is_some_and(|stored| matches!(stored.what, What::Lease));
        if !is_lease || !self.stands(&contents, key, token) {
            return Ok(None);
        }
        // Another token, as some servers have it: the old one is worth nothing.
        Ok(Some(self.put(&mut contents, key, What::Lease, lease)))
    }

    pub(super) fn fill_now(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        self.need_leases("fill")?;
        self.check(key, &value)?;
        let mut contents = lock(&self.0.contents);
        if !self.stands(&contents, key, token) {
            return Ok(Filled::Lost);
        }
        self.put(&mut contents, key, What::Value(value), ttl);
        Ok(Filled::Stored)
    }

    pub(super) fn release_now(&self, key: &str, token: &LeaseToken) -> StoreResult<()> {
        self.need_leases("release")?;
        let mut contents = lock(&self.0.contents);
        if self.stands(&contents, key, token) {
            contents.remove(key);
        }
        Ok(())
    }

    /// The time of day, where a test moves it.
    pub(super) fn wall_ms(&self) -> Option<u64> {
        Some(self.0.wall.as_ref()?.unix_ms())
    }

    pub(super) fn own_identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(super) fn own_limits(&self) -> Limits {
        self.0.limits
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
