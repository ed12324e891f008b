//! Parts of work that moved to another runtime.
//!
//! A collection of futures polls those that were woken, and no others. When its work moves to another runtime, the limits
//! of its parts are left in the first one, which may stand still (`ticker.rs`). So all parts are woken once: polled here,
//! they take their limits along.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;
use tokio::runtime::{Handle, Id};

use crate::sync::{Mutex, lock};
use crate::wake::wake_all;

/// Where a collection is polled, and who waits in it.
#[derive(Default)]
pub(crate) struct PartWakers(Mutex<Parts>);

#[derive(Default)]
struct Parts {
    home: Option<Id>,
    /// One for each part that ever waited: some are of parts that are over, and wake nobody.
    wakers: Vec<Waker>,
}

impl PartWakers {
    /// The collection is about to be polled.
    pub(crate) fn here(&self) {
        let Ok(here) = Handle::try_current().map(|here| here.id()) else { return };
        let before = {
            let mut parts = lock(&self.0);
            let moved = parts.home.replace(here).is_some_and(|home| home != here);
            if moved { parts.wakers.clone() } else { Vec::new() }
        };
        wake_all(before);
    }

    /// A part of the collection.
    pub(crate) fn part<'a, F: Future>(&'a self, part: Pin<&'a mut F>) -> impl Future<Output = F::Output> + use<'a, F> {
        Part { rouse: self, part, is_known: false }
    }
}

struct Part<'a, F> {
    rouse: &'a PartWakers,
    part: Pin<&'a mut F>,
    is_known: bool,
}

impl<F: Future> Future for Part<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.part.as_mut().poll(cx);
        if polled.is_pending() && !self.is_known {
            // The collection's own waker for this part: it stays the same.
            let waker = cx.waker().clone();
            lock(&self.rouse.0).wakers.push(waker);
            self.is_known = true;
        }
        polled
    }
}

/// [`join_all`] for parts with limits.
pub(crate) async fn join_parts<F: Future>(parts: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let rouse = &PartWakers::default();
    let parts = parts.into_iter().map(|part| async move {
        let part = std::pin::pin!(part);
        rouse.part(part).await
    });
    let mut all = std::pin::pin!(join_all(parts));
    std::future::poll_fn(|cx| {
        rouse.here();
        all.as_mut().poll(cx)
    })
    .await
}
