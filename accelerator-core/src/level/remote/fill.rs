//! Fill: what was loaded goes into L2, as far as its permit allows.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::error::StoreErrorKind;
use crate::level::bounds::{Key, Value};
use crate::level::flight::token::Token;
use crate::level::local::outcome::FromSource;
use crate::level::remote::Remote;
use crate::level::remote::permit::{FillRight, Permit};
use crate::level::stats::counters::Count;
use crate::level::time::join_parts::join_parts;
use crate::level::time::policy::Life;
use crate::level::wire::seal::Sealed;
use crate::traits::l2::{Filled, LeaseToken};

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
    pub(crate) fn of(key: &'a K, hash: u64, token: Token, permit: Permit<K, V>, loaded: &'a FromSource<V>) -> Self {
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

impl<K: Key, V: Value> Remote<K, V> {
    /// Stores what was loaded in L2: under its lease, or without one unless an invalidation came since its token or
    /// somebody writes the key right now. Failures are counted; the loaded value reaches its callers all the same.
    ///
    /// `false`: what was to be replaced, or our lease, was gone: somebody was faster, and L1 must not keep the value.
    pub(crate) fn fill<'f>(
        self: &'f Arc<Self>,
        fill: Fill<'_, K, V>,
    ) -> impl Future<Output = bool> + Send + use<'f, K, V> {
        // Before there is a future: it is moved into a task, and has no room for what is to be prepared.
        let mut outgoing = Outgoing::default();
        let sends = self.prepare(fill, &mut outgoing);
        async move { !sends || self.send(outgoing).await.is_empty() }
    }

    /// The first half of [`fill`](Self::fill). `false`: there is nothing to be sent.
    pub(crate) fn prepare(&self, fill: Fill<'_, K, V>, outgoing: &mut Outgoing<K, V>) -> bool {
        if !fill.matters() {
            return false;
        }
        // Sealed before the check: a `clear` that comes in between is later than `written_at`.
        let seal = |life| self.wire.seal(&*self.store, &fill.permit.name, fill.value, life, self.local.clock.unix());
        let sealed = match fill.life.map(seal).transpose() {
            Ok(sealed) => sealed,
            Err(why) => {
                self.local.counters.l2_error(why.kind());
                return false;
            }
        };
        match fill.permit.may {
            FillRight::Nothing => false,
            FillRight::Write { .. } => {
                match self.local.table.turn_to_fill(fill.key, fill.hash, fill.token, || self.local.generation()) {
                    Some(turn) => {
                        outgoing.plain.push((fill.permit, sealed, turn));
                        true
                    }
                    None => false,
                }
            }
            FillRight::Replace(token) | FillRight::Fill(token) => {
                let valid = self.local.table.is_valid(fill.key, fill.hash, fill.token, self.local.generation());
                if valid {
                    let at = outgoing.leased.len() + outgoing.plain.len();
                    outgoing.leased.push((fill.permit, token, sealed, at));
                }
                valid
            }
        }
    }

    /// The second half of [`fill`](Self::fill), for many. Which of them are lost, in the order in which they were
    /// prepared.
    pub(crate) async fn send(self: &Arc<Self>, outgoing: Outgoing<K, V>) -> Vec<usize> {
        if !outgoing.plain.is_empty() {
            self.fill_plain(&outgoing.plain).await;
        }
        if outgoing.leased.is_empty() { Vec::new() } else { self.fill_leased(outgoing.leased).await }
    }

    async fn fill_plain(&self, fills: &[Plain<K, V>]) {
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
            self.set_and_count(items, limit).await;
        }
        if !gone.is_empty() {
            let limit = self.write_limit(gone.len(), 0);
            self.del_all(&gone, None, None, limit, limit).await;
        }
    }

    async fn fill_leased(&self, fills: Vec<Leased<K, V>>) -> Vec<usize> {
        let (keep, gone): (Vec<_>, Vec<_>) = fills.into_iter().partition(|(.., sealed, _)| sealed.is_some());
        // A lease that is not needed goes back by itself; a value that was seen must go, while the others are written.
        let is_seen = |(permit, ..): &&Leased<K, V>| matches!(permit.may, FillRight::Replace(_));
        if !gone.iter().any(|one| is_seen(&one)) {
            return self.fill_under(keep).await;
        }
        let removals = gone.iter().filter(is_seen).map(|(permit, token, ..)| self.release(permit.name.wire(), *token));
        // In a box of its own: most fills have no use for its room.
        Box::pin(join(self.fill_under(keep), join_parts(removals))).await.0
    }

    async fn fill_under(&self, mut fills: Vec<Leased<K, V>>) -> Vec<usize> {
        let mut lost = Vec::new();
        let size = |(permit, _, sealed, _): &Leased<K, V>| {
            permit.name.wire().len() + sealed.as_ref().map_or(0, |it| it.bytes.len())
        };
        let limit = self.write_limit(fills.len(), fills.iter().map(size).sum());
        let mut left = limit;
        if fills.iter().any(|(permit, ..)| permit.life.is_some()) {
            left = Box::pin(self.settle(&mut fills, limit)).await;
        }
        let items = fills.iter().filter_map(|(permit, token, sealed, _)| {
            sealed.as_ref().map(|sealed| (permit.name.wire(), *token, sealed.bytes.clone(), sealed.ttl))
        });
        let items: Vec<_> = items.collect();
        if items.is_empty() {
            return lost;
        }
        let filled = self.fill_all(items, limit, left).await;
        for ((permit, .., at), filled) in fills.iter_mut().zip(filled) {
            match filled {
                Ok(Filled::Stored) => permit.spend(),
                Ok(Filled::Lost) => {
                    self.local.counters.one(Count::FillLost);
                    permit.spend();
                    lost.push(*at);
                }
                // Whatever became of it: the lease is given back, if it is still there.
                Ok(Filled::Refused) => self.local.counters.l2_error(StoreErrorKind::Rejected),
                Err(_) => {}
            }
        }
        lost
    }

    /// Ends the renewals of leases whose values are stored now: the tokens may be others by then. How long is left to store
    /// them.
    async fn settle(&self, fills: &mut [Leased<K, V>], limit: Duration) -> Duration {
        let begun = Instant::now();
        let settling = async {
            for (permit, token, ..) in fills {
                permit.settle().await;
                if let FillRight::Fill(newest) = permit.may {
                    *token = newest;
                }
            }
        };
        // A renewal has a limit of its own, in a runtime that may not be run.
        let _ = self.timed(limit, std::pin::pin!(settling)).await;
        limit.saturating_sub(begun.elapsed())
    }
}
