//! How time passes for a law about TTLs.

use std::fmt;
use std::time::{Duration, Instant};

/// How time passes for the store under test: by waiting, or by moving its clock.
pub struct Time<'a>(Option<Box<dyn Fn(Duration) + 'a>>);

impl<'a> Time<'a> {
    /// The laws wait in real time.
    #[must_use]
    pub fn real() -> Self {
        Self(None)
    }

    /// `advance` moves the clock of `store`.
    pub fn moved_by<S>(store: &'a S, advance: impl Fn(&S, Duration) + 'a) -> Self {
        Self::moved(move |by| advance(store, by))
    }

    /// `advance` moves the store's clock.
    pub fn moved(advance: impl Fn(Duration) + 'a) -> Self {
        Self(Some(Box::new(advance)))
    }

    /// Lets time pass.
    pub(super) async fn pass(&self, by: Duration) {
        match &self.0 {
            Some(advance) => advance(by),
            None => tokio::time::sleep(by).await,
        }
    }

    /// What has certainly passed since `start`, of a store whose clock was moved by `moved` meanwhile.
    pub(super) fn passed(&self, start: Instant, moved: Duration) -> Duration {
        if self.0.is_some() { moved } else { start.elapsed() }
    }

    /// Whether less than `limit` has certainly passed since `start`: a busy machine may have slept through a TTL. A
    /// clock that only the law moves stands where the law put it.
    pub(super) fn is_within(&self, start: Instant, limit: Duration) -> bool {
        self.0.is_some() || start.elapsed() < limit
    }

    /// How long a law may go on asking for something that is due: servers clean up when they like, moved clocks don't.
    pub(super) fn patience(&self) -> Duration {
        if self.0.is_some() { Duration::ZERO } else { Duration::from_secs(3) }
    }
}

impl fmt::Debug for Time<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Time::moved_by(..)" } else { "Time::real()" })
    }
}
