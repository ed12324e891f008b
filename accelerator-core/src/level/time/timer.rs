//! A timer that survives its runtime: work may move to another runtime, and the first one may end.

use std::future::Future;
use std::panic::catch_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep_until};

/// Ready once its time is over, wherever it is polled.
pub(crate) struct Timer {
    until: Instant,
    home: Option<Id>,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    fn start_until(until: Instant) -> Self {
        Self { until, home: home(), sleep: Box::pin(sleep_until(until)) }
    }

    /// In the current runtime, else in `runtime`; `None` without any, or in one that was built without timers.
    pub(crate) fn until(until: Instant, runtime: Option<&Handle>) -> Option<Self> {
        let _inside = match Handle::try_current() {
            Ok(_) => None,
            Err(_) => Some(runtime?.enter()),
        };
        catch_unwind(|| Self::start_until(until)).ok()
    }

    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let here = home();
        if here.is_some() && here != self.home {
            // A sleep of a runtime that has ended panics when it is polled.
            self.home = here;
            self.sleep = Box::pin(sleep_until(self.until));
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// So long from now; as far away as a clock can tell where that is too long.
pub(crate) fn from_now(after: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(after).unwrap_or_else(|| now + FAR)
}

/// Thirty years: longer than any process lives.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

fn home() -> Option<Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_over(cx)
    }
}
