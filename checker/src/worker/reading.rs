//! Which reads are in progress, per key: one that begins now may join their flights.
//!
//! Who joins a flight gets what it brings, and it may have looked at L2 before the reader began. What this node has
//! invalidated detaches its flights; of what another node has invalidated this one doesn't hear. So a read is held
//! against the acknowledgements of others up to the begin of the oldest flight that it may have joined. The leader of a
//! flight is a read in progress.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::row::Id;
use crate::time::now;

pub(crate) struct Readings(Vec<Mutex<Vec<u64>>>);

impl Readings {
    pub(crate) fn new(keys: Id) -> Self {
        Self((0..keys).map(|_| Mutex::default()).collect())
    }

    /// A read of `id` begins.
    pub(crate) fn begin(&self, id: Id) -> Reading<'_> {
        let begin = now();
        let mut begins = self.begins(id);
        let joined = begins.iter().copied().min().unwrap_or(begin).min(begin);
        begins.push(begin);
        Reading { all: self, id, begin, joined }
    }

    fn begins(&self, id: Id) -> MutexGuard<'_, Vec<u64>> {
        // Nothing panics while it is held.
        self.0[id as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read in progress; dropped, it has ended.
pub(crate) struct Reading<'a> {
    all: &'a Readings,
    pub(crate) id: Id,
    pub(crate) begin: u64,
    /// When the oldest flight that it may join began.
    pub(crate) joined: u64,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut begins = self.all.begins(self.id);
        if let Some(at) = begins.iter().position(|begin| *begin == self.begin) {
            begins.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_may_join_what_is_in_progress_when_it_begins() {
        let all = Readings::new(2);
        let first = all.begin(1);
        let second = all.begin(1);
        assert_eq!((first.joined, second.joined), (first.begin, first.begin));
        drop(first);
        assert_eq!(all.begin(1).joined, second.begin);
        drop(second);
        let alone = all.begin(1);
        assert_eq!(alone.joined, alone.begin);
        let other = all.begin(0);
        assert_eq!(other.joined, other.begin);
    }
}
