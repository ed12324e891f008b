//! Model test: random operations, faults, races and cancellations against an oracle that knows which answers are
//! right (`model/world.rs`). One thread, paused time, deterministic by seed.
//!
//! `ACCELERATOR_MODEL_OPS` sets how many operations, `ACCELERATOR_SEED` the seed. The run is cut into episodes, each
//! with a cache (or two that share an L2) of a random configuration; `ACCELERATOR_EPISODE` runs one of them alone.

#[path = "model/ops.rs"]
mod ops;
#[path = "model/watched.rs"]
mod watched;
#[path = "model/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, MemoryL1, MemoryL2, Op, Then};
use accelerator_core::{
    CacheResult, L1Store, L2Store, LevelCache, LevelCacheBuilder, Limits, NoL1, ReadOptions, StoreErrorKind,
};

use ops::{Env, Source, Verb};
use watched::Watched;
use world::{Facts, Val, World};

const OPS_PER_EPISODE: usize = 500;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One configuration.
#[derive(Clone, Debug)]
struct Config {
    l1: Option<usize>,
    l2: bool,
    leases: bool,
    nodes: usize,
    keys: u32,
    l1_ttl: u64,
    l2_ttl: u64,
    null_ttl: Option<u64>,
    stale: u64,
    window: Option<u64>,
    jitter: f64,
    one: bool,
    many: bool,
    loader_timeout: u64,
    l2_timeout: Option<u64>,
    max_batch: usize,
    /// Most operations at once.
    at_once: usize,
}

impl Config {
    fn any(rng: &mut fastrand::Rng) -> Self {
        let levels = rng.u8(..5);
        let (l1, l2) = (levels != 0, levels != 1);
        let (one, many) = [(true, false), (false, true), (true, true), (true, false), (false, false)][rng.usize(..5)];
        let l2_ttl = [200, 1_000, 4_000][rng.usize(..3)];
        let l1_ttl = l2_ttl / [1, 1, 4][rng.usize(..3)];
        let window = (l1 && (one || many) && rng.u8(..3) == 0).then(|| l1_ttl / rng.u64(2..6));
        Self {
            l1: l1.then(|| [usize::MAX, usize::MAX, 6][rng.usize(..3)]),
            l2,
            leases: l2 && rng.bool(),
            nodes: if l2 && rng.u8(..4) == 0 { 2 } else { 1 },
            keys: [4, 12, 20][rng.usize(..3)],
            l1_ttl,
            l2_ttl,
            null_ttl: [None, Some(60), Some(500)][rng.usize(..3)],
            stale: [0, 0, 300, 2_500][rng.usize(..4)],
            window,
            jitter: [0.0, 0.0, 0.5][rng.usize(..3)],
            one,
            many,
            loader_timeout: [60, 200][rng.usize(..2)],
            l2_timeout: [None, None, Some(30)][rng.usize(..3)],
            max_batch: [2, 3, 256][rng.usize(..3)],
            at_once: [1, 8, 24, 32][rng.usize(..4)],
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            nodes: self.nodes,
            has_loader: self.one || self.many,
            ttl_ms: if self.l2 { self.l2_ttl } else { self.l1_ttl },
            null_ttl_ms: self.null_ttl,
            stale_ms: self.stale,
            loader_timeout_ms: self.loader_timeout,
        }
    }

    fn cache<L1: L1Store<u32, Val> + Clone>(
        &self,
        builder: LevelCacheBuilder<u32, Val, L1>,
        node: usize,
        source: &Arc<Source>,
        l2: Option<&Faulty<MemoryL2>>,
    ) -> CacheResult<LevelCache<u32, Val, L1>> {
        let mut builder = builder
            .area("model")
            .l1_ttl(ms(self.l1_ttl))
            .l2_ttl(ms(self.l2_ttl))
            .ttl_jitter_ratio(self.jitter)
            .stale_on_error(ms(self.stale))
            .loader_timeout(ms(self.loader_timeout))
            .max_batch(self.max_batch)
            .clock(source.world.clock.clone());
        builder = match self.null_ttl {
            Some(ttl) => builder.null_ttl(ms(ttl)),
            None => builder.cache_null_value(false),
        };
        if let Some(l2) = l2 {
            builder = builder.l2(Watched { store: l2.clone(), world: source.world.clone(), node });
        }
        if let Some(window) = self.window {
            builder = builder.refresh_ahead_window(ms(window));
        }
        if let Some(limit) = self.l2_timeout {
            builder = builder.l2_timeout(ms(limit));
        }
        if self.one {
            let source = source.clone();
            builder = builder.loader(move |key| source.clone().load(node, key));
        }
        if self.many {
            let source = source.clone();
            builder = builder.batch_loader(move |keys| source.clone().load_many(node, keys));
        }
        builder.build()
    }
}

/// Counts an operation that runs, however it ends.
struct InFlight<L1>(Arc<Env<L1>>);

impl<L1> Drop for InFlight<L1> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Moves both clocks, without waiting for anybody: what is due runs among everything else.
async fn pass<L1>(env: &Env<L1>, by: Duration) {
    env.world.clock.tick(by);
    tokio::time::advance(by).await;
}

fn any_fault(rng: &mut fastrand::Rng, l2: &MemoryL2, foreign: &[u8]) -> Fault {
    let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::Rejected, StoreErrorKind::Protocol];
    let kind = kinds[rng.usize(..3)];
    let garbage = |rng: &mut fastrand::Rng| match (rng.choice(l2.keys()).and_then(|key| l2.peek(&key)), rng.u8(..3)) {
        // A value with a flipped bit.
        (Some(bytes), 0) => {
            let mut bytes = bytes.to_vec();
            let at = rng.usize(..bytes.len());
            bytes[at] ^= 1 << rng.u8(..8);
            bytes
        }
        // A reply meant for another key.
        (_, 1) => foreign.to_vec(),
        _ => (0..rng.usize(..60)).map(|_| rng.u8(..)).collect(),
    };
    match rng.u8(..12) {
        0..5 => Fault::Delay(ms(rng.u64(..60))),
        5 => Fault::Delay(ms(rng.u64(..400))),
        6 => Fault::Hang,
        7 => Fault::LostReply(Then::Hang),
        8 => Fault::LostReply(Then::Error(kind)),
        9 => Fault::Garbage(garbage(rng).into()),
        10 => Fault::at([rng.usize(..3)], Fault::Error(kind)),
        _ => Fault::Error(kind),
    }
}

/// Something about L2 changes.
fn trouble(rng: &mut fastrand::Rng, l2: &Faulty<MemoryL2>, foreign: &[u8]) {
    let any_fault = |rng: &mut fastrand::Rng| any_fault(rng, l2.inner(), foreign);
    let with_leases = [Op::Lease, Op::Fill, Op::Renew, Op::Set, Op::Del, Op::Get, Op::Release, Op::Hold, Op::Unhold];
    let ops = if l2.inner().limits().leases { &with_leases[..] } else { &[Op::Get, Op::Set, Op::Del] };
    match rng.u8(..100) {
        0..60 => {
            for _ in 0..rng.usize(1..4) {
                l2.push_for(ops[rng.usize(..ops.len())], any_fault(rng));
            }
        }
        60..75 => l2.always_for(ops[rng.usize(..ops.len())], Some(any_fault(rng))),
        75..78 => l2.always(Some(Fault::Error(StoreErrorKind::Unavailable))),
        78..80 => l2.inner().wipe(),
        _ => l2.heal(),
    }
}

async fn operate<L1: L1Store<u32, Val> + Clone>(
    rng: &mut fastrand::Rng,
    env: &Arc<Env<L1>>,
    config: &Config,
    ops: usize,
    foreign: &[u8],
) {
    for _ in 0..ops {
        let mut passes = 0;
        while env.running.load(Ordering::Relaxed) >= config.at_once && passes < 3_000 {
            passes += 1;
            pass(env, ms(rng.u64(1..20))).await;
        }
        if passes == 3_000 {
            // `end` says what hangs.
            return;
        }
        if let Some(l2) = &env.l2
            && rng.u8(..8) == 0
        {
            trouble(rng, l2, foreign);
        }
        env.running.fetch_add(1, Ordering::Relaxed);
        let (guard, op) = (InFlight(env.clone()), env.clone().run(rng.fork(), Verb::any(rng)));
        tokio::spawn(async move {
            let _guard = guard;
            op.await;
        });
        match rng.u8(..20) {
            0..11 => {}
            11..17 => {
                for _ in 0..rng.usize(1..6) {
                    tokio::task::yield_now().await;
                }
            }
            _ => pass(env, ms([1, 2, 5, 10, 30, 100, 250, 1_100][rng.usize(..8)])).await,
        }
    }
}

/// Lets everything end. `false`: something doesn't.
async fn rest<L1: L1Store<u32, Val> + Clone>(env: &Arc<Env<L1>>) -> bool {
    let flights = || env.caches.iter().map(|cache| cache.stats().flights).sum::<usize>();
    for _ in 0..3_000 {
        if env.running.load(Ordering::Relaxed) == 0 && flights() == 0 {
            return true;
        }
        pass(env, ms(10)).await;
    }
    let (running, flights) = (env.running.load(Ordering::Relaxed), flights());
    env.world.wrong(0, 0, &format!("after 30 s {running} operations run and {flights} flights are left"));
    false
}

/// L2 works: all deletes that it did not confirm are sent, and none after a later write of the key was confirmed.
async fn confirmed_writes_stay<L1: L1Store<u32, Val> + Clone>(env: &Arc<Env<L1>>, l2: &Faulty<MemoryL2>) {
    let unconfirmed = || env.caches.iter().map(|cache| cache.stats().unconfirmed).sum::<usize>();
    for _ in 0..500 {
        if unconfirmed() > 0 {
            pass(env, ms(20)).await;
        }
    }
    if unconfirmed() > 0 {
        env.world.wrong(0, 0, "deletes are left, though L2 works");
        return;
    }
    // A set beside a guard is a delete: the holds of dropped guards last 10 s.
    pass(env, ms(10_001)).await;
    // What began meanwhile ends: it would take the faults that follow.
    if !rest(env).await {
        return;
    }
    let deletes = l2.calls(Op::Del);
    for (node, cache) in env.caches.iter().enumerate() {
        for key in 0..env.keys {
            l2.push_for(Op::Set, Fault::Error(StoreErrorKind::Unavailable));
            let given_up = cache.set(&key, env.world.setting(node, key, true, None)).await;
            let confirmed = cache.set(&key, env.world.setting(node, key, true, None)).await;
            if given_up.is_ok() || confirmed.is_err() || cache.stats().unconfirmed > 0 {
                env.world.wrong(node, key, "a confirmed set doesn't end the delete of the one before");
            }
        }
    }
    // The recovery's pauses begin with 20 ms.
    pass(env, ms(100)).await;
    if l2.calls(Op::Del) > deletes {
        env.world.wrong(0, 0, "a delete was sent after a later set was confirmed");
    }
}

/// Lets everything end, and looks at what is left.
async fn end<L1: L1Store<u32, Val> + Clone>(env: &Arc<Env<L1>>, config: &Config) {
    env.source.healthy.store(true, Ordering::Relaxed);
    if let Some(l2) = &env.l2 {
        l2.heal();
    }
    if !rest(env).await {
        return;
    }
    env.world.all_acknowledged();
    for (node, cache) in env.caches.iter().enumerate() {
        for key in 0..env.keys {
            let start = env.world.start(node, key, "last get");
            match cache.get(&key).await {
                Ok(None) if !(config.one || config.many) => {}
                Ok(value) => env.world.answered(start, value, true),
                // The throttle may still answer the last error.
                Err(error) => env.world.erred(start, &error),
            }
        }
    }
    if let Some(l2) = &env.l2 {
        confirmed_writes_stay(env, l2).await;
    }
    for (node, cache) in env.caches.iter().enumerate() {
        for key in 0..env.keys {
            // Nothing else runs: a forced load and a load after an invalidation get what the source has now.
            let (force, loads) = (key % 2 == 0, config.one || config.many);
            let options = ReadOptions::new().force_refresh(force);
            if !force {
                let rank = env.world.invalidating(node, key, "last del");
                if let Err(e) = cache.del(&key).await {
                    env.world.wrong(node, key, &format!("the last del answered {e:?}"));
                }
                env.world.acknowledged(node, key, rank);
            }
            // A refresh may run; a forced read would join it.
            rest(env).await;
            let start = env.world.start(node, key, "very last get");
            match cache.get_with(&key, options).await {
                Ok(None) if !loads => {}
                Ok(_) if force && !loads => {}
                Ok(value) => env.world.answered_now(start, value),
                Err(e) => env.world.wrong(node, key, &format!("the very last get answered {e:?}")),
            }
        }
    }
    rest(env).await;
}

/// What L2 has for a key that nobody asks for, of the same area.
async fn foreign_value(config: &Config, source: &Arc<Source>) -> Vec<u8> {
    let l2 = Faulty::new(MemoryL2::with_clock(source.world.clock.clone()));
    let other = config.cache(LevelCache::builder().l1(MemoryL1::new()), 0, source, Some(&l2)).expect("a cache");
    other.set(&1_000, Some((1_000, u64::MAX))).await.expect("no faults yet");
    l2.inner().keys().first().and_then(|key| l2.inner().peek(key)).map(|bytes| bytes.to_vec()).unwrap_or_default()
}

async fn episode<L1: L1Store<u32, Val> + Clone>(
    rng: &mut fastrand::Rng,
    config: &Config,
    ops: usize,
    builder: impl Fn() -> LevelCacheBuilder<u32, Val, L1>,
) -> (u64, Vec<String>) {
    let world = Arc::new(World::new(config.facts(), config.keys));
    let l2 = config.l2.then(|| {
        let l2 = MemoryL2::with_clock(world.clock.clone());
        // So short that loads outlast them.
        let leases = Limits::default().leases(true).shortest_lease(ms(60));
        Faulty::new(if config.leases { l2.with_limits(leases) } else { l2 })
    });
    let limit_ms = config.loader_timeout;
    let source = Arc::new(Source { world: world.clone(), healthy: AtomicBool::new(false), limit_ms });
    let caches = (0..config.nodes).map(|node| config.cache(builder(), node, &source, l2.as_ref()));
    let caches = caches.collect::<CacheResult<Vec<_>>>().expect("a valid configuration");
    let foreign = foreign_value(config, &source).await;
    let env = Arc::new(Env { world, caches, l2, keys: config.keys, running: AtomicUsize::new(0), source });
    operate(rng, &env, config, ops, &foreign).await;
    // Time that stands still while all wait runs on to here.
    if tokio::time::timeout(ms(100_000_000), end(&env, config)).await.is_err() {
        env.world.wrong(0, 0, "the last operations hang");
    }
    env.world.verdict()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn random_operations_keep_the_promises() {
    let total = number("ACCELERATOR_MODEL_OPS").map_or(100_000, |ops| usize::try_from(ops).unwrap_or(usize::MAX));
    let seed = number("ACCELERATOR_SEED").unwrap_or(1);
    let only = number("ACCELERATOR_EPISODE");
    let (mut done, mut violations, mut at) = (0, 0, 0_u64);
    while done < total {
        let ops = OPS_PER_EPISODE.min(total - done);
        (done, at) = (done + ops, at + 1);
        if only.is_some_and(|only| only != at) {
            continue;
        }
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ at);
        // The engine's jitter and the source's behaviour are drawn from the thread's generator.
        fastrand::seed(rng.u64(..));
        let config = Config::any(&mut rng);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let (found, reports) = runtime.expect("a runtime").block_on(async {
            match config.l1 {
                Some(capacity) => {
                    let l1 = || LevelCache::builder().l1(MemoryL1::with_capacity(capacity));
                    episode(&mut rng, &config, ops, l1).await
                }
                None => episode::<NoL1>(&mut rng, &config, ops, LevelCache::builder).await,
            }
        });
        if found > 0 && violations < 10 {
            println!("episode {at} of seed {seed}: {found} violations with {config:?}\n{}", reports.join("\n"));
        }
        violations += found;
    }
    println!("model ops={done} violations={violations} seed={seed}");
    assert_eq!(violations, 0, "wrong answers; the first are above");
}
