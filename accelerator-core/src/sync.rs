//! The locks and counters of the slot table, in one place, so that the `proofs` crate can compile the table against a
//! scheduler that tries all interleavings.

pub(crate) use std::sync::atomic::AtomicU64;
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks; a poisoned lock is taken as it is, because no user code that could panic leaves our state half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
