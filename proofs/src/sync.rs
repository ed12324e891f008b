//! What `accelerator-core/src/sync.rs` is for the core: the locks and counters, here shuttle's.

pub(crate) use shuttle::sync::atomic::AtomicU64;
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) type Entered<'a, T> = MutexGuard<'a, T>;

pub(crate) fn enter<T>(mutex: &Mutex<T>) -> Entered<'_, T> {
    lock(mutex)
}

pub(crate) fn peek<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    Some(lock(mutex))
}

pub(crate) fn report_panic(_: &'static str) {}

pub(crate) fn forget_panic(_: Box<dyn std::any::Any + Send>) {}
