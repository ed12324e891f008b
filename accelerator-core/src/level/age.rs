//! How old a value in L2 is, where the store itself can tell (ADR 0037).
//!
//! The store says "stored at most so long ago" by its own clock. What passed on the way here is added, by this node's
//! monotonic clock. So no wall clock takes part in it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::error::StoreResult;
use crate::level::engine::{Engine, Key, Value};
use crate::level::names::Name;
use crate::level::remote::{Moment, Remote};
use crate::time::millis;
use crate::traits::l2::L2Read;

type Call<'a, T> = Pin<Box<dyn Future<Output = StoreResult<T>> + Send + 'a>>;

/// A read of one key, of a store that tells ages or of one that doesn't.
pub(crate) enum Asked<'a, T> {
    Plain(Call<'a, T>),
    Aged(Call<'a, (T, Option<Duration>)>),
}

impl<'a> Asked<'a, Option<Bytes>> {
    #[inline]
    pub(crate) fn get<K: Key, V: Value>(remote: &'a Remote<K, V>, name: &'a Name) -> Self {
        match remote.limits.ages {
            false => Self::Plain(remote.store.get(name.wire())),
            true => Self::Aged(remote.store.get_aged(name.wire())),
        }
    }
}

impl<'a> Asked<'a, L2Read> {
    #[inline]
    pub(crate) fn get_or_lease<K: Key, V: Value>(remote: &'a Remote<K, V>, name: &'a Name, lease: Duration) -> Self {
        match remote.limits.ages {
            false => Self::Plain(remote.store.get_or_lease(name.wire(), lease)),
            true => Self::Aged(remote.store.get_or_lease_aged(name.wire(), lease)),
        }
    }
}

impl<T> Future for Asked<'_, T> {
    type Output = StoreResult<(T, Option<Duration>)>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Plain(call) => call.as_mut().poll(cx).map(|answer| answer.map(|answer| (answer, None))),
            Self::Aged(call) => call.as_mut().poll(cx),
        }
    }
}

/// The answer, and the age apart from it.
#[inline]
pub(crate) fn told<T>(answer: StoreResult<(T, Option<Duration>)>) -> (StoreResult<T>, Option<Duration>) {
    match answer {
        Ok((answer, age)) => (Ok(answer), age),
        Err(why) => (Err(why), None),
    }
}

fn rounded_up(age: Duration) -> u64 {
    millis(age.saturating_add(Duration::from_nanos(999_999)))
}

impl Moment {
    /// The same for a value that was at most so old at some time after L2 was asked, which was at `asked_at`.
    #[inline]
    pub(crate) fn aged(self, age: Option<Duration>, asked_at: u64) -> Self {
        let age = age.filter(|_| !cfg!(accelerator_mutant = "told-age-ignored"));
        let least_age = age.map_or(0, |age| rounded_up(age).saturating_add(self.now.saturating_sub(asked_at)));
        Self { least_age, ..self }
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    /// When a read of L2 begins, by the cache's clock; zero where the store tells no ages.
    #[inline]
    pub(crate) fn asked_at(&self, remote: &Remote<K, V>) -> u64 {
        if remote.limits.ages { self.now() } else { 0 }
    }
}
