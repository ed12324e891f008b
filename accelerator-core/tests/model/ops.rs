//! The operations: each calls the cache, may be dropped half way, and hands what it got to the oracle.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use accelerator_core::testkit::{Faulty, MemoryL2};
use accelerator_core::{
    Begin, Cache, CacheError, CacheFuture, CacheResult, ErrorKind, L1Store, LevelCache, LoadTicket, Loaded, Lookup,
    Probe, ReadOptions, WriteOptions,
};
use tokio::time::sleep;

use crate::world::{Down, Start, Val, World};

/// What all operations of an episode share.
pub(crate) struct Env<L1> {
    pub(crate) world: Arc<World>,
    pub(crate) caches: Vec<LevelCache<u32, Val, L1>>,
    pub(crate) l2: Option<Faulty<MemoryL2>>,
    pub(crate) keys: u32,
    pub(crate) running: AtomicUsize,
    pub(crate) source: Arc<Source>,
}

/// How the source behaves.
pub(crate) struct Source {
    pub(crate) world: Arc<World>,
    pub(crate) healthy: AtomicBool,
    pub(crate) limit_ms: u64,
}

/// How an operation's future ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Never,
    /// Polled so many times (whether woken or not), then dropped.
    Polls(usize),
    /// Dropped after so many milliseconds.
    After(u64),
}

impl Cut {
    pub(crate) fn any(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(..100) {
            0..80 => Self::Never,
            80..92 => Self::Polls(rng.usize(..5)),
            _ => Self::After(rng.u64(..150)),
        }
    }
}

/// Runs `future` up to its cut.
pub(crate) async fn cut<F: Future>(future: F, cut: Cut) -> Option<F::Output> {
    match cut {
        Cut::Never => Some(future.await),
        Cut::After(ms) => tokio::time::timeout(Duration::from_millis(ms), future).await.ok(),
        Cut::Polls(mut left) => {
            let mut future = std::pin::pin!(future);
            std::future::poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(None);
                }
                left -= 1;
                cx.waker().wake_by_ref();
                future.as_mut().poll(cx).map(Some)
            })
            .await
        }
    }
}

/// How one load goes.
struct Plan {
    before: u64,
    after: u64,
    yields: usize,
    end: PlanEnd,
    own: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PlanEnd {
    Well,
    Error,
    Panic,
    LeaveOut,
}

impl Source {
    fn plan(&self) -> Plan {
        let mut rng = fastrand::Rng::with_seed(fastrand::u64(..));
        if !self.healthy.load(Ordering::Relaxed) {
            let slow = |rng: &mut fastrand::Rng, limit: u64| match rng.u8(..20) {
                0..9 => 0,
                9..18 => rng.u64(..limit / 2),
                18 => rng.u64(..limit * 2),
                _ => rng.u64(..5),
            };
            let (before, after) = (slow(&mut rng, self.limit_ms), slow(&mut rng, self.limit_ms));
            let end = match rng.u8(..) {
                0..200 => PlanEnd::Well,
                200..245 => PlanEnd::Error,
                245..253 => PlanEnd::LeaveOut,
                _ => PlanEnd::Panic,
            };
            return Plan { before, after, yields: rng.usize(..3), end, own: own_ttl(&mut rng, 12) };
        }
        Plan { before: 0, after: 0, yields: 0, end: PlanEnd::Well, own: None }
    }

    /// Loads one key for `node`.
    pub(crate) async fn load(self: Arc<Self>, node: usize, key: u32) -> Result<Loaded<Val>, Down> {
        let all = self.load_many(node, vec![key]).await?;
        // For a single load, being left out of the answer is just another error.
        all.into_iter().next().map(|(_, loaded)| loaded).ok_or_else(|| Down { keys: vec![key] })
    }

    /// Loads many keys for `node`, leaving one out now and then.
    pub(crate) async fn load_many(
        self: Arc<Self>,
        node: usize,
        keys: Vec<u32>,
    ) -> Result<std::collections::HashMap<u32, Loaded<Val>>, Down> {
        let plan = self.plan();
        let mut running = Running { world: self.world.clone(), node, keys };
        pause(plan.before, plan.yields).await;
        let read: Vec<_> = running.keys.iter().map(|&key| (key, self.world.read_source(node, key))).collect();
        pause(plan.after, plan.yields).await;
        match plan.end {
            // Not `panic!`: the hook would print.
            PlanEnd::Panic => resume_unwind(Box::new("the loader panics")),
            PlanEnd::Error => return Err(Down { keys: running.keys.clone() }),
            PlanEnd::LeaveOut => {}
            _ => running.keys.clear(),
        }
        let left_out = running.keys.first().copied();
        let together: Vec<u32> = read.iter().map(|(key, _)| *key).collect();
        self.world.loading_together(node, &together);
        running.keys.truncate(1);
        let end = |(key, read): (u32, _)| {
            let value = self.world.loaded(node, key, read, plan.own);
            let loaded = Loaded::from(value);
            (key, plan.own.map_or(loaded.clone(), |own| loaded.ttl(own)))
        };
        Ok(read.into_iter().filter(|(key, _)| Some(*key) != left_out).map(end).collect())
    }
}

/// Whatever ends a load early is a failure of its keys.
struct Running {
    world: Arc<World>,
    node: usize,
    keys: Vec<u32>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.world.failed(self.node, &self.keys);
    }
}

async fn pause(ms: u64, yields: usize) {
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
}

/// Now and then a TTL of its own.
pub(crate) fn own_ttl(rng: &mut fastrand::Rng, one_in: u32) -> Option<Duration> {
    let ttl = [0, 1, 40, 200, 700, 3_000][rng.usize(..6)];
    (rng.u32(..one_in) == 0).then_some(Duration::from_millis(ttl))
}

/// Which call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    Get,
    DynGet,
    TryGet,
    Lookup,
    Mget,
    Set,
    Mset,
    Del,
    Mdel,
    Clear,
    GetOrLoad,
    Begin,
    BeginMany,
    Warmup,
    Source,
    Guard,
}

const WEIGHTS: [(Verb, u32); 16] = [
    (Verb::Get, 300),
    (Verb::DynGet, 30),
    (Verb::TryGet, 40),
    (Verb::Lookup, 60),
    (Verb::Mget, 120),
    (Verb::Set, 90),
    (Verb::Mset, 40),
    (Verb::Del, 90),
    (Verb::Mdel, 30),
    (Verb::Clear, 6),
    (Verb::GetOrLoad, 80),
    (Verb::Begin, 60),
    (Verb::BeginMany, 30),
    (Verb::Warmup, 4),
    (Verb::Source, 40),
    (Verb::Guard, 20),
];

impl Verb {
    pub(crate) fn any(rng: &mut fastrand::Rng) -> Self {
        let mut at = rng.u32(..WEIGHTS.iter().map(|(_, weight)| weight).sum::<u32>());
        for (verb, weight) in WEIGHTS {
            if at < weight {
                return verb;
            }
            at -= weight;
        }
        Self::Get
    }
}

impl<L1: L1Store<u32, Val> + Clone> Env<L1> {
    /// One operation, on its own.
    pub(crate) async fn run(self: Arc<Self>, mut rng: fastrand::Rng, verb: Verb) {
        let node = rng.usize(..self.caches.len());
        let key = rng.u32(..self.keys);
        let end = Cut::any(&mut rng);
        match verb {
            Verb::Get => self.get(&mut rng, node, key, end).await,
            Verb::DynGet => {
                let cache: &dyn Cache<u32, Val> = &self.caches[node];
                let start = self.world.start(node, key, "dyn get");
                if let Some(answer) = cut(cache.get(&key), end).await {
                    self.read(start, answer, true, true);
                }
            }
            Verb::TryGet => {
                let start = self.world.start(node, key, "try_get");
                self.looked_up(start, self.caches[node].try_get(&key));
            }
            Verb::Lookup => {
                let start = self.world.start(node, key, "lookup");
                if let Some(found) = cut(self.caches[node].lookup(&key), end).await {
                    self.looked_up(start, found);
                }
            }
            Verb::Mget => self.mget(&mut rng, node, end).await,
            Verb::Set => {
                let own = own_ttl(&mut rng, 4);
                self.set(&mut rng, node, &[key], own, end).await;
            }
            Verb::Mset => {
                let (keys, own) = (self.some_keys(&mut rng), own_ttl(&mut rng, 6));
                self.set(&mut rng, node, &keys, own, end).await;
            }
            Verb::Del => self.del(&mut rng, node, &[key], end).await,
            Verb::Mdel => {
                let keys = self.some_keys(&mut rng);
                self.del(&mut rng, node, &keys, end).await;
            }
            Verb::Clear => self.clear(node),
            Verb::GetOrLoad => self.get_or_load(&mut rng, node, key, end).await,
            Verb::Begin => self.begin(&mut rng, node, key, end).await,
            Verb::BeginMany => self.begin_many(&mut rng, node, end).await,
            Verb::Warmup => {
                let keys = self.some_keys(&mut rng);
                cut(self.caches[node].warmup(keys), end).await;
            }
            Verb::Guard => self.guard(&mut rng, node, key, end).await,
            Verb::Source => self.world.write_source(key, rng.u8(..5) > 0),
        }
    }

    fn some_keys(&self, rng: &mut fastrand::Rng) -> Vec<u32> {
        let keys = (0..rng.usize(1..9)).map(|_| rng.u32(..self.keys));
        let mut keys: Vec<u32> = keys.collect();
        if rng.bool() {
            keys.sort_unstable();
            keys.dedup();
        }
        keys
    }

    /// Options, whether they allow stale values, and whether they load.
    fn options(rng: &mut fastrand::Rng) -> (ReadOptions, bool, bool) {
        if rng.u8(..3) > 0 {
            return (ReadOptions::new(), true, true);
        }
        let (stale, disable, force) = (rng.bool(), rng.u8(..3) == 0, rng.u8(..3) == 0);
        (ReadOptions::new().allow_stale(stale).disable_load(disable).force_refresh(force), stale, !disable)
    }

    /// Judges the answer of a read that could load (`loads`), or could not.
    fn read(&self, start: Start, answer: CacheResult<Option<Val>>, allow_stale: bool, loads: bool) {
        match answer {
            // A miss without a loader.
            Ok(None) if !loads || !self.world.facts.has_loader => {}
            Ok(value) => self.world.answered(start, value, allow_stale),
            Err(error) => self.world.erred(start, &error),
        }
    }

    fn looked_up(&self, start: Start, found: Lookup<Val>) {
        match found {
            Lookup::Hit(value) => self.world.answered(start, Some(value), true),
            Lookup::Absent => self.world.answered(start, None, true),
            Lookup::Miss | Lookup::Unavailable => {}
        }
    }

    async fn get(&self, rng: &mut fastrand::Rng, node: usize, key: u32, end: Cut) {
        let cache = &self.caches[node];
        let (options, allow_stale, loads) = Self::options(rng);
        let start = self.world.start(node, key, "get");
        if let Some(answer) = cut(cache.get_with(&key, options), end).await {
            self.read(start, answer, allow_stale, loads);
        }
    }

    async fn mget(&self, rng: &mut fastrand::Rng, node: usize, end: Cut) {
        let keys = self.some_keys(rng);
        let cache = &self.caches[node];
        let starts: Vec<_> = keys.iter().map(|&key| self.world.start(node, key, "mget")).collect();
        let (options, allow_stale, loads) = Self::options(rng);
        let Some(answers) = cut(cache.mget_with(&keys, options), end).await else { return };
        let in_order = answers.len() == keys.len() && answers.iter().map(|(key, _)| key).eq(&keys);
        if !in_order {
            self.world.wrong(node, keys[0], "mget answers other keys");
        }
        for (start, answer) in starts.into_iter().zip(answers.into_results()) {
            self.read(start, answer, allow_stale, loads);
        }
    }

    /// The answer of a write: nothing but `Unconfirmed` may be wrong, and that only with an L2. Either way the write
    /// protects this node.
    fn written(&self, node: usize, ranks: &[(u32, u64)], answer: Option<CacheResult<()>>) {
        let Some(answer) = answer else { return };
        if let Err(e) = &answer
            && (e.kind() != ErrorKind::Unconfirmed || self.l2.is_none())
        {
            self.world.wrong(node, ranks[0].0, &format!("a write answered {e:?}"));
        }
        for &(key, rank) in ranks {
            self.world.acknowledged(node, key, rank);
        }
    }

    async fn set(&self, rng: &mut fastrand::Rng, node: usize, keys: &[u32], own: Option<Duration>, end: Cut) {
        let mut items: Vec<(u32, Option<Val>)> = Vec::new();
        let mut ranks = Vec::new();
        for &key in keys {
            let present = rng.u8(..6) > 0;
            if rng.u8(..5) > 0 {
                self.world.write_source(key, present);
            }
            if let Some((_, former)) = items.iter().rev().find(|(k, _)| *k == key) {
                self.world.superseded(*former);
            }
            items.push((key, self.world.setting(node, key, present, own)));
            ranks.push((key, self.world.invalidating(node, key, "set")));
        }
        let cache = &self.caches[node];
        let options = own.map_or_else(WriteOptions::new, |own| WriteOptions::new().ttl(own));
        let writing = match items.as_slice() {
            &[(key, value)] => cache.set_with(&key, value, options),
            _ => cache.mset_with(items, options),
        };
        // What has taken effect at the call is known to have done so, also if nobody waits.
        let answer = if self.l2.is_none() { Some(writing.await) } else { cut(writing, end).await };
        self.written(node, &ranks, answer);
    }

    async fn del(&self, rng: &mut fastrand::Rng, node: usize, keys: &[u32], end: Cut) {
        for &key in keys {
            if rng.u8(..6) > 0 {
                self.world.write_source(key, rng.u8(..5) > 0);
            }
        }
        let ranks: Vec<_> = keys.iter().map(|&key| (key, self.world.invalidating(node, key, "del"))).collect();
        let cache = &self.caches[node];
        let deleting = match keys {
            [key] => cache.del(key),
            _ => cache.mdel(keys),
        };
        self.purged(node, keys);
        let answer = if self.l2.is_none() { Some(deleting.await) } else { cut(deleting, end).await };
        self.written(node, &ranks, answer);
    }

    /// The source changes under a guard, which may be lost before its end.
    async fn guard(&self, rng: &mut fastrand::Rng, node: usize, key: u32, end: Cut) {
        // Without leases there are no guards.
        let Some(Ok(guard)) = cut(self.caches[node].write_guard(&key), end).await else { return };
        self.purged(node, &[key]);
        // Nothing of the key comes into L1 while its guard lives, whatever becomes of L2.
        let wait = rng.u64(..60);
        pause(if rng.bool() { wait } else { 0 }, rng.usize(..3)).await;
        self.purged(node, &[key]);
        self.world.write_source(key, rng.u8(..5) > 0);
        pause(if rng.bool() { wait } else { 0 }, rng.usize(..3)).await;
        self.purged(node, &[key]);
        if rng.u8(..4) == 0 {
            // Lost: what began under it counts no more, and nothing older stays.
            let rank = self.world.invalidating(node, key, "guard lost");
            drop(guard);
            self.purged(node, &[key]);
            self.world.acknowledged(node, key, rank);
            return;
        }
        let rank = self.world.invalidating(node, key, "guard");
        let answer = cut(guard.finish(), end).await;
        self.written(node, &[(key, rank)], answer);
    }

    /// L1 is purged when the method returns, before its future is polled.
    fn purged(&self, node: usize, keys: &[u32]) {
        for &key in keys {
            if self.caches[node].try_get(&key) != Lookup::Miss {
                self.world.wrong(node, key, "L1 has the key after the call");
            }
        }
    }

    fn clear(&self, node: usize) {
        let keys: Vec<u32> = (0..self.keys).collect();
        let ranks: Vec<_> = keys.iter().map(|&key| (key, self.world.invalidating(node, key, "clear"))).collect();
        drop(self.caches[node].clear());
        self.purged(node, &keys);
        self.written(node, &ranks, Some(Ok(())));
    }

    async fn get_or_load(&self, rng: &mut fastrand::Rng, node: usize, key: u32, end: Cut) {
        let (world, source) = (&self.world, self.source.clone());
        let start = world.start(node, key, "get_or_load");
        if rng.u16(..400) == 0 {
            // A body that never ends; `loader_timeout` ends it.
            let body = async {
                let _running = Running { world: world.clone(), node, keys: vec![key] };
                std::future::pending::<Result<Option<Val>, Down>>().await
            };
            if let Some(answer) = cut(self.caches[node].get_or_load(&key, body), end).await {
                self.read_body(start, answer);
            }
            return;
        }
        // A panicking body would unwind through the test's own task.
        let body = async move { source.load(node, key).await };
        let body = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(body));
        let body = async move { body.await.unwrap_or(Err(Down { keys: vec![key] })) };
        if let Some(answer) = cut(self.caches[node].get_or_load(&key, body), end).await {
            self.read_body(start, answer);
        }
    }

    fn read_body(&self, start: Start, answer: CacheResult<Option<Val>>) {
        match answer {
            Ok(value) => self.world.answered(start, value, true),
            Err(error) => self.world.erred(start, &error),
        }
    }

    async fn begin(&self, rng: &mut fastrand::Rng, node: usize, key: u32, end: Cut) {
        let cache: &dyn Cache<u32, Val> = &self.caches[node];
        let start = self.world.start(node, key, "begin");
        let begin = match rng.bool() {
            true => cache.begin(&key),
            false => match cache.hit_or_begin(&key) {
                Probe::Hit(hit) => CacheFuture::ready(Begin::Hit(hit)),
                Probe::Begin(begin) => begin,
            },
        };
        if let Some(begun) = cut(begin, end).await {
            self.begun(rng, start, node, key, begun).await;
        }
    }

    async fn begin_many(&self, rng: &mut fastrand::Rng, node: usize, end: Cut) {
        let cache: &dyn Cache<u32, Val> = &self.caches[node];
        let keys = self.some_keys(rng);
        let starts: Vec<_> = keys.iter().map(|&key| self.world.start(node, key, "begin_many")).collect();
        let Some(batch) = cut(cache.begin_many(&keys), end).await else { return };
        for (i, value) in batch.hits {
            self.world.answered(starts[i], value, true);
        }
        // What another node loads is waited for, or not.
        let waits = rng.u8(..4) > 0;
        let (mut busy, ours): (Vec<_>, _) = batch.led.into_iter().partition(|(_, ticket)| waits && ticket.is_busy());
        for (i, ticket) in ours {
            self.lead(rng, starts[i], node, keys[i], ticket).await;
        }
        while !busy.is_empty() {
            let Some(known) = cut(LoadTicket::wait(&mut busy), Cut::any(rng)).await else { break };
            for (i, begun) in known {
                self.begun(rng, starts[i], node, keys[i], begun).await;
            }
        }
        drop(busy);
        for (i, followed) in batch.followed {
            let end = Cut::any(rng);
            if let Some(begun) = cut(followed, end).await {
                self.begun(rng, starts[i], node, keys[i], begun).await;
            }
        }
    }

    async fn begun(&self, rng: &mut fastrand::Rng, start: Start, node: usize, key: u32, begun: Begin<Val>) {
        match begun {
            Begin::Hit(value) => self.world.answered(start, value, true),
            Begin::Lead(ticket) => self.lead(rng, start, node, key, ticket).await,
            Begin::Failed(failed) => self.world.erred(start, failed.error()),
            other => self.world.wrong(node, key, &format!("{other:?}")),
        }
    }

    /// The holder of a ticket loads, fills it, fails it, or gives it up.
    async fn lead(&self, rng: &mut fastrand::Rng, start: Start, node: usize, key: u32, ticket: LoadTicket<Val>) {
        let limit = self.source.limit_ms;
        let own = own_ttl(rng, 12);
        let wait = if rng.u8(..30) == 0 { rng.u64(..limit * 3) } else { rng.u64(..limit / 2) };
        let (before, after) = (if rng.bool() { wait } else { 0 }, if rng.bool() { wait } else { 0 });
        pause(before, rng.usize(..3)).await;
        let read = self.world.read_source(node, key);
        pause(after, rng.usize(..3)).await;
        let fail = |world: &World| world.failed(node, &[key]);
        match rng.u8(..10) {
            0 => drop(ticket),
            1 => {
                fail(&self.world);
                let stale = ticket.stale();
                ticket.fail(CacheError::loader(Down { keys: vec![key] }));
                if let Ok(value) = stale.ok_or(()) {
                    self.world.answered(start, value, true);
                }
            }
            _ => {
                let loaded = Loaded::from(self.world.loaded(node, key, read, own));
                ticket.fill(match own {
                    Some(own) => loaded.ttl(own),
                    None => loaded,
                });
            }
        }
    }
}
