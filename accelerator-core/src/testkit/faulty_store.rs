//! A store that fails on command: the part that the engine talks to.
//!
//! Every operation is a batch to `Faulty::run`: one place decides what a fault does to an operation.

use std::future::{Future, pending};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::fault::{Fault, Op, Then};
use super::faulty::Faulty;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits};

impl<S: L2Store> Faulty<S> {
    /// Carries out one operation on `keys`, as far as the script lets it. `act` carries it out for the positions that
    /// it is given; `garbage` makes an answer of foreign bytes, where the operation is a read.
    async fn run<T, F: Future<Output = Vec<StoreResult<T>>>>(
        &self,
        (op, batch): (Op, bool),
        keys: &[&str],
        act: impl FnOnce(Vec<usize>) -> F,
        garbage: impl Fn(Bytes) -> Option<T>,
    ) -> Vec<StoreResult<T>> {
        let fate = self.arrive(op, keys, batch);
        if let Some(gate) = &fate.before {
            gate.pass().await;
        }
        let all: Vec<usize> = (0..keys.len()).collect();
        let (hit, fault) = match fate.fault {
            Fault::At(positions, fault) => (positions, *fault),
            fault => (all.clone(), fault),
        };
        let answers = match fault {
            Fault::Hang => pending().await,
            Fault::Error(kind) => {
                let spared: Vec<usize> = all.into_iter().filter(|i| !hit.contains(i)).collect();
                // With nothing spared the store isn't even asked: it may be what is down.
                let mut answers = if spared.is_empty() { vec![] } else { act(spared.clone()).await }.into_iter();
                let failed = |i| if spared.contains(&i) { answers.next() } else { None };
                (0..keys.len()).map(failed).map(|a| a.unwrap_or_else(|| Err(scripted(kind)))).collect()
            }
            Fault::Delay(by) => {
                tokio::time::sleep(by).await;
                act(all).await
            }
            _ => act(all).await,
        };
        if let Some(gate) = &fate.after {
            gate.pass().await;
        }
        if fault == Fault::LostReply(Then::Hang) {
            pending::<()>().await;
        }
        let disturbed = answers.into_iter().enumerate().map(|(i, answer)| match &fault {
            Fault::LostReply(Then::Error(kind)) if hit.contains(&i) => Err(scripted(*kind)),
            Fault::Garbage(bytes) if hit.contains(&i) => garbage(bytes.clone()).map_or(answer, Ok),
            _ => answer,
        });
        disturbed.collect()
    }

    /// [`run`](Faulty::run) for an operation that isn't a batch.
    async fn run_one<T, F: Future<Output = StoreResult<T>>>(
        &self,
        op: Op,
        key: &str,
        act: impl FnOnce() -> F,
        garbage: impl Fn(Bytes) -> Option<T>,
    ) -> StoreResult<T> {
        let answers = self.run((op, false), &[key], |_| async { vec![act().await] }, garbage).await;
        answers.into_iter().next().unwrap_or_else(|| Err(scripted(StoreErrorKind::Protocol)))
    }
}

fn scripted(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "scripted fault")
}

fn undisturbed<T>(_: Bytes) -> Option<T> {
    None
}

fn read_bytes(bytes: Bytes) -> Option<Option<Bytes>> {
    Some(Some(bytes))
}

fn read_hit(bytes: Bytes) -> Option<L2Read> {
    Some(L2Read::Hit { bytes, seen: None })
}

fn pick<T: Clone>(from: &[T], positions: &[usize]) -> Vec<T> {
    positions.iter().map(|&i| from[i].clone()).collect()
}

#[async_trait]
impl<S: L2Store> L2Store for Faulty<S> {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.run_one(Op::Get, key, || self.inner().get(key), read_bytes).await
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.run_one(Op::Set, key, || self.inner().set(key, value, ttl), undisturbed).await
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        self.run_one(Op::Del, key, || self.inner().del(key), undisturbed).await
    }

    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let act = |at: Vec<usize>| async move { self.inner().mget(&pick(keys, &at)).await };
        self.run((Op::Get, true), keys, act, read_bytes).await
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let keys: Vec<&str> = items.iter().map(|item| item.0).collect();
        let act = |at: Vec<usize>| async move { self.inner().mset(pick(&items, &at)).await };
        self.run((Op::Set, true), &keys, act, undisturbed).await
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let act = |at: Vec<usize>| async move { self.inner().mdel(&pick(keys, &at)).await };
        self.run((Op::Del, true), keys, act, undisturbed).await
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        self.run_one(Op::Lease, key, || self.inner().get_or_lease(key, lease), read_hit).await
    }

    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let act = |at: Vec<usize>| async move { self.inner().mget_or_lease(&pick(keys, &at), lease).await };
        self.run((Op::Lease, true), keys, act, read_hit).await
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        self.run_one(Op::Fill, key, || self.inner().fill(key, token, value, ttl), undisturbed).await
    }

    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        let keys: Vec<&str> = items.iter().map(|item| item.0).collect();
        let act = |at: Vec<usize>| async move { self.inner().mfill(pick(&items, &at)).await };
        self.run((Op::Fill, true), &keys, act, undisturbed).await
    }

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        self.run_one(Op::Release, key, || self.inner().release(key, token), undisturbed).await
    }

    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        self.run_one(Op::Hold, key, || self.inner().hold(key, owner, hold), undisturbed).await
    }

    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.run_one(Op::Unhold, key, || self.inner().unhold(key, owner), undisturbed).await
    }

    fn limits(&self) -> Limits {
        self.inner().limits()
    }
}
