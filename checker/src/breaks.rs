//! When the bus was interrupted, and by when other nodes must have heard of a write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::time::now;

/// One interruption.
#[derive(Clone, Copy, Debug)]
struct Break {
    begin: u64,
    /// The server was back.
    back: u64,
    /// Every node had noticed, and had told what it owed.
    end: u64,
}

/// All of a run.
#[derive(Debug, Default)]
pub(crate) struct Breaks(Mutex<Vec<Break>>);

impl Breaks {
    fn lock(&self) -> MutexGuard<'_, Vec<Break>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One is about to begin. Its time is taken under the lock: who looks later knows of all that began before.
    pub(crate) fn begin(&self) {
        let mut all = self.lock();
        all.push(Break { begin: now(), back: u64::MAX, end: u64::MAX });
    }

    pub(crate) fn back(&self, at: u64) {
        if let Some(last) = self.lock().last_mut() {
            last.back = at;
        }
    }

    pub(crate) fn end(&self) {
        let mut all = self.lock();
        if let Some(last) = all.last_mut() {
            last.end = now();
        }
    }
}

/// What is promised of a write that other nodes are told of. Times are in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    /// How long a message may take while the bus works.
    pub(crate) delivery: u64,
    /// How long an L1 may be older where the bus breaks.
    pub(crate) broken: u64,
    pub(crate) breaks: Arc<Breaks>,
}

impl Promise {
    /// From when on nobody may begin to read what is older than a write that was acknowledged at `end`. `None`: it is not
    /// known yet, as not all is known up to `until` and a little more.
    pub(crate) fn acknowledged(&self, end: u64, until: u64) -> Option<u64> {
        let in_time = end.saturating_add(self.delivery);
        // By then it would have arrived.
        if until < in_time {
            return None;
        }
        let all = self.breaks.lock();
        let hit = |one: &&Break| one.begin <= in_time && one.end.saturating_add(self.delivery) >= end;
        Some(if all.iter().rev().any(|one| hit(&one)) { end.saturating_add(self.broken) } else { in_time })
    }

    /// The same of a write that was not confirmed. It was queued, so it counts when the bus works again.
    pub(crate) fn unconfirmed(&self, end: u64) -> Unconfirmed {
        let all = self.breaks.lock();
        match all.iter().rev().find(|one| one.begin <= end) {
            Some(one) if one.end == u64::MAX => Unconfirmed::NotYet,
            Some(one) if end <= one.back => Unconfirmed::From(one.end.saturating_add(self.delivery)),
            // Between two breaks nobody sees when it is told: only what is at rest is held against it.
            _ => Unconfirmed::AtRest,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unconfirmed {
    NotYet,
    From(u64),
    AtRest,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(breaks: Vec<Break>) -> Promise {
        Promise { delivery: 10, broken: 100, breaks: Arc::new(Breaks(Mutex::new(breaks))) }
    }

    #[test]
    fn a_write_counts_by_the_delivery_and_near_a_break_by_more() {
        let promise = promise(vec![Break { begin: 1000, back: 1050, end: 1100 }]);
        assert_eq!(promise.acknowledged(500, 509), None, "a break may begin in time to lose it");
        assert_eq!(promise.acknowledged(500, 510), Some(510));
        assert_eq!(promise.acknowledged(989, 2000), Some(999));
        for end in [990, 1000, 1099, 1110] {
            assert_eq!(promise.acknowledged(end, 2000), Some(end + 100), "{end}");
        }
        assert_eq!(promise.acknowledged(1111, 2000), Some(1121));
    }

    #[test]
    fn a_write_that_was_not_confirmed_counts_when_the_bus_works_again() {
        let open = promise(vec![Break { begin: 1000, back: u64::MAX, end: u64::MAX }]);
        assert_eq!(open.unconfirmed(1010), Unconfirmed::NotYet);
        let promise = promise(vec![Break { begin: 1000, back: 1050, end: 1100 }]);
        assert_eq!(promise.unconfirmed(1010), Unconfirmed::From(1110));
        assert_eq!(promise.unconfirmed(1060), Unconfirmed::AtRest, "some node had told all before");
        assert_eq!(promise.unconfirmed(900), Unconfirmed::AtRest);
    }
}
