//! What the rows run: stores by name, one service on any pair, and the stores alone.

mod clients;
#[cfg(any(accelerator_inject = "slow", accelerator_inject = "alloc"))]
mod inject;
mod limits;
mod servers;
mod service;
mod stores;
mod storm;
mod subject;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub use limits::Raw;
pub use servers::{Servers, address};
pub use service::{Failed, Service, Source};
pub use stores::{Built, build};
pub use storm::{Storm, Way};
pub use subject::{CHUNK, READS, Subject};

/// The value of all rows: cheap to clone, so that the rows show the cache.
pub type Payload = Arc<[u64; 4]>;

/// Keys that are warm.
pub const WARM: u64 = 256;

/// Entries that an L1 may hold: few enough that a row and its limit both fit into the processor's caches. Where they don't,
/// who else uses these caches decides the ratio.
pub const CAPACITY: u64 = 1_000;

/// What a load makes.
#[must_use]
pub fn make(key: u64) -> Payload {
    Arc::new([key; 4])
}

/// Polls once; a hit never waits. Inlined, as an `.await` in the caller would be.
#[inline(always)]
pub fn now<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => Some(out),
        Poll::Pending => None,
    }
}
