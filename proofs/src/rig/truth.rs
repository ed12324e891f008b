//! What must hold.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::atomic::Ordering::SeqCst;

use crate::rig::{Cache, Outcome};

impl Cache {
    /// A write to the source, which readers may see from now on.
    pub(crate) fn change(&self) -> u64 {
        self.source.fetch_add(1, SeqCst) + 1
    }

    /// The invalidation of this change was acknowledged: from now on readers must see it.
    pub(crate) fn acknowledge(&self, change: u64) {
        self.acknowledged.fetch_max(change, SeqCst);
    }

    /// A read; it must not be older than what was acknowledged before it began.
    pub(crate) fn read(self: &Arc<Self>) -> Outcome {
        self.checked(|| block_on(self.get()))
    }

    /// As [`read`](Self::read), in the caller's way.
    pub(crate) fn checked(&self, read: impl FnOnce() -> Outcome) -> Outcome {
        let floor = self.acknowledged.load(SeqCst);
        let outcome = read();
        if let Outcome::Value(value) = outcome {
            assert!(value >= floor, "read {value}, though {floor} was acknowledged");
        }
        outcome
    }

    /// As [`read`](Self::read), by lookup.
    pub(crate) fn look(&self) {
        let floor = self.acknowledged.load(SeqCst);
        if let Some(value) = self.lookup() {
            assert!(value >= floor, "looked up {value}, though {floor} was acknowledged");
        }
    }

    /// When everybody is gone: nothing old is left in either level, and no slot.
    pub(crate) fn at_rest(&self) {
        let newest = self.source.load(SeqCst);
        assert!(self.l1().is_none_or(|value| value == newest), "an old value stayed in L1");
        assert!(self.l2().is_none_or(|value| value == newest), "an old value stayed in L2");
        self.is_empty();
    }

    pub(crate) fn is_empty(&self) {
        assert_eq!(self.table.len(), 0, "a slot outlived its operations");
    }
}
