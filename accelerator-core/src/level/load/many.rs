//! Load for a batch: the steps of `one.rs`, one L2 read, one call of the batch loader and one fill per chunk.

use std::any::Any;
use std::borrow::Borrow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt, Stream, StreamExt};

use crate::cache::BoxFuture;
use crate::error::{CacheError, CacheResult};
use crate::inside::forget_panic;
use crate::level::bounds::{Key, Value};
use crate::level::engine::Engine;
use crate::level::load::many_store::end_loaded;
use crate::level::load::matching::hand_out;
use crate::level::load::one::{LoadMode, load_one, no_loader};
use crate::level::load::open_key::{BatchLoad, Loading, OpenKey, OpenKeys};
use crate::level::local::batch_run::{BatchKey, BatchKeys};
use crate::level::local::outcome::{End, Outcome};
use crate::level::local::work::Limited;
use crate::level::remote::interpret::Leased;
use crate::level::remote::look::LeaseWait;
use crate::level::remote::permit::L2Use;
use crate::level::remote::renew::Unseated;
use crate::level::stats::counters::Count;
use crate::level::time::join_parts::PartWakers;
use crate::level::time::policy::BATCH_CONCURRENCY;
use crate::level::wire::moment::Dated;
use crate::traits::loader::Loaded;

/// The work of a batch that was just led. `begun`: the batch load of all its keys, where it has begun.
pub(crate) fn batch_work<K: Key, V: Value>(
    engine: Arc<Engine<K, V>>,
    wants: BatchKeys<K, V>,
    how: LoadMode,
    mut begun: Option<BatchLoad<K, V>>,
) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let mut wants = wants;
        let (engine, keys) = (&engine, &mut wants.keys);
        let steps = async {
            let (mut busy, mut limit) = (Vec::new(), engine.local.policy.l2_read_timeout);
            for chunk in keys.chunks_mut(engine.local.policy.max_batch) {
                let open = read_chunk(engine, chunk, how, &mut limit, None, &mut busy).await;
                if !open.is_empty() {
                    load_chunk(engine, open, how, begun.take()).await;
                }
            }
            wait_for_others(engine, busy, how).await;
        };
        if let Err(payload) = AssertUnwindSafe(steps).catch_unwind().await {
            wants.panicked = true;
            forget_panic(payload);
        }
    })
}

/// The keys that other processes load: all of ours are loaded and stored by now, so nobody waits for us. What appears in
/// L2 meanwhile is taken; a lease that becomes ours is a load; when the time is over, the rest is loaded, and not stored.
async fn wait_for_others<'b, K: Key, V: Value>(
    engine: &'b Arc<Engine<K, V>>,
    mut busy: Vec<&'b mut BatchKey<K, V>>,
    how: LoadMode,
) {
    if busy.is_empty() {
        return;
    }
    let mut wait = LeaseWait::new(engine.local.policy.lease_wait);
    while !busy.is_empty()
        && let Some(timer) = wait.pause().and_then(|pause| engine.local.tasks.timer(pause))
    {
        engine.local.counters.one(Count::LeaseWait);
        timer.await;
        let mut again = std::mem::take(&mut busy).into_iter();
        let mut limit = engine.local.policy.l2_read_timeout;
        while again.len() > 0 {
            let chunk: Vec<_> = again.by_ref().take(engine.local.policy.max_batch).collect();
            let open = read_chunk(engine, chunk, how, &mut limit, Some(&mut wait), &mut busy).await;
            if !open.is_empty() {
                load_chunk(engine, open, how, None).await;
            }
        }
    }
    if let Some(remote) = &engine.remote {
        remote.count_missed(how.l2, busy.len());
    }
    while !busy.is_empty() {
        let rest = busy.split_off(busy.len().min(engine.local.policy.max_batch));
        let open = std::mem::replace(&mut busy, rest).into_iter().map(|one| OpenKey::new(engine, one)).collect();
        load_chunk(engine, open, how, None).await;
    }
}

/// Steps 1 and 2: what is still wanted after the look into L2. What others load is left in `busy`. `limit`: how long L2
/// may take for it; less for the chunks after one that it did not answer in time. `wait`: they were known to be loaded,
/// which a look that fails doesn't change.
async fn read_chunk<'b, K: Key, V: Value, W: Borrow<BatchKey<K, V>>>(
    engine: &'b Arc<Engine<K, V>>,
    chunk: impl AsRef<[W]> + IntoIterator<Item = &'b mut BatchKey<K, V>>,
    how: LoadMode,
    limit: &mut Duration,
    mut wait: Option<&mut LeaseWait>,
    busy: &mut Vec<&'b mut BatchKey<K, V>>,
) -> Vec<OpenKey<'b, K, V>> {
    let Some(remote) = &engine.remote else { return chunk.into_iter().map(|one| OpenKey::new(engine, one)).collect() };
    let keys = || chunk.as_ref().iter().map(|one| &one.borrow().key);
    let names = remote.wire.names(keys());
    let mut looks = match how.loads {
        true => remote.look_many(keys(), &names, lease_of_chunk(engine, names.len()), *limit, how.l2).await,
        false => remote.get_many(keys(), &names, *limit, L2Use::Read).await,
    };
    if looks.gave_up {
        *limit = engine.local.policy.later_chunk();
    }
    let (now, mut open, mut hits) = (looks.at.now, Vec::new(), Hits::default());
    for (n, one) in chunk.into_iter().enumerate() {
        let leased = match looks.next_answer() {
            Leased::Look { found: Some(value), .. } if value.until.is_fresh(now, how.min_fresh) => {
                hits.commit(engine, one, value, now);
                continue;
            }
            Leased::Busy if how.waits() => {
                wait.iter_mut().for_each(|wait| wait.sees_it());
                busy.push(one);
                continue;
            }
            Leased::Failed if wait.as_ref().is_some_and(|wait| wait.may_stand(engine.local.policy.lease)) => {
                busy.push(one);
                continue;
            }
            other => other,
        };
        let mut one = OpenKey::new(engine, one);
        if !how.loads {
            remote.count_missed(L2Use::Read, 1);
            one.end(End::Missed);
            continue;
        }
        let look = remote.look(names.name(n), leased);
        match remote.missed(&one.one.key, how.l2, &look) {
            Some(error) => one.end(End::Throttled { error, stale: look.found }),
            None => {
                (one.stale, one.permit, one.held) = (look.found, Some(look.permit), look.held);
                open.push(one);
            }
        }
    }
    engine.local.counters.add(Count::L2Hit, hits.values);
    engine.local.counters.add(Count::L2Absent, hits.absent);
    open
}

/// How many keys of a chunk L2 had.
#[derive(Default)]
struct Hits {
    values: u64,
    absent: u64,
}

impl Hits {
    fn commit<K: Key, V: Value>(&mut self, engine: &Engine<K, V>, one: &mut BatchKey<K, V>, found: Dated<V>, now: u64) {
        let outcome = engine.local.commit_found(&one.key, &mut one.reserved, found, now);
        self.values += u64::from(outcome.is_some());
        self.absent += u64::from(outcome.is_none());
        one.outcome = Some(Outcome::Value(outcome));
    }
}

/// How long a lease of a chunk of so many keys lasts, where it can't be renewed: single loads run side by side, but not
/// all at once.
fn lease_of_chunk<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, keys: usize) -> Duration {
    if engine.local.policy.renew_after.is_some() {
        return engine.local.policy.lease;
    }
    let rounds = if engine.sources.many.is_some() { 1 } else { keys.div_ceil(BATCH_CONCURRENCY).max(1) };
    let more = u32::try_from(rounds - 1).unwrap_or(u32::MAX);
    engine.local.policy.lease.saturating_add(engine.local.policy.loader_timeout.saturating_mul(more))
}

/// Steps 3 to 5.
async fn load_chunk<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    open: Vec<OpenKey<'_, K, V>>,
    how: LoadMode,
    begun: Option<BatchLoad<K, V>>,
) {
    if !how.loads {
        open.into_iter().for_each(|one| one.end(End::Missed));
    } else if engine.sources.many.is_some() {
        let mut open = open;
        match load_many(engine, &mut open, begun).await {
            Ok(found) => {
                let mut open = OpenKeys::new(open, engine.local.now());
                hand_out(&mut open, found, |key| engine.local.table.hash(key));
                end_loaded(engine, open.loaded()).await;
            }

            Err(error) => open.into_iter().for_each(|open| open.fail(error.clone())),
        }
    } else {
        load_apart(engine, open).await;
    }
}

/// Steps 3 to 5 where there is no batch loader. What is ready at the same time is stored together, while others are
/// loaded.
async fn load_apart<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, open: Vec<OpenKey<'_, K, V>>) {
    let (most, mut open, rouse) = (open.len(), open, &PartWakers::default());
    let permits = open.iter_mut().filter_map(|open| open.permit.as_mut());
    let longest = engine.local.policy.longest_load(most.div_ceil(BATCH_CONCURRENCY));
    let mut lives = engine.remote.as_ref().map(|remote| Unseated::new(remote, permits, longest));
    let loads = stream::iter(open)
        .zip(stream::repeat(rouse))
        .map(load_part)
        .buffer_unordered(BATCH_CONCURRENCY)
        .ready_chunks(most);
    let (mut loads, mut storing) = (std::pin::pin!(loads), FuturesUnordered::new());
    std::future::poll_fn(|cx| {
        rouse.here();
        let loaded = loop {
            match loads.as_mut().poll_next(cx) {
                Poll::Ready(Some(done)) => storing.push(store_part(engine, done, rouse)),
                Poll::Ready(None) => break Poll::Ready(()),
                Poll::Pending => break Poll::Pending,
            }
        };
        if loaded.is_pending() {
            lives.iter_mut().for_each(Unseated::sit);
        }
        while let Poll::Ready(Some(())) = storing.poll_next_unpin(cx) {}
        if storing.is_empty() { loaded } else { Poll::Pending }
    })
    .await;
}

/// Steps 4 and 5 for what was ready at the same time.
async fn store_part<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    done: Vec<Option<Loading<'_, K, V>>>,
    rouse: &PartWakers,
) {
    let store = std::pin::pin!(end_loaded(engine, done.into_iter().flatten().collect()));
    rouse.part(store).await;
}

/// Step 3 for one key of many.
async fn load_part<'b, K: Key, V: Value>((open, rouse): (OpenKey<'b, K, V>, &PartWakers)) -> Option<Loading<'b, K, V>> {
    let engine = open.engine;
    let load = std::pin::pin!(load_one(engine, open.one.key.clone()));
    match rouse.part(load).await {
        Ok(loaded) => {
            let loaded = open.with_lives(loaded, open.engine.local.now());
            Some((open, loaded))
        }
        Err(error) => {
            open.fail(error);
            None
        }
    }
}

async fn load_many<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    open: &mut [OpenKey<'_, K, V>],
    begun: Option<BatchLoad<K, V>>,
) -> CacheResult<Vec<(K, Loaded<V>)>> {
    let Some(many) = &engine.sources.many else { return Err(no_loader()) };
    let panicked = |p: Box<dyn Any + Send>| CacheError::panic("the batch loader", &*p);
    let keys = || open.iter().map(|open| open.one.key.clone()).collect();
    let begin = || begun.unwrap_or_else(|| Limited::new(many.mload_owned(keys())));
    let mut load = catch_unwind(AssertUnwindSafe(begin)).map_err(panicked)?;
    let mut kept = false;
    let load = std::future::poll_fn(|cx| {
        let answer = load.poll(&engine.local.tasks, &engine.local.overdue, cx);
        if answer.is_pending() && !std::mem::replace(&mut kept, true) {
            let permits = open.iter_mut().filter_map(|open| open.permit.as_mut());
            if let Some(remote) = &engine.remote {
                remote.keep_alive(permits, engine.local.policy.longest_load(1));
            }
        }
        answer
    });
    AssertUnwindSafe(load).catch_unwind().await.unwrap_or_else(|p| Err(panicked(p)))
}
