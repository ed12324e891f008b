//! Warnings that are not repeated with every try.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same is not said again for so long.
const SAME: Duration = Duration::from_secs(60);
/// Nothing else is said for so long.
const OTHER: Duration = Duration::from_secs(2);

/// What was said last, and when.
#[derive(Default)]
pub(crate) struct RareWarning(Mutex<Option<(String, Instant)>>);

impl RareWarning {
    /// Warns of `what` at `server`, unless it was said lately.
    pub(crate) fn say(&self, server: &impl Display, what: &str, why: &str) {
        let now = Instant::now();
        {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((said, at)) = &*last {
                let silence = if said == why { SAME } else { OTHER };
                if now.duration_since(*at) < silence {
                    return;
                }
            }
            *last = Some((why.to_owned(), now));
        }
        tracing::warn!(server = %server, "{what}: {why}");
    }
}
