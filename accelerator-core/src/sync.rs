//! The locks and counters of the slot table, in one place, so that the `proofs` crate can compile the table against a
//! scheduler that tries all interleavings.

pub(crate) use std::sync::atomic::AtomicU64;
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks; a poisoned lock is taken as it is, because no user code that could panic leaves our state half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// User code panicked where nobody gets an error for it. The panic's own message has gone to the panic hook.
#[cold]
pub(crate) fn report_panic(what: &'static str) {
    tracing::warn!(target: "accelerator", what, "user code panicked; the cache went on without it");
}

/// Drops what a panic carried; that may be a user's own, and panic in turn.
pub(crate) fn forget_panic(payload: Box<dyn std::any::Any + Send>) {
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload)));
    if let Err(again) = dropped {
        std::mem::forget(again);
    }
}
