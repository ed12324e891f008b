//! A cache of one key around the table: what `level/load`, `level/read` and `level/write` do with it, without timers,
//! codecs and counters. Its flights are driven by the code of `level/drive` as it is. The source counts up, so "older" is
//! "smaller".

mod host;
mod reading;
mod truth;
mod wire;
mod work;
mod writing;

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use crate::level::drive::host::FlightOf;
use crate::level::drive::{in_place, in_task, led, wait};
use crate::level::flight::join::Join;
use crate::level::flight::slots::SlotTable;
use crate::sync::{Mutex, lock};

pub(crate) use host::spawn;
pub(crate) use wire::{BatchRun, Load, Wire, Work};
pub(crate) use work::{Stage, launch_first, poll_once, take_over};

pub(crate) const KEY: u8 = 7;

pub(crate) type Flight = FlightOf<Arc<Cache>>;
type Table = SlotTable<u8, Outcome, Work, Arc<Cache>>;
type Joined = Join<u64, Arc<Flight>, Arc<Flight>>;
pub(crate) type Led = led::Led<Arc<Cache>>;
pub(crate) type Step = led::Step<u64, Arc<Cache>>;
pub(crate) type Follow = wait::Follow<Arc<Cache>>;
pub(crate) type Waited = wait::Waited<Arc<Cache>>;
pub(crate) type InPlace<'c> = in_place::InPlace<'c, Arc<Cache>>;
pub(crate) type InTask = in_task::InTask<Arc<Cache>>;

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Value(u64),
    Failed,
}

/// An entry of L1: its value and the generation it belongs to.
#[derive(Clone, Copy)]
struct Entry {
    value: u64,
    generation: u32,
}

/// A value in L2, and when it was written.
#[derive(Clone, Copy)]
struct Sealed {
    value: u64,
    written_at: u64,
}

pub(crate) struct Cache {
    pub(crate) table: Table,
    generation: AtomicU32,
    l1: Mutex<Option<Entry>>,
    // `None`: the cache has no L2.
    l2: Option<Mutex<Option<Sealed>>>,
    clock: AtomicU64,
    cleared_at: AtomicU64,
    pub(crate) source: AtomicU64,
    pub(crate) loads: AtomicUsize,
    // The newest write that was acknowledged.
    acknowledged: AtomicU64,
    // The newest `clear` that has returned.
    cleared: AtomicU32,
    // By how many milliseconds its time is ahead.
    pub(crate) ahead: std::sync::atomic::AtomicU64,
}

impl Cache {
    /// L1 only, empty.
    pub(crate) fn new() -> Arc<Self> {
        Self::build(None)
    }

    /// Both levels; L2 has the oldest value, if `filled`.
    pub(crate) fn with_l2(filled: bool) -> Arc<Self> {
        let old = filled.then_some(Sealed { value: 0, written_at: 1 });
        Self::build(Some(Mutex::new(old)))
    }

    fn build(l2: Option<Mutex<Option<Sealed>>>) -> Arc<Self> {
        Arc::new(Self {
            table: SlotTable::new(),
            generation: AtomicU32::new(0),
            l1: Mutex::new(None),
            l2,
            clock: AtomicU64::new(2),
            cleared_at: AtomicU64::new(0),
            source: AtomicU64::new(0),
            loads: AtomicUsize::new(0),
            acknowledged: AtomicU64::new(0),
            cleared: AtomicU32::new(0),
            ahead: std::sync::atomic::AtomicU64::new(0),
        })
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(SeqCst)
    }

    /// A value of L1 that a reader may have.
    pub(crate) fn l1(&self) -> Option<u64> {
        let entry = (*lock(&self.l1))?;
        (entry.generation == self.generation()).then_some(entry.value)
    }

    /// A value of L2 that a reader may have.
    pub(crate) fn l2(&self) -> Option<u64> {
        let sealed = (*lock(self.l2.as_ref()?))?;
        (sealed.written_at > self.cleared_at.load(SeqCst)).then_some(sealed.value)
    }

    fn seal(&self, value: u64) -> Sealed {
        Sealed { value, written_at: self.clock.fetch_add(1, SeqCst) }
    }

    fn write_l2(&self, sealed: Option<Sealed>) {
        if let Some(l2) = &self.l2 {
            *lock(l2) = sealed;
        }
    }
}
