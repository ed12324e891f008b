//! Leases that may have been granted to reads that were given up: they are given back.
//!
//! 1 a read that may leave leases notes the nonces that it sends · 2 answered, they are its caller's · 3 given up, or failed
//! behind the sending: what is left is owed, and one task of the store gives it back, by comparison

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use accelerator_core::head::HEAD_LEN;
use accelerator_core::{StoreError, StoreErrorKind};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::commands::command::{self, ScriptCall};
use crate::commands::script;
use crate::server_error;
use crate::store::Inner;

/// More are not remembered: they end by themselves.
const MOST_OWED: usize = 65_536;
/// Given back in one round trip.
const AT_ONCE: usize = 512;
/// The wait after a try that failed.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a lease is owed beyond its time: it begins when the server carries the read out, which may be stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the reads of one store have left behind.
#[derive(Default)]
pub(crate) struct Owed(Mutex<Debts>);

#[derive(Default)]
struct Debts {
    leases: VecDeque<Debt>,
    /// A task gives them back.
    paying: bool,
}

struct Debt {
    key: Box<str>,
    head: [u8; HEAD_LEN],
    until: Instant,
}

/// A read that may leave leases, while it is under way.
pub(crate) struct Asking<'a> {
    inner: &'a Arc<Inner>,
    lease: Duration,
    one: Option<(&'a str, [u8; HEAD_LEN])>,
    many: Vec<(&'a str, [u8; HEAD_LEN])>,
}

impl<'a> Asking<'a> {
    // 1
    pub(crate) fn one(inner: &'a Arc<Inner>, lease: Duration, key: &'a str, head: [u8; HEAD_LEN]) -> Self {
        Self { inner, lease, one: Some((key, head)), many: Vec::new() }
    }

    /// For batches, which say chunk by chunk what they send.
    pub(crate) fn many(inner: &'a Arc<Inner>, lease: Duration) -> Self {
        Self { inner, lease, one: None, many: Vec::new() }
    }

    /// How long the leases last.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    /// A chunk is about to be sent; its place.
    pub(crate) fn sends(&mut self, sent: impl Iterator<Item = (&'a str, [u8; HEAD_LEN])>) -> usize {
        let from = self.many.len();
        self.many.extend(sent);
        from
    }

    /// 2: the last chunk, which begins here, was answered; its leases are the caller's.
    pub(crate) fn heard(&mut self, from: usize) {
        self.many.truncate(from);
    }

    /// What was sent from here on has failed: there was no connection, so that it was not sent; or nobody knows.
    pub(crate) fn failed(&mut self, from: usize, error: &StoreError) {
        if error.kind() == StoreErrorKind::Unavailable && error.source().is_none() {
            self.one = None;
            self.many.truncate(from);
        }
    }

    /// 2: the answer reaches the caller.
    pub(crate) fn answered(mut self) {
        self.one = None;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.one.is_some() || !self.many.is_empty() {
            // 3
            let until = Instant::now() + self.lease.min(PATIENCE) + PATIENCE;
            let left = self.one.take().into_iter().chain(self.many.drain(..));
            owe(self.inner, left.map(|(key, head)| Debt { key: key.into(), head, until }));
        }
    }
}

/// Without a runtime they end by themselves.
#[cold]
fn owe(inner: &Arc<Inner>, debts: impl Iterator<Item = Debt>) {
    let Ok(runtime) = Handle::try_current() else { return };
    let begins = {
        let mut owed = inner.owed.lock();
        let room = MOST_OWED.saturating_sub(owed.leases.len());
        owed.leases.extend(debts.take(room));
        !std::mem::replace(&mut owed.paying, true)
    };
    if begins {
        let task = Paying { inner: Arc::clone(inner), counts: true };
        runtime.spawn(task.run());
    }
}

impl Owed {
    fn lock(&self) -> MutexGuard<'_, Debts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest of those that have not ended. `None`: there are none, and the task is over.
    fn some(&self) -> Option<Vec<Debt>> {
        let now = Instant::now();
        let mut owed = self.lock();
        let mut debts = Vec::new();
        while debts.len() < AT_ONCE
            && let Some(debt) = owed.leases.pop_front()
        {
            if debt.until > now {
                debts.push(debt);
            }
        }
        owed.paying = !debts.is_empty();
        owed.paying.then_some(debts)
    }

    fn put_back(&self, debts: impl Iterator<Item = Debt>) {
        let mut owed = self.lock();
        let room = MOST_OWED.saturating_sub(owed.leases.len());
        owed.leases.extend(debts.take(room));
    }
}

/// The task. Dropped with its runtime, it leaves the rest to the next one.
struct Paying {
    inner: Arc<Inner>,
    /// It is the one that `paying` speaks of.
    counts: bool,
}

impl Paying {
    /// A release goes over the connection of the read, behind it: it comes after the read even where the server stands
    /// still. One that fails is sent again until it is confirmed, or the lease has ended by itself.
    async fn run(mut self) {
        while let Some(debts) = self.inner.owed.some() {
            let args: Vec<[&[u8]; 1]> = debts.iter().map(|debt| [&debt.head[..]]).collect();
            let pairs = debts.iter().zip(&args);
            let calls: Vec<_> = pairs.map(|(debt, args)| ScriptCall { key: &debt.key, args, ttl: None }).collect();
            let answers =
                self.inner.run_many(command::RELEASE, &script::RELEASE, &calls, None).await.unwrap_or_default();
            let is_done =
                |at: usize| answers.get(at).is_some_and(|it| server_error::done(command::RELEASE, it).is_ok());
            let failed: Vec<Debt> =
                debts.into_iter().enumerate().filter(|(at, _)| !is_done(*at)).map(|(_, debt)| debt).collect();
            if !failed.is_empty() {
                self.inner.owed.put_back(failed.into_iter());
                sleep(PAUSE).await;
            }
        }
        self.counts = false;
    }
}

impl Drop for Paying {
    fn drop(&mut self) {
        if self.counts {
            self.inner.owed.lock().paying = false;
        }
    }
}
