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
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::cache::{Batch, Begin, Cache, LoadTicket};
use crate::error::CacheError;
use crate::memoize::options::{OnCacheError, Read};
use crate::memoize::returned::ReturnedMap;
use crate::memoize::sharing::Share;
use crate::memoize::single::fill;
use crate::memoize::together;
use crate::options::ReadOptions;
use crate::pulse::{Pulse, waits_for_the_cache};
use crate::watch::watch;

/// What the cache said; see [`begin_batch`].
#[derive(Debug)]
pub struct BegunBatch<K, V> {
    hits: Vec<(K, Option<V>)>,
    missing: Vec<(K, Turn<V>)>,
    /// The first load that others failed.
    failed: Option<CacheError>,
    unavailable: Option<CacheError>,
}

/// Who loads a key that is missing.
#[derive(Debug)]
enum Turn<V> {
    Ticket(LoadTicket<V>),
    /// Others do, or nobody.
    Others,
    /// Others did, and failed.
    Failed(CacheError),
}

impl<V> Turn<V> {
    fn ticket(&self) -> Option<&LoadTicket<V>> {
        match self {
            Self::Ticket(ticket) => Some(ticket),
            _ => None,
        }
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
        let missing =
            led.into_iter().filter_map(|(i, ticket)| Some((keys.get(i)?.clone(), Turn::Ticket(ticket)))).collect();
        return Err(BegunBatch { hits: hits.owned(), missing, failed: None, unavailable });
    }
    // 2
    let (mut failed, mut open) = (None, Vec::new());
    open.resize_with(keys.len(), || None);
    followed.iter().for_each(|(i, _)| open[*i] = Some(Turn::Others));
    if led.is_empty() {
        let mut waits: FuturesUnordered<_> =
            followed.into_iter().map(|(i, wait)| wait.map(move |begin| (i, begin))).collect();
        while let Some(ready) = if led.is_empty() { next_of(&mut waits).await } else { None } {
            let mut ready = vec![ready];
            if matches!(ready[0].1, Begin::Lead(_)) {
                // From the first ticket on only what is ready counts.
                ready.extend(all_ready(&mut waits));
            }
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
                    Begin::Failed(error) => {
                        failed.get_or_insert_with(|| error.clone());
                        Some(Turn::Failed(error))
                    }
                    // So says a cache that begins a batch key by key.
                    Begin::Unavailable(error) => {
                        unavailable.get_or_insert(error);
                        Some(Turn::Others)
                    }
                };
            }
        }
    }
    let others = open.into_iter().enumerate().filter_map(|(i, open)| Some((i, open?)));
    let mut missing: Vec<_> = led.into_iter().map(|(i, ticket)| (i, Turn::Ticket(ticket))).chain(others).collect();
    missing.sort_unstable_by_key(|(i, _)| *i);
    let (hits, missing) = (Hits { keys, found }.owned(), distinct(keys, missing));
    Err(BegunBatch { hits, missing, failed, unavailable })
}

/// The next wait that ends.
async fn next_of<F: Future>(waits: &mut FuturesUnordered<F>) -> Option<F::Output> {
    poll_fn(|cx| {
        let polled = waits.poll_next_unpin(cx);
        if polled.is_pending() {
            // Those that were not woken are not polled, and can't say it themselves.
            waits_for_the_cache();
        }
        polled
    })
    .await
}

/// Whatever else has ended: nobody waits for the rest, though its wakers may not have been called yet.
fn all_ready<F: Future>(waits: &mut FuturesUnordered<F>) -> Vec<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    let ready = Pin::new(waits).iter_pin_mut().filter_map(|wait| match wait.poll(&mut cx) {
        Poll::Ready(out) => Some(out),
        Poll::Pending => None,
    });
    ready.collect()
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

/// Steps 3 to 5; `R` is the function's return type.
///
/// # Cancel safety
/// Dropping the future drops the body; the keys that it was loading pass on to those who wait.
pub async fn cacheable_batch<K, V, R, F, Fut, S, P>(begun: BegunBatch<K, V>, read: Read<P>, share: S, body: F) -> R
where
    K: Clone,
    V: Clone + 'static,
    R: ReturnedMap<K, V>,
    F: FnOnce(Vec<K>) -> Fut,
    Fut: Future<Output = R>,
    S: Share<R>,
    P: OnCacheError<R>,
{
    let BegunBatch { mut hits, mut missing, failed, unavailable } = begun;
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
            None if missing.iter().any(|(_, turn)| turn.ticket().is_some()) => None,
            None => {
                let permit = error.permit(together(error)).await;
                look_again(&mut missing, &mut hits);
                if missing.is_empty() {
                    return R::from_cached(hits);
                }
                permit
            }
        },
    };
    // 3
    let mut out = {
        let (mut body, mut pulse) =
            (pin!(body(missing.iter().map(|(key, _)| key.clone()).collect())), Pulse::default());
        let tickets = || missing.iter().filter_map(|(_, turn)| turn.ticket());
        let points = || tickets().filter_map(LoadTicket::pulse_point);
        poll_fn(|cx| watch(tickets, || pulse.poll(body.as_mut(), points, cx))).await
    };
    // 4
    if out.is_failed() {
        return instead(hits, missing, &read, share.error(&out)).map_or(out, R::from_cached);
    }
    for (key, turn) in missing {
        let found = out.find(&key);
        match (turn, found) {
            (Turn::Ticket(ticket), Some(value)) => fill("cacheable_batch", ticket, value, &read),
            // The body didn't say: whoever waits asks again.
            (_, None) => out.add(key, None),
            (_, Some(_)) => {}
        }
    }
    // 5
    hits.into_iter().for_each(|(key, value)| out.add(key, value));
    out
}

/// Keys that others have cached while this caller waited for its turn are hits now.
fn look_again<K, V: 'static>(missing: &mut Vec<(K, Turn<V>)>, hits: &mut Vec<(K, Option<V>)>) {
    let look = |turn: &Turn<V>| match turn {
        Turn::Failed(error) => error.look_again::<V>(),
        _ => None,
    };
    for (key, turn) in std::mem::take(missing) {
        match look(&turn) {
            Some(value) => hits.push((key, value)),
            None => missing.push((key, turn)),
        }
    }
}

/// Step 4 of a body that failed; an answer, where there is a stale value for each key.
fn instead<K, V, P>(
    mut hits: Vec<(K, Option<V>)>,
    missing: Vec<(K, Turn<V>)>,
    read: &Read<P>,
    error: CacheError,
) -> Option<Vec<(K, Option<V>)>> {
    let mut all = read.allow_stale;
    for (key, turn) in missing {
        match turn {
            Turn::Ticket(ticket) => {
                let stale = if all { ticket.stale() } else { None };
                ticket.fail(error.clone());
                match stale {
                    Some(value) => hits.push((key, value)),
                    None => all = false,
                }
            }
            _ => all = false,
        }
    }
    all.then_some(hits)
}
