//! Waking those who wait. A waker is foreign code: it is called outside of every lock, and each on its own, so that one
//! that panics keeps nobody else asleep and ends nothing of whoever wakes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::sync::{forget_panic, report_panic};

/// Wakes one who waits.
pub(crate) fn wake(waker: Waker) {
    let woken = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    if let Err(payload) = woken {
        report_panic("a waker");
        forget_panic(payload);
    }
}

/// Wakes all of them.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(wake);
}
