//! The holds of one key of a store in memory.

use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::traits::l2::HoldOwner;

/// The most holds of one key at once.
const MOST_HOLDS: usize = 256;

/// Owners, and until when the hold of each lasts.
#[derive(Clone, Debug, Default)]
pub(super) struct Holds(Vec<(HoldOwner, u64)>);

impl Holds {
    /// Adds a hold, in place of an older one of the same owner.
    pub(super) fn add(&mut self, owner: HoldOwner, until_ms: u64, now_ms: u64) -> StoreResult<()> {
        self.end(owner, now_ms);
        if self.0.len() >= MOST_HOLDS {
            return Err(StoreError::new(StoreErrorKind::Rejected, "too many writers hold the key"));
        }
        self.0.push((owner, until_ms));
        Ok(())
    }

    /// Ends the hold of one owner, and forgets those that are over.
    pub(super) fn end(&mut self, owner: HoldOwner, now_ms: u64) {
        self.0.retain(|(of, until_ms)| *of != owner && *until_ms > now_ms);
    }

    /// Until when the last one lasts; `None`: there is none.
    pub(super) fn until_ms(&self) -> Option<u64> {
        self.0.iter().map(|(_, until_ms)| *until_ms).max()
    }
}
