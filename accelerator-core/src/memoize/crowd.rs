//! Who waited for a load that failed and may try itself takes turns with the others of the same failure.
//!
//! They have nothing in common but the error: it is one for all keys of a batch that failed. So who tries is counted here
//! by the error, for as long as somebody does.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{CacheError, ErrorKind};
use crate::memoize::TOGETHER;
use crate::sync::{Mutex, lock};

/// Those of one error, by its address.
static CROWDS: Mutex<BTreeMap<usize, Weak<Crowd>>> = Mutex::new(BTreeMap::new());

struct Crowd {
    // Kept: while it lives, its address is that of no other error.
    error: CacheError,
    seats: Arc<Semaphore>,
}

impl Crowd {
    fn of(error: &CacheError) -> Arc<Self> {
        let mut crowds = lock(&CROWDS);
        if let Some(crowd) = crowds.get(&error.address()).and_then(Weak::upgrade) {
            return crowd;
        }
        // A source that is too slow for others is not asked by many at once.
        let together = if error.kind() == ErrorKind::Timeout { 1 } else { TOGETHER };
        let crowd = Arc::new(Self { error: error.clone(), seats: Arc::new(Semaphore::new(together)) });
        crowds.insert(error.address(), Arc::downgrade(&crowd));
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let mut crowds = lock(&CROWDS);
        // Another may have been made for the same error since the last of this one went.
        if crowds.get(&self.error.address()).is_some_and(|crowd| crowd.strong_count() == 0) {
            crowds.remove(&self.error.address());
        }
    }
}

/// The right to try now what failed with an error.
pub(super) struct Permit {
    _seat: Option<OwnedSemaphorePermit>,
    _crowd: Arc<Crowd>,
}

/// Waits for the right to try again what failed with `error`: [`TOGETHER`] at most of those who share it have one at once,
/// of those whose load was too slow one.
pub(super) async fn permit(error: &CacheError) -> Permit {
    let crowd = Crowd::of(error);
    Permit { _seat: crowd.seats.clone().acquire_owned().await.ok(), _crowd: crowd }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::{CROWDS, permit};
    use crate::error::{CacheError, ErrorKind};
    use crate::sync::lock;

    fn is_known(error: &CacheError) -> bool {
        lock(&CROWDS).contains_key(&error.address())
    }

    #[test]
    fn those_of_one_error_take_turns_and_nothing_is_left_of_them() {
        let (slow, other) = (CacheError::new(ErrorKind::Timeout, "slow"), CacheError::new(ErrorKind::Timeout, "slow"));
        let first = permit(&slow).now_or_never();
        assert!(first.is_some() && permit(&other).now_or_never().is_some());
        let copy = slow.clone();
        assert!(permit(&copy).now_or_never().is_none());
        assert!(is_known(&slow) && !is_known(&other));
        drop(first);
        assert!(!is_known(&slow));
        assert!(permit(&copy).now_or_never().is_some());
    }
}
