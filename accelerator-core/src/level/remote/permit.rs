//! Permits: what a load may write to L2 once it has its answer, and the lease that it gives back otherwise.

use std::sync::Arc;

use crate::level::bounds::{Key, Value};
use crate::level::remote::Remote;
use crate::level::remote::renew::{Renewable, RenewedLease};
use crate::level::wire::wire_key::WireKey;
use crate::traits::l2::LeaseToken;

/// What is known of L2 when a load begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum L2Use {
    /// Nothing yet.
    Read,
    /// It had nothing a moment ago.
    Missed,
    /// What it has is not wanted.
    Refresh,
    /// Nothing yet; others of this process lead the same flight, and may have the lease.
    Beside,
}

impl L2Use {
    /// What a flight that found nothing leaves to the next one.
    pub(crate) fn after_miss(self) -> Self {
        if self == Self::Refresh { self } else { Self::Missed }
    }

    /// The same; who leads `beside` others does not wait for their lease.
    pub(crate) fn led(self, beside: bool) -> Self {
        if beside && self == Self::Read { Self::Beside } else { self }
    }

    /// A miss there is the first one of this read.
    pub(crate) fn is_first(self) -> bool {
        matches!(self, Self::Read | Self::Beside)
    }

    /// Whoever has the lease is waited for.
    pub(super) fn waits(self) -> bool {
        matches!(self, Self::Read | Self::Missed)
    }
}

/// What may be written to L2 for a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FillRight {
    Nothing,
    /// The store has no leases. `occupied`: it may have an older value.
    Write {
        occupied: bool,
    },
    /// Only in place of exactly what was seen.
    Replace(LeaseToken),
    /// Only in place of our lease.
    Fill(LeaseToken),
}

/// The right to write one key to L2. Dropped with a lease in it, it gives the lease back.
pub(crate) struct Permit<K: Key, V: Value> {
    /// Who gives the lease back, where there is one.
    remote: Option<Arc<Remote<K, V>>>,
    pub(crate) name: WireKey,
    pub(crate) may: FillRight,
    /// Its lease is renewed.
    pub(crate) life: Option<RenewedLease<K, V>>,
}

impl<K: Key, V: Value> Permit<K, V> {
    pub(crate) fn new(remote: &Arc<Remote<K, V>>, name: WireKey, may: FillRight) -> Self {
        let remote = matches!(may, FillRight::Fill(_)).then(|| remote.clone());
        Self { remote, name, may, life: None }
    }

    /// There is something to do in L2 with an answer that may be `cached`, or may not. (A lease that is not needed goes
    /// back by itself.)
    pub(crate) fn matters(&self, cached: bool) -> bool {
        match self.may {
            FillRight::Nothing => false,
            FillRight::Write { occupied } => cached || occupied,
            FillRight::Replace(_) => true,
            FillRight::Fill(_) => cached,
        }
    }

    /// L2 has answered; nothing is left to be given back.
    pub(crate) fn spend(&mut self) {
        self.may = FillRight::Nothing;
        if let Some(life) = self.life.take() {
            life.leave(false);
        }
    }

    /// The token to fill with, and no renewal after this. (A renewal may bring another token.)
    pub(crate) async fn settle(&mut self) {
        if let (Some(life), FillRight::Fill(_)) = (&self.life, self.may)
            && let Some(token) = life.settle().await
        {
            self.may = FillRight::Fill(token);
        }
    }
}

impl<K: Key, V: Value> Renewable<K, V> for Permit<K, V> {
    fn lease(&self) -> Option<(&str, LeaseToken)> {
        match self.may {
            FillRight::Fill(token) if self.life.is_none() => Some((self.name.wire(), token)),
            _ => None,
        }
    }

    fn renewed_by(&mut self, life: RenewedLease<K, V>) {
        self.life = Some(life);
    }
}

impl<K: Key, V: Value> Drop for Permit<K, V> {
    fn drop(&mut self) {
        let token = match (self.may, self.life.take()) {
            (FillRight::Fill(_), Some(life)) => life.leave(true),
            (FillRight::Fill(token), None) => Some(token),
            _ => None,
        };
        if let (Some(token), Some(remote)) = (token, self.remote.take()) {
            remote.give_back(self.name.wire().to_owned(), token);
        }
    }
}

impl<K: Key, V: Value> Remote<K, V> {
    /// Gives a lease back, in a task. Without a runtime it ends by itself.
    pub(crate) fn give_back(self: &Arc<Self>, wire: String, token: LeaseToken) {
        let remote = self.clone();
        self.local.tasks.spawn_errand(async move {
            remote.release(&wire, token).await;
        });
    }
}
