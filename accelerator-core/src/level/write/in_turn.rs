//! Writes of many keys take their turns: who writes what in L2, and until when.
//!
//! 1. one limit for the whole call, which grows with its bytes
//! 2. chunk by chunk; where L2 is slow, the next chunk doesn't wait for the one before it to end
//! 3. of each chunk the keys whose turn is free are sent at once
//! 4. the others are sent as their turns come: a busy key keeps nobody back but itself
//!
//! Nobody waits for a turn before it sends what it has turns for, so two calls never wait for each other.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::{Either, join, select};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::{CacheError, CacheResult, StoreError, StoreErrorKind};
use crate::level::bounds::{Key, Value};
use crate::level::local::registration::Registration;
use crate::level::remote::Remote;
use crate::level::time::deadline::Deadline;
use crate::level::time::policy::CHUNKS_AT_ONCE;
use crate::level::time::ticker::Limit;
use crate::level::write::tell::Telling;

/// One key of a `set` or `del` on its way to L2.
pub(crate) trait InTurn<K: Key, V: Value>: Sized + Send {
    /// Whether it waits for its turn at all.
    const WAITS: bool;

    fn slot(&self) -> &Registration<K, V>;

    /// Of its name and its value.
    fn bytes(&self) -> usize;

    /// Writes some whose turns have come. `telling`: they are all of the call.
    fn send(
        remote: &Arc<Remote<K, V>>,
        some: Vec<Self>,
        until: Deadline,
        telling: Option<&mut Telling<K, V>>,
    ) -> impl Future<Output = Tally> + Send;

    /// L2 did not confirm it. `true`: a delete is queued.
    fn failed(self) -> bool;
}

/// What a write of many keys has to tell.
pub(crate) struct Tally {
    first: Option<StoreError>,
    /// L2 has the value, and user code panicked on the way into L1.
    panicked: Option<CacheError>,
    /// The delete of every key that was not confirmed is queued.
    queued: bool,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { first: None, panicked: None, queued: true }
    }

    pub(crate) fn fail(&mut self, error: StoreError, queued: bool) {
        self.first.get_or_insert(error);
        self.queued &= queued;
    }

    /// L2 confirmed it; what became of L1.
    pub(crate) fn confirm(&mut self, kept: CacheResult<()>) {
        if let Err(error) = kept {
            self.panicked.get_or_insert(error);
        }
    }

    fn add(&mut self, other: Self) {
        self.confirm(other.panicked.map_or(Ok(()), Err));
        if let Some(error) = other.first {
            self.fail(error, other.queued);
        }
    }

    fn answer(self, op: &str) -> CacheResult<()> {
        let unconfirmed = self.first.map(|error| CacheError::unconfirmed(op, error, self.queued));
        unconfirmed.or(self.panicked).map_or(Ok(()), Err)
    }
}

type Turn = OwnedMutexGuard<()>;

/// Writes all of a call, and tells of it where that can be done together.
pub(crate) async fn in_turns<K: Key, V: Value, T: InTurn<K, V>>(
    remote: &Arc<Remote<K, V>>,
    op: &str,
    all: Vec<T>,
    telling: &mut Telling<K, V>,
) -> CacheResult<()> {
    // 1
    let until = Deadline::new(remote.write_limit(all.len(), all.iter().map(InTurn::bytes).sum()));
    let tally = match all.len() <= remote.local.policy.max_batch {
        true => chunk_in_turns(remote, all, until, Some(telling)).await,
        false => chunks_in_turns(remote, all, until).await,
    };
    tally.answer(op)
}

/// Step 2.
async fn chunks_in_turns<K: Key, V: Value, T: InTurn<K, V>>(
    remote: &Arc<Remote<K, V>>,
    all: Vec<T>,
    until: Deadline,
) -> Tally {
    let chunks = u32::try_from(all.len().div_ceil(remote.local.policy.max_batch)).unwrap_or(u32::MAX);
    // All have begun before half of the limit is over.
    let pause = until.limit / 2 / chunks.max(1);
    let (mut left, mut running, mut tally) = (all.into_iter(), FuturesUnordered::new(), Tally::new());
    loop {
        let may_begin = left.len() > 0 && running.len() < CHUNKS_AT_ONCE && !until.left().is_zero();
        if may_begin {
            let chunk = left.by_ref().take(remote.local.policy.max_batch).collect();
            running.push(chunk_in_turns(remote, chunk, until, None));
        }
        let timer = if may_begin && left.len() > 0 { remote.local.tasks.timer(pause) } else { None };
        let ended = match timer {
            Some(timer) => match select(running.next(), timer).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => continue,
            },
            None => running.next().await,
        };
        match ended {
            Some(one) => tally.add(one),
            None => break,
        }
    }
    if left.len() > 0 {
        not_sent(remote, left, &mut tally, until, "it had no time left for the whole call");
    }
    tally
}

/// Steps 3 and 4.
async fn chunk_in_turns<K: Key, V: Value, T: InTurn<K, V>>(
    remote: &Arc<Remote<K, V>>,
    chunk: Vec<T>,
    until: Deadline,
    telling: Option<&mut Telling<K, V>>,
) -> Tally {
    let (mut free, mut busy) = (Vec::with_capacity(chunk.len()), Vec::new());
    for one in chunk {
        let try_turn = || remote.local.table.try_turn(&one.slot().key, one.slot().at.hash);
        match T::WAITS.then(try_turn) {
            None => free.push((one, None)),
            Some(Ok(turn)) => free.push((one, Some(turn))),
            Some(Err(turn)) => busy.push((turn, one)),
        }
    }
    if busy.is_empty() {
        return send(remote, free, until, telling).await;
    }
    let waits = busy.iter().enumerate().map(|(n, (turn, one))| {
        let (turn, key, hash) = (turn.clone(), one.slot().key.clone(), one.slot().at.hash);
        async move { (n, turn_of(remote, turn, &key, hash).await) }
    });
    let waits = waits.collect();
    let busy = busy.into_iter().map(|(_, one)| Some(one)).collect();
    let later = send_as_they_come(remote, busy, waits, until);
    let (later, mut tally) = join(later, send(remote, free, until, None)).await;
    tally.add(later);
    tally
}

/// The turn of a key: this one, or one that took its place while it was waited for.
async fn turn_of<K: Key, V: Value>(remote: &Arc<Remote<K, V>>, mut turn: Arc<Mutex<()>>, key: &K, hash: u64) -> Turn {
    loop {
        let came = turn.lock_owned().await;
        if remote.local.table.turn_came(key, hash, &came) {
            return came;
        }
        turn = remote.local.table.turn(key, hash);
    }
}

/// Step 4.
async fn send_as_they_come<K: Key, V: Value, T: InTurn<K, V>>(
    remote: &Arc<Remote<K, V>>,
    mut busy: Vec<Option<T>>,
    mut waits: FuturesUnordered<impl Future<Output = (usize, Turn)>>,
    until: Deadline,
) -> Tally {
    let (mut over, mut tally) = (Limit::new(&remote.local.tasks.ticker, until.left()), Tally::new());
    let mut sending = FuturesUnordered::new();
    poll_fn(|cx| {
        let mut came = Vec::new();
        while let Poll::Ready(Some((n, turn))) = waits.poll_next_unpin(cx) {
            came.extend(busy[n].take().map(|one| (one, Some(turn))));
        }
        if !came.is_empty() {
            sending.push(send(remote, came, until, None));
        }
        while let Poll::Ready(Some(one)) = sending.poll_next_unpin(cx) {
            tally.add(one);
        }
        if !waits.is_empty() && remote.local.tasks.poll_limit(&mut over, cx).is_ready() {
            waits.clear();
            let left = busy.iter_mut().filter_map(Option::take);
            let left = left.inspect(|one| one.slot().turn_did_not_come());
            not_sent(remote, left, &mut tally, until, "another write of the key had not ended by then");
        }
        if waits.is_empty() && sending.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    drop(sending);
    tally
}

async fn send<K: Key, V: Value, T: InTurn<K, V>>(
    remote: &Arc<Remote<K, V>>,
    some: Vec<(T, Option<Turn>)>,
    until: Deadline,
    telling: Option<&mut Telling<K, V>>,
) -> Tally {
    let (some, turns): (Vec<_>, Vec<_>) = some.into_iter().unzip();
    let tally = if some.is_empty() { Tally::new() } else { T::send(remote, some, until, telling).await };
    // What was sent has left L1 in order before the next writer has its turn.
    drop(turns);
    tally
}

/// Those that were not sent by the end of the limit; counted as one.
fn not_sent<K: Key, V: Value, T: InTurn<K, V>>(
    remote: &Arc<Remote<K, V>>,
    all: impl Iterator<Item = T>,
    tally: &mut Tally,
    until: Deadline,
    why: &str,
) {
    remote.local.counters.l2_error(StoreErrorKind::Timeout);
    for one in all {
        let context = format!("not sent to L2 within {:?}: {why}", until.limit);
        tally.fail(StoreError::new(StoreErrorKind::Timeout, context), one.failed());
    }
}
