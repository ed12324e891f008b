//! What a flight is doing: its work, polled in place or in a task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cache::BoxFuture;
use crate::error::{CacheError, CacheResult};
use crate::inside::forget_panic;
use crate::level::bounds::Value;
use crate::level::flight::shared_run::SharedRun;
use crate::level::flight::state::Parked;
use crate::level::local::outcome::{End, FromSource};
use crate::level::source::LoadFuture;
use crate::level::stats::overdue::Overdue;
use crate::level::time::tasks::Tasks;
use crate::level::time::ticker::{Limit, NoRuntime};
use crate::traits::loader::Loaded;

/// A load under `loader_timeout`. The limit begins when the load first suspends, so a load that is ready at once pays
/// for none.
pub(crate) struct Limited<T> {
    load: LoadFuture<T>,
    limit: Option<Limit>,
}

impl<T> Limited<T> {
    pub(crate) fn new(load: LoadFuture<T>) -> Self {
        Self { load, limit: None }
    }

    /// Panics of the loader are caught by the caller.
    pub(crate) fn poll(&mut self, tasks: &Tasks, overdue: &Overdue, cx: &mut Context<'_>) -> Poll<CacheResult<T>> {
        if let Poll::Ready(answer) = self.load.as_mut().poll(cx) {
            return Poll::Ready(answer);
        }
        let limit = self.limit.get_or_insert_with(|| tasks.limit(overdue.limit));
        tasks.poll_limit(limit, cx).map(|over| match over {
            Ok(()) => Err(overdue.error()),
            Err(NoRuntime) => Err(CacheError::no_runtime("a load that suspends")),
        })
    }
}

/// The run of a batch. Slots hold runs, and drop them under their lock: nothing of a user is in here while nobody else
/// holds it.
pub(crate) type BatchRun = SharedRun<BoxFuture<'static, ()>>;

/// What a flight is doing; polled by its leader or in a task.
pub(crate) enum Work<V> {
    /// Only the loader.
    Load(Limited<Loaded<V>>),
    /// L2, and the loader if need be.
    Full(BoxFuture<'static, End<V>>),
}

impl<V> Parked for Work<V> {
    type Run = Arc<BatchRun>;

    fn is_same(one: &Arc<BatchRun>, other: &Arc<BatchRun>) -> bool {
        Arc::ptr_eq(one, other)
    }
}

impl<V: Value> Work<V> {
    /// Drops it. A load that timed out is unfinished: user code, whose panic is nobody's any more.
    pub(crate) fn end(self) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(self))) {
            forget_panic(payload);
        }
    }

    /// One poll; a panic of user code becomes the end of this flight. `with_lives`: how long an answer may be cached.
    pub(crate) fn poll(
        &mut self,
        tasks: &Tasks,
        overdue: &Overdue,
        with_lives: impl FnOnce(Loaded<V>) -> FromSource<V>,
        cx: &mut Context<'_>,
    ) -> Poll<End<V>> {
        let polled = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Load(load) => load.poll(tasks, overdue, cx).map(|answer| match answer {
                Ok(loaded) => End::Loaded(with_lives(loaded)),
                Err(error) => End::Failed { error, stale: None },
            }),
            Self::Full(work) => work.as_mut().poll(cx),
        }));
        polled.unwrap_or_else(|payload| {
            Poll::Ready(End::Failed { error: CacheError::panic("the loader", &*payload), stale: None })
        })
    }
}
