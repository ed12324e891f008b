//! A cached read of one key.
//!
//! 1. ask the cache, wait for whoever loads the key already
//! 2. a hit is the answer
//! 3. leading: run the body, hand its outcome to the ticket
//! 4. somebody else's body failed: a copy of its error, or, not too many at once, another look into the cache and a body
//!    of our own

use std::borrow::Borrow;
use std::future::{Future, ready};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;

use crate::cache::{Begin, Cache, CacheFuture, LoadTicket, Lookup, Probe};
use crate::error::CacheError;
use crate::inside::forget_panic;
use crate::memoize::alive::{Lead, alive};
use crate::memoize::crowd::permit;
use crate::memoize::ignored;
use crate::memoize::options::{OnCacheError, Read};
use crate::memoize::returned::{Found, Returned};
use crate::memoize::sharing::Share;
use crate::options::ReadOptions;
use crate::traits::loader::Loaded;
use crate::watch::watch;

/// What the cache said; see [`begin`].
#[derive(Debug)]
pub struct Begun<V>(Option<Begin<V>>);

/// Step 1. The answer borrows neither the cache nor the key, so the body may do with both what it likes.
///
/// # Cancel safety
/// Dropping the future changes nothing for others; a turn to load passes on.
#[inline]
pub fn begin<'a, K, V, C, Q, P>(cache: &'a C, key: &'a Q, read: &Read<P>) -> Beginning<'a, V>
where
    K: Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    Q: Borrow<K>,
{
    let key = key.borrow();
    Beginning(if read.allow_stale {
        cache.begin(key)
    } else {
        cache.begin_with(key, ReadOptions::new().allow_stale(false))
    })
}

/// [`begin`], with a hit by value: a hit pays for every future that it passes. `Continue`: await it.
///
/// # Cancel safety
/// As [`begin`].
#[inline]
pub fn hit_or_begin<'a, K, V, C, Q, P>(
    cache: &'a C,
    key: &'a Q,
    read: &Read<P>,
) -> ControlFlow<Begun<V>, Beginning<'a, V>>
where
    K: Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    Q: Borrow<K>,
{
    if !read.allow_stale {
        return ControlFlow::Continue(begin(cache, key, read));
    }
    match cache.hit_or_begin(key.borrow()) {
        Probe::Hit(hit) => ControlFlow::Break(Begun(Some(Begin::Hit(hit)))),
        Probe::Begin(begin) => ControlFlow::Continue(Beginning(begin)),
    }
}

/// The future of [`begin`]: written by hand, since a hit pays for every state machine that it passes.
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct Beginning<'a, V>(CacheFuture<'a, Begin<V>>);

impl<V> Future for Beginning<'_, V> {
    type Output = Begun<V>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Begun<V>> {
        Pin::new(&mut self.get_mut().0).poll(cx).map(|begin| Begun(Some(begin)))
    }
}

impl<V> Begun<V> {
    /// Step 2 by itself, which costs a hit nothing. `Continue`: this is no hit, or one that `R` can't say; go on with
    /// [`cacheable`].
    #[doc(hidden)]
    #[inline]
    pub fn hit<R: Returned<V>>(self) -> ControlFlow<R, Self> {
        match self.0 {
            // Known to be absent, which this type can't say: as without the cache.
            Some(Begin::Hit(value)) => match R::from_cached(value) {
                Some(out) => ControlFlow::Break(out),
                None => ControlFlow::Continue(Self(None)),
            },
            rest => ControlFlow::Continue(Self(rest)),
        }
    }

    /// The turn to load, where this is one: for who runs the body itself ([`alive`](alive())), and gives its answer
    /// to [`hand_in`]. `Continue`: a hit, somebody else led, or the cache can't take part; go on with [`cacheable`].
    #[doc(hidden)]
    #[inline]
    pub fn lead(self) -> ControlFlow<Lead<V>, Self> {
        match self.0 {
            Some(Begin::Lead(ticket)) => ControlFlow::Break(Lead::new(ticket)),
            rest => ControlFlow::Continue(Self(rest)),
        }
    }
}

/// The cache is not asked: the body runs, and nothing is cached.
#[must_use]
pub fn bypass<V>() -> Begun<V> {
    Begun(None)
}

/// Steps 2 to 4; `R` is the function's return type.
///
/// # Cancel safety
/// Dropping the future drops the body; if it was running, the next who waits runs its own.
#[inline]
pub fn cacheable<V, R, F, Fut, S, P>(begun: Begun<V>, read: Read<P>, share: S, body: F) -> impl Future<Output = R>
where
    V: Clone + 'static,
    R: Returned<V>,
    F: FnOnce() -> Fut,
    Fut: Future<Output = R>,
    S: Share<R>,
    P: OnCacheError<R>,
{
    // 2
    match begun.hit() {
        ControlFlow::Break(out) => Either::Left(ready(out)),
        ControlFlow::Continue(begun) => Either::Right(missed(begun, read, share, body)),
    }
}

/// Steps 3 and 4.
async fn missed<V, R, F, Fut, S, P>(begun: Begun<V>, read: Read<P>, share: S, body: F) -> R
where
    V: Clone + 'static,
    R: Returned<V>,
    F: FnOnce() -> Fut,
    Fut: Future<Output = R>,
    S: Share<R>,
    P: OnCacheError<R>,
{
    match begun.0 {
        // 3
        Some(Begin::Lead(ticket)) => {
            let mut lead = Lead::new(ticket);
            let out = alive(&mut lead, pin!(body())).await;
            hand_in(lead.into_ticket(), out, &read, &share)
        }
        // 4
        Some(Begin::Failed(failed)) => {
            let error = failed.error();
            if let Some(out) = share.outcome(error) {
                return out;
            }
            if let Some(out) = read.on_error.failed(error) {
                return out;
            }
            let _permit = permit(error).await;
            if let Some(out) = known(failed.look_again()) {
                return out;
            }
            body().await
        }
        Some(Begin::Unavailable(error)) => match read.on_error.outcome("cacheable", "begin", &error) {
            Some(out) => out,
            None => body().await,
        },
        Some(Begin::Hit(_)) | None => body().await,
    }
}

/// Step 3 behind the body: what it found goes to all who wait. A stale value may stand in for a failure.
pub fn hand_in<V: Clone, R: Returned<V>, P>(ticket: LoadTicket<V>, out: R, read: &Read<P>, share: &impl Share<R>) -> R {
    match out.found() {
        Found::Value(value) => fill("cacheable", ticket, Some(value), read),
        Found::Absent => fill("cacheable", ticket, None, read),
        Found::Failed => {
            let stale = if read.allow_stale { ticket.stale() } else { Lookup::Miss };
            ticket.fail(share.error(&out));
            if let Some(instead) = known(stale) {
                return instead;
            }
        }
    }
    out
}

/// An answer, as far as something is known and `R` can say it.
fn known<V, R: Returned<V>>(of: Lookup<V>) -> Option<R> {
    match of {
        Lookup::Hit(value) => R::from_cached(Some(value)),
        Lookup::Absent => R::from_cached(None),
        Lookup::Miss | Lookup::Unavailable => None,
    }
}

/// Hands in what the body found. Its caller has its answer, whatever user code panics on the way into the cache.
pub(super) fn fill<V: Clone, P>(name: &'static str, ticket: LoadTicket<V>, value: Option<&V>, read: &Read<P>) {
    let filled = catch_unwind(AssertUnwindSafe(move || {
        let loaded = watch(|| std::iter::once(&ticket), || loaded(value, read));
        ticket.fill(loaded);
    }));
    if let Err(payload) = filled {
        ignored::log(name, "fill", &CacheError::panic("a Clone, a weigher or the L1 store", &*payload));
        forget_panic(payload);
    }
}

/// What the ticket gets.
fn loaded<V: Clone, P>(value: Option<&V>, read: &Read<P>) -> Loaded<V> {
    let loaded = Loaded::from(value.cloned());
    match (value, read.ttl) {
        (Some(_), Some(ttl)) => loaded.ttl(ttl),
        // To those who wait, not to the cache.
        (None, _) if !read.cache_none => loaded.ttl(Duration::ZERO),
        _ => loaded,
    }
}
