//! The locks and counters of the slot table, in one place, so that the `proofs` crate can compile the table against a
//! scheduler that tries all interleavings.

use std::ops::{Deref, DerefMut};

use crate::inside::{self, Inside};

pub(crate) use crate::inside::{forget_panic, report_panic};

pub(crate) use std::sync::atomic::AtomicU64;
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks; a poisoned lock is taken as it is, because no user code that could panic leaves our state half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A lock under which user code runs.
pub(crate) struct Entered<'a, T> {
    // Released first.
    guard: MutexGuard<'a, T>,
    _inside: Inside,
}

/// [`lock`], for a lock under which user code runs: a thread takes one at a time.
///
/// # Panics
/// User code that runs under such a lock called the cache; see [`inside`](crate::inside).
#[inline(always)]
pub(crate) fn enter<T>(mutex: &Mutex<T>) -> Entered<'_, T> {
    let inside = inside::enter();
    Entered { guard: lock(mutex), _inside: inside }
}

/// [`lock`] for a look in which no user code runs; `None`: this thread may hold the lock itself.
pub(crate) fn peek<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    if inside::is_inside() { mutex.try_lock().ok() } else { Some(lock(mutex)) }
}

impl<T> Deref for Entered<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Entered<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
