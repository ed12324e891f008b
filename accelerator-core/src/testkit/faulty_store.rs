//! A store that fails on command: the part that the engine talks to.
//!
//! Every operation is a batch to `Faulty::run`: one place decides what a fault does to an operation.

use std::future::{Future, pending};
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::fault::{Fault, Op, Then};
use super::faulty::Faulty;
use super::granted::Granted;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::traits::l2::outcomes::Outcomes;
use crate::traits::l2::unclaimed::Unclaimed;
use crate::traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits};

impl<S: L2Store> Faulty<S> {
    /// Carries out one operation on `keys`, as far as the script lets it, and puts the outcomes into `out`. `act` carries
    /// it out for the positions that it is given; `garbage` makes an answer of foreign bytes, where the operation is a
    /// read.
    async fn run<T, F: Future<Output = Vec<StoreResult<T>>>>(
        &self,
        (op, batch): (Op, bool),
        keys: &[&str],
        out: &mut Outcomes<T>,
        passed: impl Fn(&StoreResult<T>),
        act: impl FnOnce(Vec<usize>) -> F,
        garbage: Option<fn(Bytes) -> T>,
    ) {
        let fate = self.arrive(op, keys, batch);
        if let Some(gate) = &fate.before {
            gate.pass().await;
        }
        let all: Vec<usize> = (0..keys.len()).collect();
        let (hit, fault) = match fate.fault {
            Fault::At(positions, fault) => (positions, *fault),
            fault => (all.clone(), fault),
        };
        let spared: Vec<usize> = all.iter().copied().filter(|i| !hit.contains(i)).collect();
        let done = match fault {
            Fault::Hang | Fault::Error(_) => spared,
            _ => all,
        };
        if let Fault::Delay(by) = fault {
            tokio::time::sleep(by).await;
        }
        // With nothing spared the store isn't even asked: it may be what is down.
        let answers = if done.is_empty() { vec![] } else { act(done.clone()).await };
        if let Some(gate) = &fate.after {
            gate.pass().await;
        }
        let mut put = |i, answer| {
            passed(&answer);
            out.put(i, answer);
        };
        for (i, answer) in done.into_iter().zip(answers) {
            match &fault {
                Fault::LostReply(Then::Hang) if hit.contains(&i) => {}
                Fault::LostReply(Then::Error(kind)) if hit.contains(&i) => put(i, Err(scripted(*kind))),
                Fault::Garbage(bytes) if hit.contains(&i) => {
                    put(i, garbage.map_or(answer, |read| Ok(read(bytes.clone()))))
                }
                _ => put(i, answer),
            }
        }
        match fault {
            Fault::Error(kind) => hit.into_iter().for_each(|i| put(i, Err(scripted(kind)))),
            Fault::Hang | Fault::LostReply(Then::Hang) => pending().await,
            _ => {}
        }
    }

    /// [`run`](Faulty::run) for an operation that isn't a batch.
    async fn run_one<T, F: Future<Output = StoreResult<T>>>(
        &self,
        op: Op,
        key: &str,
        act: impl FnOnce() -> F,
        garbage: Option<fn(Bytes) -> T>,
    ) -> StoreResult<T> {
        let mut out = Outcomes::new(1);
        self.run((op, false), &[key], &mut out, |_| {}, |_| async { vec![act().await] }, garbage).await;
        out.take(0).unwrap_or_else(|| Err(scripted(StoreErrorKind::Protocol)))
    }
}

pub(super) fn scripted(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "scripted fault")
}

fn read_hit(bytes: Bytes) -> L2Read {
    L2Read::Hit { bytes, seen: None }
}

fn pick<T: Clone>(from: &[T], positions: &[usize]) -> Vec<T> {
    positions.iter().map(|&i| from[i].clone()).collect()
}

#[async_trait]
impl<S: L2Store> L2Store for Faulty<S> {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.run_one(Op::Get, key, || self.inner().get(key), Some(Some)).await
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.run_one(Op::Set, key, || self.inner().set(key, value, ttl), None).await
    }

    async fn del(&self, key: &str) -> StoreResult<()> {
        self.run_one(Op::Del, key, || self.inner().del(key), None).await
    }

    async fn mget(&self, keys: &[&str]) -> Vec<StoreResult<Option<Bytes>>> {
        let mut out = Outcomes::new(keys.len());
        self.mget_into(keys, &mut out).await;
        out.ended()
    }

    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        let act = |at: Vec<usize>| async move { self.inner().mget(&pick(keys, &at)).await };
        self.run((Op::Get, true), keys, out, |_| {}, act, Some(Some)).await;
    }

    async fn mset(&self, items: Vec<(&str, Bytes, Duration)>) -> Vec<StoreResult<()>> {
        let mut out = Outcomes::new(items.len());
        self.mset_into(items, &mut out).await;
        out.ended()
    }

    async fn mset_into(&self, items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        let keys: Vec<&str> = items.iter().map(|item| item.0).collect();
        let act = |at: Vec<usize>| async move { self.inner().mset(pick(&items, &at)).await };
        self.run((Op::Set, true), &keys, out, |_| {}, act, None).await;
    }

    async fn mdel(&self, keys: &[&str]) -> Vec<StoreResult<()>> {
        let mut out = Outcomes::new(keys.len());
        self.mdel_into(keys, &mut out).await;
        out.ended()
    }

    async fn mdel_into(&self, keys: &[&str], out: &mut Outcomes<()>) {
        let act = |at: Vec<usize>| async move { self.inner().mdel(&pick(keys, &at)).await };
        self.run((Op::Del, true), keys, out, |_| {}, act, None).await;
    }

    async fn get_or_lease(&self, key: &str, lease: Duration) -> StoreResult<L2Read> {
        let granted = Granted::new(self.shared());
        let act = || async {
            let answer = self.inner().get_or_lease(key, lease).await;
            granted.note(key, &answer);
            answer
        };
        let answer = self.run_one(Op::Lease, key, act, Some(read_hit)).await;
        granted.pass_on(&answer);
        answer
    }

    async fn mget_or_lease(&self, keys: &[&str], lease: Duration) -> Vec<StoreResult<L2Read>> {
        let mut out = Unclaimed::new(self.shared(), keys);
        self.mget_or_lease_into(keys, lease, out.outcomes()).await;
        out.claim().ended()
    }

    async fn mget_or_lease_into(&self, keys: &[&str], lease: Duration, out: &mut Outcomes<L2Read>) {
        let granted = &Granted::new(self.shared());
        let act = |at: Vec<usize>| async move {
            let keys = pick(keys, &at);
            let answers = self.inner().mget_or_lease(&keys, lease).await;
            keys.iter().zip(&answers).for_each(|(key, answer)| granted.note(key, answer));
            answers
        };
        self.run((Op::Lease, true), keys, out, |answer| granted.pass_on(answer), act, Some(read_hit)).await;
    }

    async fn renew(&self, key: &str, token: &LeaseToken, lease: Duration) -> StoreResult<Option<LeaseToken>> {
        self.run_one(Op::Renew, key, || self.inner().renew(key, token, lease), None).await
    }

    async fn mrenew(&self, items: Vec<(&str, LeaseToken)>, lease: Duration) -> Vec<StoreResult<Option<LeaseToken>>> {
        let keys: Vec<&str> = items.iter().map(|item| item.0).collect();
        let act = |at: Vec<usize>| async move { self.inner().mrenew(pick(&items, &at), lease).await };
        let mut out = Outcomes::new(keys.len());
        self.run((Op::Renew, true), &keys, &mut out, |_| {}, act, None).await;
        out.ended()
    }

    async fn fill(&self, key: &str, token: &LeaseToken, value: Bytes, ttl: Duration) -> StoreResult<Filled> {
        self.run_one(Op::Fill, key, || self.inner().fill(key, token, value, ttl), None).await
    }

    async fn mfill(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>) -> Vec<StoreResult<Filled>> {
        let mut out = Outcomes::new(items.len());
        self.mfill_into(items, &mut out).await;
        out.ended()
    }

    async fn mfill_into(&self, items: Vec<(&str, LeaseToken, Bytes, Duration)>, out: &mut Outcomes<Filled>) {
        let keys: Vec<&str> = items.iter().map(|item| item.0).collect();
        let act = |at: Vec<usize>| async move { self.inner().mfill(pick(&items, &at)).await };
        self.run((Op::Fill, true), &keys, out, |_| {}, act, None).await;
    }

    async fn release(&self, key: &str, token: LeaseToken) -> StoreResult<()> {
        self.run_one(Op::Release, key, || self.inner().release(key, token), None).await
    }

    async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        self.run_one(Op::Hold, key, || self.inner().hold(key, owner, hold), None).await
    }

    async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.run_one(Op::Unhold, key, || self.inner().unhold(key, owner), None).await
    }

    fn unix_ms(&self) -> Option<RangeInclusive<u64>> {
        self.inner().unix_ms()
    }

    fn identity(&self) -> Option<usize> {
        self.inner().identity()
    }

    fn limits(&self) -> Limits {
        // What it reads has no age: a fault may have put it there.
        self.inner().limits().ages(false)
    }
}
