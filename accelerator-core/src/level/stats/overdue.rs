//! Loads that were given up at `loader_timeout`: the error, and a line in the log now and then.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::CacheError;
use crate::sync::{Mutex, lock};

/// At most one line in this time, for each cache: a slow source must not become a flood of lines as well.
const EVERY: Duration = Duration::from_secs(60);

/// The limit of loads, and what becomes of one that is over it.
pub(crate) struct Overdue {
    /// `loader_timeout`.
    pub(crate) limit: Duration,
    area: String,
    told: Mutex<Option<Instant>>,
}

impl Overdue {
    pub(crate) fn new(area: &str, limit: Duration) -> Self {
        Self { limit, area: area.to_owned(), told: Mutex::new(None) }
    }

    /// The error of a load that did not end in time.
    #[cold]
    pub(crate) fn error(&self) -> CacheError {
        let error = CacheError::timeout(self.limit);
        if self.is_due() {
            tracing::warn!(target: "accelerator::load", area = %self.area, error = %format_args!("{error:#}"), "a load was given up");
        }
        error
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut told = lock(&self.told);
        let due = told.is_none_or(|told| now.saturating_duration_since(told) >= EVERY);
        if due {
            *told = Some(now);
        }
        due
    }
}
