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
use crate::level::bounds::{Key, Value};
use crate::level::remote::Remote;
use crate::traits::l2::L2Read;

type Call<'a, T> = Pin<Box<dyn Future<Output = StoreResult<T>> + Send + 'a>>;

/// A read of one key, of a store that tells ages or of one that doesn't.
pub(crate) enum AskedRead<'a, T> {
    Plain(Call<'a, T>),
    Aged(Call<'a, (T, Option<Duration>)>),
}

impl<'a> AskedRead<'a, Option<Bytes>> {
    #[inline]
    pub(crate) fn get<K: Key, V: Value>(remote: &'a Remote<K, V>, wire: &'a str) -> Self {
        match remote.wire.limits.ages {
            false => Self::Plain(remote.store.get(wire)),
            true => Self::Aged(remote.store.get_aged(wire)),
        }
    }
}

impl<'a> AskedRead<'a, L2Read> {
    #[inline]
    pub(crate) fn get_or_lease<K: Key, V: Value>(remote: &'a Remote<K, V>, wire: &'a str, lease: Duration) -> Self {
        match remote.wire.limits.ages {
            false => Self::Plain(remote.store.get_or_lease(wire, lease)),
            true => Self::Aged(remote.store.get_or_lease_aged(wire, lease)),
        }
    }
}

impl<T> Future for AskedRead<'_, T> {
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
