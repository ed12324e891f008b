//! The least store with leases, to prove the laws about leases: one map under one lock.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use accelerator_core::testkit::ManualClock;
use accelerator_core::{
    Bytes, Clock, Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits, StoreError, StoreResult, async_trait,
};

/// What a key's place holds: its kind, the number of the write that put it there, and its end.
#[derive(Clone)]
struct Cell {
    what: What,
    number: u64,
    until_ms: u64,
}

#[derive(Clone)]
enum What {
    Value(Bytes),
    Lease,
    Hold(Vec<(HoldOwner, u64)>),
}

pub(crate) struct LeasingL2 {
    pub(crate) clock: ManualClock,
    cells: Mutex<HashMap<String, Cell>>,
    next: AtomicU64,
    // Part of each token: the numbers start again with the server.
    starts: AtomicU64,
}

impl LeasingL2 {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self { clock, cells: Mutex::default(), next: AtomicU64::new(1), starts: AtomicU64::new(1) }
    }

    /// Forgets everything and counts from the beginning, as a server does that starts again.
    pub(crate) fn restart(&self) {
        self.forget();
        self.starts.fetch_add(1, Ordering::SeqCst);
    }

    /// The same, and nobody hears of it.
    pub(crate) fn forget(&self) {
        self.cells.lock().expect("lock").clear();
        self.next.store(1, Ordering::SeqCst);
    }

    pub(crate) fn is_there(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: &str) -> Option<Cell> {
        let now = self.clock.monotonic_ms();
        self.cells.lock().expect("lock").get(key).filter(|cell| cell.until_ms > now).cloned()
    }

    fn put(&self, key: &str, what: What, ttl: Duration) -> LeaseToken {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.clock.monotonic_ms().saturating_add(ttl_ms);
        self.cells.lock().expect("lock").insert(key.to_owned(), Cell { what, number, until_ms });
        self.token(number)
    }

    pub(crate) fn stands(&self, key: &str, of: &LeaseToken) -> bool {
        self.find(key).is_some_and(|cell| self.token(cell.number) == *of && !matches!(cell.what, What::Hold(_)))
    }

    /// The holds of a key, with their ends.
    pub(crate) fn holds(&self, key: &str) -> Option<Vec<(HoldOwner, u64)>> {
        self.find(key).and_then(|cell| if let What::Hold(holds) = cell.what { Some(holds) } else { None })
    }

    /// These are the holds of the key now, and there is nothing else.
    pub(crate) fn put_holds(&self, key: &str, mut holds: Vec<(HoldOwner, u64)>) {
        let now = self.clock.monotonic_ms();
        holds.retain(|(_, until_ms)| *until_ms > now);
        let last = holds.iter().map(|(_, until_ms)| *until_ms).max().unwrap_or(now);
        self.put(key, What::Hold(holds), Duration::from_millis(last - now));
    }

    /// Removes whatever is there.
    pub(crate) fn remove(&self, key: &str) {
        self.cells.lock().expect("lock").remove(key);
    }

    pub(crate) fn end_of(&self, hold: Duration) -> u64 {
        self.clock.monotonic_ms().saturating_add(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX))
    }

    fn token(&self, number: u64) -> LeaseToken {
        let mut out = [0; 32];
        out[..8].copy_from_slice(&number.to_le_bytes());
        out[8..16].copy_from_slice(&self.starts.load(Ordering::SeqCst).to_le_bytes());
        LeaseToken::new(out)
    }
}

#[async_trait]
impl L2Store for LeasingL2 {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        Ok(match self.find(key).map(|cell| cell.what) {
            Some(What::Value(bytes)) => Some(bytes),
            _ => None,
        })
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        if self.holds(key).is_some() {
            return Err(StoreError::held());
        }
        self.put(key, What::Value(value), ttl);
        Ok(())
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        if self.holds(key).is_none() {
            self.remove(key);
        }
        Ok(())
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        Ok(match self.find(key) {
            Some(Cell { what: What::Value(bytes), number, .. }) => {
                L2Read::Hit { bytes, seen: Some(self.token(number)) }
            }
            Some(Cell { what: What::Lease, .. }) => L2Read::Busy,
            Some(Cell { what: What::Hold(_), .. }) => L2Read::Held,
            None => L2Read::Leased { token: self.put(key, What::Lease, lease), stale: None },
        })
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        if !self.stands(key, token) {
            return Ok(Filled::Lost);
        }
        self.put(key, What::Value(value), ttl);
        Ok(Filled::Stored)
    }

    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        let is_lease = self.find(key).is_some_and(|cell| matches!(cell.what, What::Lease));
        Ok((is_lease && self.stands(key, token)).then(|| self.put(key, What::Lease, lease)))
    }

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        if self.stands(key, &token) {
            self.cells.lock().expect("lock").remove(key);
        }
        Ok(())
    }

    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        let mut holds = self.holds(key).unwrap_or_default();
        holds.retain(|(of, _)| *of != owner);
        holds.push((owner, self.end_of(hold)));
        self.put_holds(key, holds);
        Ok(())
    }

    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        let mut holds = self.holds(key).unwrap_or_default();
        holds.retain(|(of, _)| *of != owner);
        self.put_holds(key, holds);
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits::default().leases(true).shortest_lease(Duration::from_secs(1))
    }
}
