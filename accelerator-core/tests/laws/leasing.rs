//! The least store with leases, to prove the laws about leases: one map under one lock.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use accelerator_core::testkit::ManualClock;
use accelerator_core::{Bytes, Clock, Filled, L2Read, L2Store, LeaseToken, Limits, StoreResult, async_trait};

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
    Hold,
}

pub(crate) struct LeasingL2 {
    pub(crate) clock: ManualClock,
    cells: Mutex<HashMap<String, Cell>>,
    next: AtomicU64,
}

impl LeasingL2 {
    pub(crate) fn new(clock: ManualClock) -> Self {
        Self { clock, cells: Mutex::default(), next: AtomicU64::new(1) }
    }

    fn find(&self, key: &str) -> Option<Cell> {
        let now = self.clock.monotonic_ms();
        self.cells.lock().expect("lock").get(key).filter(|cell| cell.until_ms > now).cloned()
    }

    fn put(&self, key: &str, what: What, ttl: Duration) -> LeaseToken {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let until_ms = self.clock.monotonic_ms() + ttl.as_millis() as u64;
        self.cells.lock().expect("lock").insert(key.to_owned(), Cell { what, number, until_ms });
        token(number)
    }

    fn stands(&self, key: &str, of: &LeaseToken) -> bool {
        self.find(key).is_some_and(|cell| token(cell.number) == *of && !matches!(cell.what, What::Hold))
    }
}

fn token(number: u64) -> LeaseToken {
    let mut out = [0; 32];
    out[..8].copy_from_slice(&number.to_le_bytes());
    LeaseToken(out)
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
        self.put(key, What::Value(value), ttl);
        Ok(())
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        self.cells.lock().expect("lock").remove(key);
        Ok(())
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        Ok(match self.find(key) {
            Some(Cell { what: What::Value(bytes), number, .. }) => L2Read::Hit { bytes, seen: Some(token(number)) },
            Some(Cell { what: What::Lease, .. }) => L2Read::Busy { stale: None },
            Some(Cell { what: What::Hold, .. }) => L2Read::Held,
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

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        if self.stands(key, &token) {
            self.cells.lock().expect("lock").remove(key);
        }
        Ok(())
    }

    async fn hold(&self, key: &str, hold: Duration) -> StoreResult<()> {
        self.put(key, What::Hold, hold);
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits::default().leases(true)
    }
}
