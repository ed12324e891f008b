//! One L1 store, one cache: two that share one would answer with each other's values.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The stores of all living caches of this process, by identity: one entry for each cache.
static CLAIMED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

/// A store that no other cache may have. Dropped, it is free again.
pub(crate) struct Claim(Option<usize>);

impl Claim {
    /// `None`: another cache has it. A store without an identity is everybody's.
    pub(crate) fn of(identity: Option<usize>) -> Option<Self> {
        let is_free = identity.is_none_or(|identity| claimed().insert(identity));
        is_free.then(|| Self(identity))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(identity) = &self.0 {
            claimed().remove(identity);
        }
    }
}

fn claimed() -> MutexGuard<'static, BTreeSet<usize>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}
