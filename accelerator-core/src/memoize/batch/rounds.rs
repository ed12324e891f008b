//! A cached read of many keys: what the body does. What the cache said is in `batch.rs`.
//!
//! 1. run the body for the keys that are ours to load; those that others of this process load go along, without a fill
//! 2. hand its outcome to the tickets
//! 3. only then wait for the keys that other processes load. Those that become ours are another round. (Where the body
//!    may run only once, all of them go along in it instead.)
//! 4. the answer covers all keys

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::pin;

use crate::cache::{Begin, LoadTicket, Lookup};
use crate::error::CacheError;
use crate::memoize::batch::repeat::{Once, Repeat};
use crate::memoize::batch::{BegunBatch, Turn};
use crate::memoize::crowd::permit;
use crate::memoize::options::{OnCacheError, Read};
use crate::memoize::returned::ReturnedMap;
use crate::memoize::sharing::Share;
use crate::memoize::single::fill;
use crate::pulse::Pulse;
use crate::watch::watch;

/// The second half of a cached batch read whose body runs once at most; `R` is the function's return type. Keys that
/// other processes load are loaded along with the others, unless there are no others; L2 doesn't get them.
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
    cacheable_batch_in_rounds(begun, read, share, Once, body).await
}

/// [`cacheable_batch`] with a body that may run again, if `repeat` is [`Often`](crate::memoize::repeat::Often): first for the keys
/// that nobody loads. Keys that other processes load are waited for when these are cached, and the body runs once more
/// for those of them that nobody has cached in the end.
///
/// # Cancel safety
/// As [`cacheable_batch`].
pub async fn cacheable_batch_in_rounds<K, V, R, F, Fut, S, P, M>(
    begun: BegunBatch<K, V>,
    read: Read<P>,
    share: S,
    repeat: M,
    body: F,
) -> R
where
    K: Clone,
    V: Clone + 'static,
    R: ReturnedMap<K, V>,
    F: FnOnce(Vec<K>) -> Fut,
    Fut: Future<Output = R>,
    S: Share<R>,
    P: OnCacheError<R>,
    M: Repeat<F>,
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
                let permit = permit(error).await;
                look_again(&mut missing, &mut hits);
                Some(permit)
            }
        },
    };
    let mut answer = Answer { found: None, hits };
    while missing.iter().any(|(_, turn)| turn.is_busy())
        && let Some(copy) = repeat.again(&body)
    {
        let mut busy = split_busy(&mut missing);
        let ours = std::mem::take(&mut missing);
        answer = match round(copy, ours, &mut busy, answer, &read, &share).await {
            ControlFlow::Continue(answer) => answer,
            ControlFlow::Break(out) => return out,
        };
        // 3
        let known = LoadTicket::wait(&mut busy).await;
        let is_over = known.is_empty();
        for (key, begin) in known {
            match begin {
                Begin::Hit(value) => answer.hits.push((key, value)),
                Begin::Lead(ticket) => missing.push((key, Turn::Ticket(ticket))),
                Begin::Failed(_) | Begin::Unavailable(_) => missing.push((key, Turn::Others)),
            }
        }
        missing.extend(busy.into_iter().map(|(key, ticket)| (key, Turn::Ticket(ticket))));
        if is_over {
            // Nothing will ever be known of them: they are loaded here.
            break;
        }
    }
    match round(body, missing, &mut Vec::new(), answer, &read, &share).await {
        ControlFlow::Continue(answer) => answer.whole(),
        ControlFlow::Break(out) => out,
    }
}

/// What is known so far.
struct Answer<K, V, R> {
    /// What the body said, if it ran.
    found: Option<R>,
    hits: Vec<(K, Option<V>)>,
}

impl<K, V: Clone, R: ReturnedMap<K, V>> Answer<K, V, R> {
    // 4
    fn whole(self) -> R {
        let Some(mut out) = self.found else { return R::from_cached(self.hits) };
        self.hits.into_iter().for_each(|(key, value)| out.add(key, value));
        out
    }
}

/// Steps 1 and 2, for keys that are ours to load, while `busy` are to be waited for. `Break`: the answer, as the body failed.
async fn round<K, V, R, F, Fut, S, P>(
    body: F,
    ours: Vec<(K, Turn<V>)>,
    busy: &mut Vec<(K, LoadTicket<V>)>,
    mut answer: Answer<K, V, R>,
    read: &Read<P>,
    share: &S,
) -> ControlFlow<R, Answer<K, V, R>>
where
    K: Clone,
    V: Clone + 'static,
    R: ReturnedMap<K, V>,
    F: FnOnce(Vec<K>) -> Fut,
    Fut: Future<Output = R>,
    S: Share<R>,
{
    if ours.is_empty() {
        return ControlFlow::Continue(answer);
    }
    // 1
    let mut out = {
        let (mut body, mut pulse) = (pin!(body(ours.iter().map(|(key, _)| key.clone()).collect())), Pulse::default());
        let tickets = || ours.iter().filter_map(|(_, turn)| turn.ticket());
        // Who waits for a busy key waits for us, too.
        let points = || tickets().chain(busy.iter().map(|(_, ticket)| ticket)).filter_map(LoadTicket::pulse_point);
        poll_fn(|cx| watch(tickets, || pulse.poll(body.as_mut(), points, cx))).await
    };
    // 2
    if out.is_failed() {
        let error = share.error(&out);
        let instead = instead(ours, std::mem::take(busy), &mut answer, read, error);
        return ControlFlow::Break(if instead { answer.whole() } else { out });
    }
    for (key, turn) in ours {
        let found = out.find(&key);
        if let Some(before) = &mut answer.found {
            before.add(key.clone(), if let Lookup::Hit(value) = found { Some(value.clone()) } else { None });
        }
        match (turn, found) {
            (Turn::Ticket(ticket), Lookup::Hit(value)) => fill("cacheable_batch", ticket, Some(value), read),
            (Turn::Ticket(ticket), Lookup::Absent) => fill("cacheable_batch", ticket, None, read),
            (_, Lookup::Hit(_) | Lookup::Absent) => {}
            // The body didn't say: whoever waits asks again.
            (_, Lookup::Miss | Lookup::Unavailable) => out.add(key, None),
        }
    }
    answer.found.get_or_insert(out);
    ControlFlow::Continue(answer)
}

/// The keys that other processes load.
fn split_busy<K, V>(missing: &mut Vec<(K, Turn<V>)>) -> Vec<(K, LoadTicket<V>)> {
    let mut busy = Vec::new();
    for (key, turn) in std::mem::take(missing) {
        match turn {
            Turn::Ticket(ticket) if ticket.is_busy() => busy.push((key, ticket)),
            turn => missing.push((key, turn)),
        }
    }
    busy
}

/// Keys that others have cached while this caller waited for its turn are hits now.
fn look_again<K, V: 'static>(missing: &mut Vec<(K, Turn<V>)>, hits: &mut Vec<(K, Option<V>)>) {
    for (key, turn) in std::mem::take(missing) {
        let now = match &turn {
            Turn::Failed(load) => load.look_again(),
            _ => Lookup::Miss,
        };
        match now {
            Lookup::Hit(value) => hits.push((key, Some(value))),
            Lookup::Absent => hits.push((key, None)),
            Lookup::Miss | Lookup::Unavailable => missing.push((key, turn)),
        }
    }
}

/// Step 2 of a body that failed. `true`: there is a stale value for each key.
fn instead<K, V, R, P>(
    ours: Vec<(K, Turn<V>)>,
    busy: Vec<(K, LoadTicket<V>)>,
    answer: &mut Answer<K, V, R>,
    read: &Read<P>,
    error: CacheError,
) -> bool {
    let mut all = read.allow_stale && ours.iter().all(|(_, turn)| turn.ticket().is_some());
    let mut stand_in = |key, ticket: &LoadTicket<V>| match if all { ticket.stale() } else { Lookup::Miss } {
        Lookup::Hit(value) => answer.hits.push((key, Some(value))),
        Lookup::Absent => answer.hits.push((key, None)),
        Lookup::Miss | Lookup::Unavailable => all = false,
    };
    for (key, turn) in ours {
        if let Turn::Ticket(ticket) = turn {
            stand_in(key, &ticket);
            ticket.fail(error.clone());
        }
    }
    // The body was not asked for these: whoever waits for them takes over.
    busy.into_iter().for_each(|(key, ticket)| stand_in(key, &ticket));
    all
}
