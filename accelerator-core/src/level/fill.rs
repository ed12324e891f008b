//! Fill: what was loaded goes into L2, as far as its permit allows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::error::StoreErrorKind;
use crate::level::engine::{Arrived, Engine, Key, Value};
use crate::level::lease::{May, Permit};
use crate::level::policy::Life;
use crate::level::remote::{Remote, Sealed};
use crate::level::rouse::join_parts;
use crate::level::slots::Token;
use crate::level::stats::Count;
use crate::traits::l2::{Filled, LeaseToken};
use crate::traits::outcomes::Outcomes;

/// One value on its way into L2.
pub(crate) struct Fill<'a, K: Key, V: Value> {
    pub(crate) key: &'a K,
    pub(crate) hash: u64,
    pub(crate) token: Token,
    pub(crate) permit: Permit<K, V>,
    pub(crate) value: Option<&'a V>,
    /// `None`: what is there must go.
    pub(crate) life: Option<Life>,
}

impl<'a, K: Key, V: Value> Fill<'a, K, V> {
    pub(crate) fn of(key: &'a K, hash: u64, token: Token, permit: Permit<K, V>, loaded: &'a Arrived<V>) -> Self {
        Self { key, hash, token, permit, value: loaded.value.as_ref(), life: loaded.lives.map(|(_, l2)| l2) }
    }

    /// Whether L2 has to be asked at all.
    pub(crate) fn matters(&self) -> bool {
        self.permit.matters(self.life.is_some())
    }
}

/// A plain write: its bytes, or that the key must go, and its turn.
type Plain<K, V> = (Permit<K, V>, Option<Sealed>, OwnedMutexGuard<()>);
/// A write that L2 compares: what was there must be still there. With its place among those that were prepared.
type Leased<K, V> = (Permit<K, V>, LeaseToken, Option<Sealed>, usize);

/// Fills that are ready to be sent.
pub(crate) struct Outgoing<K: Key, V: Value> {
    plain: Vec<Plain<K, V>>,
    leased: Vec<Leased<K, V>>,
}

impl<K: Key, V: Value> Default for Outgoing<K, V> {
    fn default() -> Self {
        Self { plain: Vec::new(), leased: Vec::new() }
    }
}

impl<K: Key, V: Value> Outgoing<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.leased.is_empty()
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// Stores what was loaded in L2: under its lease, or without one unless an invalidation came since its token or
    /// somebody writes the key right now. Failures are counted; the loaded value reaches its callers all the same.
    ///
    /// `false`: what was to be replaced, or our lease, was gone: somebody was faster, and L1 must not keep the value.
    pub(crate) async fn l2_fill(self: &Arc<Self>, remote: &Remote<K, V>, fill: Fill<'_, K, V>) -> bool {
        let mut outgoing = Outgoing::default();
        !self.l2_prepare(remote, fill, &mut outgoing) || self.l2_send(remote, outgoing).await.is_empty()
    }

    /// The first half of [`l2_fill`](Self::l2_fill). `false`: there is nothing to be sent.
    pub(crate) fn l2_prepare(
        &self,
        remote: &Remote<K, V>,
        fill: Fill<'_, K, V>,
        outgoing: &mut Outgoing<K, V>,
    ) -> bool {
        if !fill.matters() {
            return false;
        }
        // Sealed before the check: a `clear` that comes in between is later than `written_at`.
        let seal = |life| remote.seal(&fill.permit.name, fill.value, life, self.clock.unix());
        let sealed = match fill.life.map(seal).transpose() {
            Ok(sealed) => sealed,
            Err(why) => {
                self.counters.l2_error(why.kind());
                return false;
            }
        };
        match fill.permit.may {
            May::Nothing => false,
            May::Write { .. } => match self.table.turn_to_fill(fill.key, fill.hash, fill.token, || self.generation()) {
                Some(turn) => {
                    outgoing.plain.push((fill.permit, sealed, turn));
                    true
                }
                None => false,
            },
            May::Replace(token) | May::Fill(token) => {
                let valid = self.table.is_valid(fill.key, fill.hash, fill.token, self.generation());
                if valid {
                    let at = outgoing.leased.len() + outgoing.plain.len();
                    outgoing.leased.push((fill.permit, token, sealed, at));
                }
                valid
            }
        }
    }

    /// The second half of [`l2_fill`](Self::l2_fill), for many. Which of them are lost, in the order in which they were
    /// prepared.
    pub(crate) async fn l2_send(self: &Arc<Self>, remote: &Remote<K, V>, outgoing: Outgoing<K, V>) -> Vec<usize> {
        if !outgoing.plain.is_empty() {
            self.fill_plain(remote, &outgoing.plain).await;
        }
        if outgoing.leased.is_empty() { Vec::new() } else { self.fill_leased(remote, outgoing.leased).await }
    }

    async fn fill_plain(&self, remote: &Remote<K, V>, fills: &[Plain<K, V>]) {
        let (mut items, mut gone) = (Vec::with_capacity(fills.len()), Vec::new());
        for (permit, sealed, _) in fills {
            match sealed {
                Some(sealed) => items.push((permit.name.wire(), sealed.bytes.clone(), sealed.ttl)),
                None => gone.push(permit.name.wire()),
            }
        }
        if !items.is_empty() {
            let limit =
                self.write_limit(items.len(), items.iter().map(|(wire, bytes, _)| wire.len() + bytes.len()).sum());
            let mut outcomes = Outcomes::new(items.len());
            let ended = self.timed(limit, remote.set_all(items, &mut outcomes)).await;
            self.all_outcomes(remote, limit, ended, outcomes);
        }
        if !gone.is_empty() {
            let mut outcomes = Outcomes::new(gone.len());
            let limit = self.write_limit(gone.len(), 0);
            let ended = self.timed(limit, remote.del_all(&gone, &mut outcomes)).await;
            self.all_outcomes(remote, limit, ended, outcomes);
        }
    }

    async fn fill_leased(&self, remote: &Remote<K, V>, fills: Vec<Leased<K, V>>) -> Vec<usize> {
        let (keep, gone): (Vec<_>, Vec<_>) = fills.into_iter().partition(|(.., sealed, _)| sealed.is_some());
        // A lease that is not needed goes back by itself; a value that was seen must go, while the others are written.
        let seen = gone.iter().filter(|(permit, ..)| matches!(permit.may, May::Replace(_)));
        let removals = seen.map(|(permit, token, ..)| self.l2_release(permit.name.wire(), *token));
        join(self.fill_under(remote, keep), join_parts(removals)).await.0
    }

    async fn fill_under(&self, remote: &Remote<K, V>, mut fills: Vec<Leased<K, V>>) -> Vec<usize> {
        let mut lost = Vec::new();
        let size = |(permit, _, sealed, _): &Leased<K, V>| {
            permit.name.wire().len() + sealed.as_ref().map_or(0, |it| it.bytes.len())
        };
        let limit = self.write_limit(fills.len(), fills.iter().map(size).sum());
        let left = self.settle(&mut fills, limit).await;
        let items = fills.iter().filter_map(|(permit, token, sealed, _)| {
            sealed.as_ref().map(|sealed| (permit.name.wire(), *token, sealed.bytes.clone(), sealed.ttl))
        });
        let items: Vec<_> = items.collect();
        if items.is_empty() {
            return lost;
        }
        let mut outcomes = Outcomes::new(items.len());
        let ended = self.timed(left, remote.fill_all(items, &mut outcomes)).await;
        for ((permit, .., at), filled) in fills.iter_mut().zip(self.all_outcomes(remote, limit, ended, outcomes)) {
            match filled {
                Ok(Filled::Stored) => permit.spend(),
                Ok(Filled::Lost) => {
                    self.counters.one(Count::FillLost);
                    permit.spend();
                    lost.push(*at);
                }
                // Whatever became of it: the lease is given back, if it is still there.
                Ok(Filled::Refused) => self.counters.l2_error(StoreErrorKind::Rejected),
                Err(_) => {}
            }
        }
        lost
    }

    /// Ends the renewals of leases whose values are stored now: the tokens may be others by then. How long is left to store
    /// them.
    async fn settle(&self, fills: &mut [Leased<K, V>], limit: Duration) -> Duration {
        if fills.iter().all(|(permit, ..)| permit.life.is_none()) {
            return limit;
        }
        let begun = Instant::now();
        let settling = async {
            for (permit, token, ..) in fills {
                permit.settle().await;
                if let May::Fill(newest) = permit.may {
                    *token = newest;
                }
            }
        };
        // A renewal has a limit of its own, in a runtime that may not be run.
        let _ = self.timed(limit, settling).await;
        limit.saturating_sub(begun.elapsed())
    }

    /// Removes a lease, or the value seen, if it is still there.
    pub(crate) async fn l2_release(&self, wire: &str, token: LeaseToken) {
        let Some(remote) = &self.remote else { return };
        let released = self.timed(self.policy.l2_write_timeout, remote.store.release(wire, token)).await;
        if let Err(e) = released.and_then(|released| released) {
            self.counters.l2_error(e.kind());
        }
    }
}

impl<K, V> Remote<K, V> {
    /// Writes all, with the store's batch call where there is more than one.
    pub(crate) async fn set_all(&self, mut items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        match (items.len(), items.pop()) {
            (1, Some((wire, bytes, ttl))) => out.put(0, self.store.set(wire, bytes, ttl).await),
            (_, Some(last)) => {
                items.push(last);
                self.store.mset_into(items, out).await;
            }
            (_, None) => {}
        }
    }

    /// Fills all, with the store's batch call where there is more than one.
    async fn fill_all(&self, mut items: Vec<(&str, LeaseToken, Bytes, Duration)>, out: &mut Outcomes<Filled>) {
        match (items.len(), items.pop()) {
            (1, Some((wire, token, bytes, ttl))) => out.put(0, self.store.fill(wire, &token, bytes, ttl).await),
            (_, Some(last)) => {
                items.push(last);
                self.store.mfill_into(items, out).await;
            }
            (_, None) => {}
        }
    }

    /// Deletes all, with the store's batch call where there is more than one.
    pub(crate) async fn del_all(&self, wires: &[&str], out: &mut Outcomes<()>) {
        match wires {
            [one] => out.put(0, self.store.del(one).await),
            many => self.store.mdel_into(many, out).await,
        }
    }
}
