//! A cached read of many keys: what the cache says. What the body does is in `rounds.rs`.
//!
//! 1. ask the cache for all: hits, keys to load, keys that others load, here or in another process
//! 2. wait for others only while nobody can be waiting for us: until the first key is ours to load

pub(crate) mod rebind;
pub mod repeat;
pub(crate) mod rounds;

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::cache::{Batch, Begin, Cache, FailedLoad, LoadTicket, Waiting};
use crate::error::CacheError;
use crate::memoize::options::Read;
use crate::memoize::returned::ReturnedMap;
use crate::options::ReadOptions;
use crate::pulse::waits_for_the_cache;

/// What the cache said; see [`begin_batch`].
#[derive(Debug)]
pub struct BegunBatch<K, V> {
    pub(super) hits: Vec<(K, Option<V>)>,
    pub(super) missing: Vec<(K, Turn<V>)>,
    /// The first load that others failed.
    pub(super) failed: Option<CacheError>,
    pub(super) unavailable: Option<CacheError>,
}

/// Who loads a key that is missing.
#[derive(Debug)]
pub(super) enum Turn<V> {
    Ticket(LoadTicket<V>),
    /// Others of this process do, or nobody.
    Others,
    /// Others did, and failed.
    Failed(FailedLoad<V>),
}

impl<V> Turn<V> {
    pub(super) fn ticket(&self) -> Option<&LoadTicket<V>> {
        match self {
            Self::Ticket(ticket) => Some(ticket),
            _ => None,
        }
    }

    /// Another process loads the key.
    pub(super) fn is_busy(&self) -> bool {
        self.ticket().is_some_and(LoadTicket::is_busy)
    }
}

/// Hits for all keys; see [`hits_or_begin`].
#[derive(Debug)]
pub struct Hits<'a, K, V> {
    keys: &'a [K],
    /// A key that was asked for twice may be here twice.
    found: Vec<(usize, Option<V>)>,
}

impl<K: Clone, V> Hits<'_, K, V> {
    /// The answer of the function.
    #[must_use]
    pub fn answer<R: ReturnedMap<K, V>>(self) -> R {
        let Self { keys, found } = self;
        R::from_hits(found.len(), found.into_iter().filter_map(|(i, value)| Some((keys.get(i)?.clone(), value))))
    }

    fn owned(self) -> Vec<(K, Option<V>)> {
        let Self { keys, found } = self;
        found.into_iter().filter_map(|(i, value)| Some((keys.get(i)?.clone(), value))).collect()
    }
}

/// Steps 1 and 2. The answer borrows neither the cache nor the keys.
///
/// # Cancel safety
/// Dropping the future changes nothing for others; turns to load pass on.
pub async fn begin_batch<K, V, C, Q, P>(cache: &C, keys: &Q, read: &Read<P>) -> BegunBatch<K, V>
where
    K: Clone + Hash + Eq + Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    Q: AsRef<[K]> + ?Sized,
{
    let begun =
        |hits: Hits<'_, K, V>| BegunBatch { hits: hits.owned(), missing: Vec::new(), failed: None, unavailable: None };
    match hits_or_begin(cache, keys, read, begun).await {
        ControlFlow::Break(begun) | ControlFlow::Continue(begun) => begun,
    }
}

/// [`begin_batch`]; where all keys are hits, what `all` makes of them, mostly [`Hits::answer`]. `Continue`: go on with
/// [`cacheable_batch`](super::cacheable_batch) or [`cacheable_batch_in_rounds`](super::cacheable_batch_in_rounds).
///
/// # Cancel safety
/// As [`begin_batch`].
pub async fn hits_or_begin<K, V, R, C, Q, P>(
    cache: &C,
    keys: &Q,
    read: &Read<P>,
    all: impl FnOnce(Hits<'_, K, V>) -> R,
) -> ControlFlow<R, BegunBatch<K, V>>
where
    K: Clone + Hash + Eq + Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    Q: AsRef<[K]> + ?Sized,
{
    let keys = keys.as_ref();
    let options = ReadOptions::new().allow_stale(read.allow_stale);
    // 1
    let Batch { hits: mut found, mut led, followed, mut unavailable } =
        if keys.is_empty() { Batch::default() } else { cache.begin_many_with(keys, options).await };
    let waits_for_all = led.iter().all(|(_, ticket)| ticket.is_busy());
    if followed.is_empty() && (led.is_empty() || !waits_for_all) {
        let hits = Hits { keys, found };
        if led.is_empty() {
            return ControlFlow::Break(all(hits));
        }
        // Each key is led once.
        let missing =
            led.into_iter().filter_map(|(i, ticket)| Some((keys.get(i)?.clone(), Turn::Ticket(ticket)))).collect();
        return ControlFlow::Continue(BegunBatch { hits: hits.owned(), missing, failed: None, unavailable });
    }
    // 2
    let (mut failed, mut open) = (None, Vec::new());
    open.resize_with(keys.len(), || None);
    followed.iter().for_each(|(i, _)| open[*i] = Some(Turn::Others));
    if waits_for_all {
        let busy = std::mem::take(&mut led);
        let mut waits = Waits { followed: FuturesUnordered::new(), busy, waiting: None };
        waits.followed.extend(followed.into_iter().map(|(i, wait)| wait.map(move |begin| (i, begin))));
        while led.is_empty() {
            let Some(ready) = waits.next().await else { break };
            for (i, begin) in ready {
                open[i] = match begin {
                    Begin::Hit(value) => {
                        found.push((i, value));
                        None
                    }
                    Begin::Lead(ticket) => {
                        led.push((i, ticket));
                        None
                    }
                    Begin::Failed(load) => {
                        failed.get_or_insert_with(|| load.error().clone());
                        Some(Turn::Failed(load))
                    }
                    // So says a cache that begins a batch key by key.
                    Begin::Unavailable(error) => {
                        unavailable.get_or_insert(error);
                        Some(Turn::Others)
                    }
                };
            }
        }
        led.append(&mut waits.busy);
    }
    let others = open.into_iter().enumerate().filter_map(|(i, open)| Some((i, open?)));
    let mut missing: Vec<_> = led.into_iter().map(|(i, ticket)| (i, Turn::Ticket(ticket))).chain(others).collect();
    missing.sort_unstable_by_key(|(i, _)| *i);
    let (hits, missing) = (Hits { keys, found }.owned(), distinct(keys, missing));
    ControlFlow::Continue(BegunBatch { hits, missing, failed, unavailable })
}

/// The keys that others load.
struct Waits<F, V> {
    /// Here.
    followed: FuturesUnordered<F>,
    /// In other processes.
    busy: Vec<(usize, LoadTicket<V>)>,
    waiting: Option<Waiting<V>>,
}

impl<V, F: Future<Output = (usize, Begin<V>)>> Waits<F, V> {
    /// Those of the next wait that ends. If one of them is a ticket, all that are ready: from then on nobody waits.
    async fn next(&mut self) -> Option<Vec<F::Output>> {
        let mut ready = poll_fn(|cx| self.poll_next(cx)).await?;
        if ready.iter().any(|(_, begin)| matches!(begin, Begin::Lead(_))) {
            // Their wakers may not have been called yet.
            let mut cx = Context::from_waker(Waker::noop());
            let others = Pin::new(&mut self.followed).iter_pin_mut().filter_map(|wait| match wait.poll(&mut cx) {
                Poll::Ready(out) => Some(out),
                Poll::Pending => None,
            });
            ready.extend(others);
        }
        Some(ready)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<F::Output>>> {
        if self.waiting.is_none() {
            self.waiting = LoadTicket::waiting(&self.busy);
        }
        if let Some(waiting) = &mut self.waiting
            && let Poll::Ready(known) = waiting.poll_unpin(cx)
        {
            self.waiting = None;
            return Poll::Ready(Some(known.settle(&mut self.busy)));
        }
        match self.followed.poll_next_unpin(cx) {
            Poll::Ready(Some(ready)) => Poll::Ready(Some(vec![ready])),
            Poll::Ready(None) if self.waiting.is_none() => Poll::Ready(None),
            Poll::Ready(None) => Poll::Pending,
            Poll::Pending => {
                // Those that were not woken are not polled, and can't say it themselves.
                waits_for_the_cache();
                Poll::Pending
            }
        }
    }
}

/// A simple cache may name a key twice; the first one counts.
fn distinct<K: Clone + Hash + Eq, T>(keys: &[K], missing: Vec<(usize, T)>) -> Vec<(K, T)> {
    let mut seen = HashSet::with_capacity(missing.len());
    let known = missing.into_iter().filter_map(|(i, ticket)| Some((keys.get(i)?, ticket)));
    known.filter(|(key, _)| seen.insert(*key)).map(|(key, ticket)| (key.clone(), ticket)).collect()
}

/// The cache is not asked: the body gets every key once, and nothing is cached.
pub fn bypass_batch<K: Clone + Hash + Eq, V, Q: AsRef<[K]> + ?Sized>(keys: &Q) -> BegunBatch<K, V> {
    let keys = keys.as_ref();
    let missing = distinct(keys, (0..keys.len()).map(|i| (i, Turn::Others)).collect());
    BegunBatch { hits: Vec::new(), missing, failed: None, unavailable: None }
}
