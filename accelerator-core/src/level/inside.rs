//! The builder's runtime, entered where user code is polled in a caller's future: what a loader or a store awaits may need
//! timers or I/O, and the caller may be outside of every runtime.

use std::future::{Future, poll_fn};
use std::pin::pin;

use tokio::runtime::{EnterGuard, Handle};

use crate::level::engine::{Engine, Key, Value};

impl<K: Key, V: Value> Engine<K, V> {
    /// To be held for one poll. `None`: the caller is inside of a runtime, or the builder was given none.
    #[inline]
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        let runtime = self.runtime.as_ref()?;
        Handle::try_current().is_err().then(|| runtime.enter())
    }

    /// Runs `work` with each poll inside.
    pub(crate) async fn inside<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let _inside = self.enter();
            work.as_mut().poll(cx)
        })
        .await
    }
}
