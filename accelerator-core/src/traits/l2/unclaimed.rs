//! Leases that a batch was granted, until its caller has them.

use crate::traits::l2::outcomes::Outcomes;
use crate::traits::l2::{L2Read, L2Store, LeaseToken};

/// The [`Outcomes`] of a batch of reads with leases, for a store whose `mget_or_lease` is made of its own
/// `mget_or_lease_into`. Dropped before it is claimed, it gives back the leases that have come, in a task.
///
/// ```
/// use accelerator_core::{L2Read, L2Store, StoreResult, Unclaimed};
/// use std::time::Duration;
///
/// async fn mget_or_lease<S: L2Store + Clone>(store: &S, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
///     let mut reads = Unclaimed::new(store.clone(), keys);
///     store.mget_or_lease_into(keys, lease, reads.outcomes()).await;
///     reads.claim().ended()
/// }
/// ```
#[derive(Debug)]
pub struct Unclaimed<'k, S: L2Store + Clone> {
    store: S,
    keys: &'k [&'k str],
    outcomes: Outcomes<L2Read>,
}

impl<'k, S: L2Store + Clone> Unclaimed<'k, S> {
    /// An empty place for each key; `store` is asked to release what is not claimed.
    #[must_use]
    pub fn new(store: S, keys: &'k [&'k str]) -> Self {
        Self { store, keys, outcomes: Outcomes::new(keys.len()) }
    }

    /// Where the store puts what it knows.
    pub fn outcomes(&mut self) -> &mut Outcomes<L2Read> {
        &mut self.outcomes
    }

    /// The outcomes: the leases in them are the caller's.
    #[must_use]
    pub fn claim(mut self) -> Outcomes<L2Read> {
        std::mem::replace(&mut self.outcomes, Outcomes::new(0))
    }
}

impl<S: L2Store + Clone> Drop for Unclaimed<'_, S> {
    fn drop(&mut self) {
        let leases: Vec<(String, LeaseToken)> = (0..self.outcomes.len())
            .filter_map(|at| match self.outcomes.take(at) {
                Some(Ok(L2Read::Leased { token, .. })) => Some(((*self.keys.get(at)?).to_owned(), token)),
                _ => None,
            })
            .collect();
        // Without a runtime they end by themselves.
        let (false, Ok(runtime)) = (leases.is_empty(), tokio::runtime::Handle::try_current()) else { return };
        let store = self.store.clone();
        runtime.spawn(async move {
            for (key, token) in leases {
                // One that fails ends by itself.
                let _ = store.release(&key, token).await;
            }
        });
    }
}
