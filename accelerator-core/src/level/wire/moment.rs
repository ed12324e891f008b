//! When an answer of L2 came, how old what it has is at least, and until when it is of use.

use std::time::Duration;

use crate::level::time::policy::Until;
use crate::time::millis;

/// When an answer of L2 came: read from the clocks once, however many keys it is about.
#[derive(Clone, Copy)]
pub(crate) struct Instants {
    /// Milliseconds of the cache's clock.
    pub(crate) now: u64,
    /// Unix milliseconds.
    pub(crate) unix: u64,
    /// The value is taken for at least so old, in milliseconds: as the store told. Zero where it doesn't.
    pub(crate) least_age: u64,
}

/// A value from L2, and until when (of the cache's clock) it is of use: it may wait for others before it is used, or for
/// the end of a load that it stands in for.
#[derive(Clone)]
pub(crate) struct Dated<V> {
    pub(crate) value: Option<V>,
    pub(crate) until: Until,
}

fn rounded_up(age: Duration) -> u64 {
    millis(age.saturating_add(Duration::from_nanos(999_999)))
}

impl Instants {
    /// The same for a value that was at most so old at some time after L2 was asked, which was at `asked_at`.
    #[inline]
    pub(crate) fn aged(self, age: Option<Duration>, asked_at: u64) -> Self {
        let least_age = age.map_or(0, |age| rounded_up(age).saturating_add(self.now.saturating_sub(asked_at)));
        Self { least_age, ..self }
    }
}
