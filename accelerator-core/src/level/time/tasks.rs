//! The builder's runtime, entered where user code is polled in a caller's future: what a loader or a store awaits may need
//! timers or I/O, and the caller may be outside of every runtime.

use std::future::{Future, poll_fn};
use std::pin::pin;

use tokio::runtime::{EnterGuard, Handle, RuntimeFlavor};

use crate::level::engine::{Engine, Key, Value};

impl<K: Key, V: Value> Engine<K, V> {
    /// To be held for one poll. `None`: the caller is inside of a runtime, or the builder was given none.
    #[inline]
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        let runtime = self.runtime.as_ref()?;
        Handle::try_current().is_err().then(|| runtime.enter())
    }

    /// Runs what nobody on this node waits for, but others may: a fill, or a lease that is given back. A current-thread
    /// runtime may stand still as soon as the call is over: then the builder's is the better one.
    pub(crate) fn spawn_errand(&self, work: impl Future<Output = ()> + Send + 'static) {
        let may_stand_still =
            |here: &Handle| self.runtime.is_some() && here.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let here = Handle::try_current().ok().filter(|here| !may_stand_still(here));
        if let Some(runtime) = here.as_ref().or(self.runtime.as_ref()) {
            runtime.spawn(work);
        }
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
