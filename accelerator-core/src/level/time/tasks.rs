//! Where work runs: the current runtime, or the builder's where there is none.
//!
//! The builder's runtime is entered where user code is polled in a caller's future: what a loader or a store awaits may
//! need timers or I/O, and the caller may be outside of every runtime.

use std::borrow::Borrow;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{EnterGuard, Handle, RuntimeFlavor};

use crate::level::time::ticker::{Limit, NoRuntime, Ticker};
use crate::level::time::timer::{Timer, from_now};

/// The builder's runtime, and the one timer for all limits of a cache.
pub(crate) struct Tasks {
    runtime: Option<Handle>,
    pub(crate) ticker: Arc<Ticker>,
}

impl Tasks {
    pub(crate) fn new(runtime: Option<Handle>) -> Self {
        Self { runtime, ticker: Ticker::new() }
    }

    /// The runtime for detached work: the current one, else the builder's.
    pub(crate) fn handle(&self) -> Option<Handle> {
        Handle::try_current().ok().or_else(|| self.runtime.clone())
    }

    /// Whether there may be one. Within a task the answer costs no handle, which all threads count; but a task of a
    /// `LocalSet` may be polled outside of every runtime.
    pub(crate) fn may_have_runtime(&self) -> bool {
        tokio::task::try_id().is_some() || self.handle().is_some()
    }

    /// A timer, also outside a runtime if the builder was given one.
    pub(crate) fn timer(&self, after: Duration) -> Option<Timer> {
        Timer::until(from_now(after), self.runtime.as_ref())
    }

    /// A limit that begins with its first poll.
    pub(crate) fn limit(&self, after: Duration) -> Limit {
        Limit::new(self.ticker.clone(), after)
    }

    /// Polls a limit: ready when its time is over, or at once with `NoRuntime`.
    pub(crate) fn poll_limit<T: Borrow<Arc<Ticker>>>(
        &self,
        limit: &mut Limit<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), NoRuntime>> {
        limit.poll(self.runtime.as_ref(), cx)
    }

    /// Runs `work` in a task of its own. `false`: there is no runtime; `work` was dropped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        self.handle().map(|handle| handle.spawn(work)).is_some()
    }

    /// [`spawn`](Self::spawn) to be handed on.
    pub(crate) fn spawns<T: Future<Output = ()> + Send + 'static>(&self) -> impl FnOnce(T) {
        |task| {
            self.spawn(task);
        }
    }

    /// Runs what nobody on this node waits for, but others may: a fill, or a lease that is given back. A current-thread
    /// runtime may stand still as soon as the call is over: then the builder's is the better one.
    pub(crate) fn spawn_errand(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.spawn_to_stay(work);
    }

    /// The same for what goes on for as long as the cache lives. `false`: there is no runtime; `work` was dropped.
    pub(crate) fn spawn_to_stay(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let may_stand_still =
            |here: &Handle| self.runtime.is_some() && here.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let here = Handle::try_current().ok().filter(|here| !may_stand_still(here));
        here.as_ref().or(self.runtime.as_ref()).map(|runtime| runtime.spawn(work)).is_some()
    }

    /// Runs `work` until its end, or for so long; at once without a runtime. `None`: it did not end.
    pub(crate) async fn within<T>(&self, longest: Duration, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut over) = (pin!(work), Limit::new(&self.ticker, longest));
        poll_fn(|cx| {
            let _inside = self.enter();
            if let Poll::Ready(out) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(out));
            }
            self.poll_limit(&mut over, cx).map(|_| None)
        })
        .await
    }

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
