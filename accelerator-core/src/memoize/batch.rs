//! A cached read of many keys.
//!
//! 1. ask the cache for all: hits, keys to load, keys that others load
//! 2. wait for others only while nobody can be waiting for us: until the first key is ours to load
//! 3. run the body at most once, with every key that has no answer yet
//! 4. hand its outcome to the tickets; keys that others load get neither ticket nor fill
//! 5. the answer covers all keys

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::pin::pin;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::cache::{Batch, Begin, Cache, LoadTicket};
use crate::error::CacheError;
use crate::memoize::TOGETHER;
use crate::memoize::options::{OnCacheError, Read};
use crate::memoize::returned::ReturnedMap;
use crate::memoize::sharing::Share;
use crate::memoize::single::fill;
use crate::options::ReadOptions;
use crate::watch::watch;

/// What the cache said; see [`begin_batch`].
#[derive(Debug)]
pub struct BegunBatch<K, V> {
    hits: Vec<(K, Option<V>)>,
    missing: Vec<(K, Option<LoadTicket<V>>)>,
    /// The first load that others failed.
    failed: Option<CacheError>,
    unavailable: Option<CacheError>,
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
    hits_or_begin(cache, keys, read, begun).await.unwrap_or_else(|begun| begun)
}

/// [`begin_batch`]; where all keys are hits, what `all` makes of them, mostly [`Hits::answer`]. `Err`: go on with
/// [`cacheable_batch`].
///
/// # Errors
/// None: `Err` is where to go on.
///
/// # Cancel safety
/// As [`begin_batch`].
pub async fn hits_or_begin<K, V, R, C, Q, P>(
    cache: &C,
    keys: &Q,
    read: &Read<P>,
    all: impl FnOnce(Hits<'_, K, V>) -> R,
) -> Result<R, BegunBatch<K, V>>
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
    if followed.is_empty() {
        let hits = Hits { keys, found };
        if led.is_empty() {
            return Ok(all(hits));
        }
        // Each key is led once.
        let missing = led.into_iter().filter_map(|(i, ticket)| Some((keys.get(i)?.clone(), Some(ticket)))).collect();
        return Err(BegunBatch { hits: hits.owned(), missing, failed: None, unavailable });
    }
    // 2
    let (mut failed, mut open) = (None, vec![false; keys.len()]);
    followed.iter().for_each(|(i, _)| open[*i] = true);
    if led.is_empty() {
        let mut waits: FuturesUnordered<_> =
            followed.into_iter().map(|(i, wait)| wait.map(move |begin| (i, begin))).collect();
        // From the first ticket on only what is ready counts.
        while let Some((i, begin)) =
            if led.is_empty() { waits.next().await } else { waits.next().now_or_never().flatten() }
        {
            match begin {
                Begin::Hit(value) => found.push((i, value)),
                Begin::Lead(ticket) => led.push((i, ticket)),
                Begin::Failed(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
                // So says a cache that begins a batch key by key.
                Begin::Unavailable(error) => {
                    unavailable.get_or_insert(error);
                    continue;
                }
            }
            open[i] = false;
        }
    }
    let others = open.into_iter().enumerate().filter_map(|(i, open)| open.then_some((i, None)));
    let mut missing: Vec<_> = led.into_iter().map(|(i, ticket)| (i, Some(ticket))).chain(others).collect();
    missing.sort_unstable_by_key(|(i, _)| *i);
    let (hits, missing) = (Hits { keys, found }.owned(), distinct(keys, missing));
    Err(BegunBatch { hits, missing, failed, unavailable })
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
    let missing = distinct(keys, (0..keys.len()).map(|i| (i, None)).collect());
    BegunBatch { hits: Vec::new(), missing, failed: None, unavailable: None }
}

/// Steps 3 to 5; `R` is the function's return type.
///
/// # Cancel safety
/// Dropping the future drops the body; the keys that it was loading pass on to those who wait.
pub async fn cacheable_batch<K, V, R, F, Fut, S, P>(begun: BegunBatch<K, V>, read: Read<P>, share: S, body: F) -> R
where
    K: Clone,
    V: Clone,
    R: ReturnedMap<K, V>,
    F: FnOnce(Vec<K>) -> Fut,
    Fut: Future<Output = R>,
    S: Share<R>,
    P: OnCacheError<R>,
{
    let BegunBatch { hits, missing, failed, unavailable } = begun;
    if missing.is_empty() {
        return R::from_cached(hits);
    }
    if let Some(out) = unavailable.and_then(|error| read.on_error.outcome("cacheable_batch", "begin", &error)) {
        return out;
    }
    let _permit = match &failed {
        None => None,
        Some(error) => match share.outcome(error).or_else(|| read.on_error.failed(error)) {
            Some(out) => return out,
            // Those who hold tickets are waited for, and wait for nobody.
            None if missing.iter().any(|(_, ticket)| ticket.is_some()) => None,
            None => error.permit(TOGETHER).await,
        },
    };
    // 3
    let mut body = pin!(body(missing.iter().map(|(key, _)| key.clone()).collect()));
    let tickets = || missing.iter().filter_map(|(_, ticket)| ticket.as_ref());
    let mut out = poll_fn(|cx| watch(tickets, || body.as_mut().poll(cx))).await;
    // 4
    if out.is_failed() {
        return instead(hits, missing, &read, share.error(&out)).map_or(out, R::from_cached);
    }
    for (key, ticket) in missing {
        let found = out.find(&key);
        match (ticket, found) {
            (Some(ticket), Some(value)) => fill("cacheable_batch", ticket, value, &read),
            // The body didn't say: whoever waits asks again.
            (_, None) => out.add(key, None),
            (None, Some(_)) => {}
        }
    }
    // 5
    hits.into_iter().for_each(|(key, value)| out.add(key, value));
    out
}

/// Step 4 of a body that failed; an answer, where there is a stale value for each key.
fn instead<K, V, P>(
    mut hits: Vec<(K, Option<V>)>,
    missing: Vec<(K, Option<LoadTicket<V>>)>,
    read: &Read<P>,
    error: CacheError,
) -> Option<Vec<(K, Option<V>)>> {
    let mut all = read.allow_stale;
    for (key, ticket) in missing {
        match ticket {
            Some(ticket) => {
                let stale = if all { ticket.stale() } else { None };
                ticket.fail(error.clone());
                match stale {
                    Some(value) => hits.push((key, value)),
                    None => all = false,
                }
            }
            None => all = false,
        }
    }
    all.then_some(hits)
}
