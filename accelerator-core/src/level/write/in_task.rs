//! A write of L2 in its task, and who awaits it: perhaps in another runtime than the one that the write was called in,
//! which may stand still by then.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::runtime::{Handle, Id};

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult, StoreError, StoreErrorKind};
use crate::level::bounds::{Key, Value};
use crate::level::flight::shared_run::Report;
use crate::level::local::work::BatchRun;
use crate::level::remote::Remote;
use crate::level::time::looks::RegularLooks;

/// Runs the L2 part of a write from now on, whether or not its future is polled.
pub(crate) fn in_task<K: Key, V: Value>(
    remote: &Arc<Remote<K, V>>,
    op: &'static str,
    work: impl Future<Output = CacheResult<()>> + Send + 'static,
) -> CacheFuture<'static, CacheResult<()>> {
    let Some(handle) = remote.local.tasks.handle() else {
        // The slots inside are dropped: L1 is corrected, the keys are bypassed.
        drop(work);
        return CacheFuture::ready(Err(CacheError::no_runtime(op)));
    };
    remote.tend();
    let (run, report) = (BatchRun::new(), Report::new());
    let written =
        Written { op, remote: remote.clone(), run, report, home: handle.id(), looks: RegularLooks::default() };
    let tells = Tells { op, report: written.report.clone(), result: None };
    let work = async move {
        let mut tells = tells;
        tells.result = Some(work.await);
    };
    written.run.begin(Box::pin(work), remote.local.tasks.spawns());
    written.run.move_to_task(false, Instant::now(), remote.local.tasks.spawns());
    CacheFuture::boxed(written)
}

/// Tells how a write ended, also where its task did not come to its end.
struct Tells {
    op: &'static str,
    report: Arc<Report<CacheResult<()>>>,
    result: Option<CacheResult<()>>,
}

impl Drop for Tells {
    fn drop(&mut self) {
        self.report.tell(self.result.take().unwrap_or_else(|| lost(self.op)));
    }
}

fn lost(op: &'static str) -> CacheResult<()> {
    let lost = StoreError::new(StoreErrorKind::Other, "the task that wrote L2 was lost");
    Err(CacheError::unconfirmed(op, lost, false))
}

/// Waits for a write in its task.
struct Written<K: Key, V: Value> {
    op: &'static str,
    remote: Arc<Remote<K, V>>,
    run: Arc<BatchRun>,
    report: Arc<Report<CacheResult<()>>>,
    /// Where the task was started. Whoever waits there is polled by the same thread, or by its like.
    home: Id,
    looks: RegularLooks,
}

impl<K: Key, V: Value> Future for Written<K, V> {
    type Output = CacheResult<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CacheResult<()>> {
        let this = self.get_mut();
        if let Poll::Ready(result) = this.report.poll(cx) {
            return Poll::Ready(result.unwrap_or_else(|| lost(this.op)));
        }
        let is_elsewhere = Handle::try_current().map_or(true, |here| here.id() != this.home);
        if is_elsewhere && this.looks.poll(&this.remote.local.tasks, cx) {
            this.run.move_to_task(true, Instant::now(), this.remote.local.tasks.spawns());
        }
        Poll::Pending
    }
}
