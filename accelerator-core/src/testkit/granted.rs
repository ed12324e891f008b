//! Leases whose answers have not arrived: who is dropped meanwhile gives them back, as backends do.

use std::sync::{Arc, Mutex};

use super::lock;
use crate::error::StoreResult;
use crate::traits::l2::{L2Read, L2Store, LeaseToken};

/// The leases that a read was granted and has not passed on yet.
pub(super) struct Granted<S: L2Store> {
    store: Arc<S>,
    leases: Mutex<Vec<(String, LeaseToken)>>,
}

impl<S: L2Store> Granted<S> {
    pub(super) fn new(store: Arc<S>) -> Self {
        Self { store, leases: Mutex::default() }
    }

    /// The store has answered.
    pub(super) fn note(&self, key: &str, answer: &StoreResult<L2Read>) {
        if let Ok(L2Read::Leased { token, .. }) = answer {
            lock(&self.leases).push((key.to_owned(), *token));
        }
    }

    /// The caller has the answer: what it was granted is its own.
    pub(super) fn pass_on(&self, answer: &StoreResult<L2Read>) {
        if let Ok(L2Read::Leased { token: passed, .. }) = answer {
            lock(&self.leases).retain(|(_, token)| token != passed);
        }
    }
}

impl<S: L2Store> Drop for Granted<S> {
    fn drop(&mut self) {
        let leases = std::mem::take(&mut *lock(&self.leases));
        let (false, Ok(runtime)) = (leases.is_empty(), tokio::runtime::Handle::try_current()) else { return };
        let store = self.store.clone();
        runtime.spawn(async move {
            for (key, token) in leases {
                let _ = store.release(&key, token).await;
            }
        });
    }
}
