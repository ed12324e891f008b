//! Every future of the public API is dropped at every point where it waits: right after it was polled there, and again
//! after it was woken but before it was polled. Nobody else may be harmed, no flight may be left, and the cache must
//! still answer what the source has.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use accelerator_core::memoize::repeat::Often;
use accelerator_core::memoize::{self, Read, Write, sharing};
use accelerator_core::testkit::{Fault, Faulty, ManualClock, MemoryL1, MemoryL2};
use accelerator_core::{
    Begin, BoxFuture, Cache, CacheResult, ErrorKind, L1Store, LevelCache, LoadTicket, Loaded, NoL1, ReadOptions,
    Tickets, WriteOptions,
};
use tokio::task::JoinHandle;
use tokio::time::sleep;

const KEY: u32 = 7;
const KEYS: [u32; 4] = [6, KEY, 8, KEY];
const L2_TAKES: Duration = Duration::from_millis(3);
const A_LOAD_TAKES: Duration = Duration::from_millis(5);
const LOADER_TIMEOUT: Duration = Duration::from_millis(500);
/// Simulated milliseconds in which everybody else must be done: far below `loader_timeout`, which would also end a wait
/// for a leader that disappeared without a word.
const SOON_MS: usize = 100;
/// Simulated milliseconds after which something hangs.
const PATIENCE_MS: usize = 3_000;

/// The source: a version per key; its value is made of both.
#[derive(Default)]
struct Source([AtomicU64; 16]);

impl Source {
    fn value(&self, key: u32) -> u64 {
        u64::from(key) * 1_000 + self.0[key as usize].load(Ordering::Relaxed)
    }

    fn write(&self, key: u32) -> u64 {
        self.0[key as usize].fetch_add(1, Ordering::Relaxed);
        self.value(key)
    }

    fn write_many(&self) -> [(u32, Option<u64>); 3] {
        [6, KEY, 8].map(|key| (key, Some(self.write(key))))
    }

    async fn load(self: Arc<Self>, key: u32) -> Result<Option<u64>, std::io::Error> {
        let value = self.value(key);
        sleep(A_LOAD_TAKES).await;
        tokio::task::yield_now().await;
        Ok(Some(value))
    }

    async fn load_many(self: Arc<Self>, keys: Vec<u32>) -> Result<HashMap<u32, Option<u64>>, std::io::Error> {
        let values = keys.into_iter().map(|key| (key, Some(self.value(key)))).collect();
        sleep(A_LOAD_TAKES).await;
        Ok(values)
    }
}

#[derive(Clone, Copy, Debug)]
enum Levels {
    L1,
    L2,
    Both,
}

/// What goes on when the operation begins.
#[derive(Clone, Copy, Debug)]
enum Others {
    Nobody,
    /// Somebody has begun to read the key.
    Reads,
    /// Somebody has begun to read the key as part of a batch.
    ReadsMany,
    /// Somebody holds the key's ticket, and will fill it.
    Fills,
    /// Somebody holds the key's ticket, and will give it up.
    GivesUp,
    /// Somebody joins when the operation has begun.
    Joins,
    /// Two with a future of their own join.
    JoinWithBodies,
    /// A batch joins.
    JoinMany,
}

#[derive(Clone, Copy, Debug)]
struct Situation {
    levels: Levels,
    /// L2 has the values.
    warm: bool,
    /// Values come from a batch loader.
    many: bool,
    /// L2 has leases.
    leases: bool,
    others: Others,
}

type Op = fn(Env) -> BoxFuture<'static, ()>;

#[derive(Clone)]
struct Env {
    cache: LevelCache<u32, u64>,
    l2: Faulty<MemoryL2>,
    source: Arc<Source>,
    clock: ManualClock,
}

impl Env {
    async fn new(situation: Situation) -> Self {
        let (clock, source) = (ManualClock::new(), Arc::new(Source::default()));
        let l2 = MemoryL2::with_clock(clock.clone());
        let l2 = Faulty::new(if situation.leases { l2.with_leases() } else { l2 });
        let l1: Arc<dyn L1Store<u32, u64>> = match situation.levels {
            Levels::L2 => Arc::new(NoL1),
            _ => Arc::new(MemoryL1::new()),
        };
        let build = |l1: Arc<dyn L1Store<u32, u64>>| {
            let builder = LevelCache::builder().area("c").l1(l1).ttl(Duration::from_secs(60)).max_batch(2);
            let builder = builder.clock(clock.clone()).loader_timeout(LOADER_TIMEOUT);
            let from = source.clone();
            let builder = if situation.many {
                builder.batch_loader(move |keys| from.clone().load_many(keys))
            } else {
                builder.loader(move |key| from.clone().load(key))
            };
            let builder = if matches!(situation.levels, Levels::L1) { builder } else { builder.l2(l2.clone()) };
            builder.build().expect("a valid configuration")
        };
        if situation.warm {
            let items = KEYS.map(|key| (key, Some(source.value(key))));
            build(Arc::new(NoL1)).mset(items).await.expect("nothing fails yet");
        }
        l2.always(Some(Fault::Delay(L2_TAKES)));
        Self { cache: build(l1), l2, source, clock }
    }

    /// One simulated millisecond.
    async fn pass(&self) {
        let step = Duration::from_millis(1);
        self.clock.tick(step);
        tokio::time::advance(step).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    /// What `task` ends with.
    async fn outcome<T: Debug>(&self, task: JoinHandle<T>, what: &str) -> T {
        for _ in 0..SOON_MS {
            if task.is_finished() {
                break;
            }
            self.pass().await;
        }
        assert!(task.is_finished(), "{what}: somebody else waits for it");
        task.await.expect("no panic")
    }

    fn dynamic(&self) -> Arc<dyn Cache<u32, u64>> {
        Arc::new(self.cache.clone())
    }

    /// What the holder of a ticket does.
    async fn fill(&self, key: u32, ticket: LoadTicket<u64>) {
        let value = self.source.value(key);
        sleep(A_LOAD_TAKES).await;
        ticket.fill(Loaded::value(value));
    }

    async fn follow(&self, key: u32, begun: Begin<u64>) {
        if let Begin::Lead(ticket) = begun {
            self.fill(key, ticket).await;
        }
    }
}

fn ops() -> Vec<(&'static str, Op)> {
    vec![
        ("get", |e| Box::pin(async move { drop(e.cache.get(&KEY).await) })),
        ("get_with(force_refresh)", |e| {
            Box::pin(async move { drop(e.cache.get_with(&KEY, ReadOptions::new().force_refresh(true)).await) })
        }),
        ("get_with(disable_load)", |e| {
            Box::pin(async move { drop(e.cache.get_with(&KEY, ReadOptions::new().disable_load(true)).await) })
        }),
        ("lookup", |e| Box::pin(async move { _ = e.cache.lookup(&KEY).await })),
        ("mget", |e| Box::pin(async move { drop(e.cache.mget(&KEYS).await) })),
        ("mget_with(force_refresh)", |e| {
            Box::pin(async move { drop(e.cache.mget_with(&KEYS, ReadOptions::new().force_refresh(true)).await) })
        }),
        ("mget_with(disable_load)", |e| {
            Box::pin(async move { drop(e.cache.mget_with(&KEYS, ReadOptions::new().disable_load(true)).await) })
        }),
        ("get_or_load", |e| Box::pin(async move { drop(e.cache.get_or_load(&KEY, e.source.clone().load(KEY)).await) })),
        ("warmup", |e| Box::pin(async move { _ = e.cache.warmup([5, 6, KEY, 8, 9]).await })),
        ("set", |e| {
            let writing = e.cache.set(&KEY, e.source.write(KEY));
            Box::pin(async move { drop(writing.await) })
        }),
        ("set_with(zero ttl)", |e| {
            let writing = e.cache.set_with(&KEY, e.source.write(KEY), WriteOptions::new().ttl(Duration::ZERO));
            Box::pin(async move { drop(writing.await) })
        }),
        ("mset", |e| {
            let items = e.source.write_many();
            let writing = e.cache.mset(items);
            Box::pin(async move { drop(writing.await) })
        }),
        ("del", |e| {
            e.source.write(KEY);
            let deleting = e.cache.del(&KEY);
            Box::pin(async move { drop(deleting.await) })
        }),
        ("mdel", |e| {
            e.source.write_many();
            let deleting = e.cache.mdel(&KEYS);
            Box::pin(async move { drop(deleting.await) })
        }),
        ("write_guard", |e| {
            Box::pin(async move {
                // Without leases there are no guards.
                let Ok(guard) = e.cache.write_guard(&KEY).await else { return };
                e.source.write(KEY);
                drop(guard.finish().await);
            })
        }),
        ("clear", |e| {
            e.source.write_many();
            let clearing = e.cache.clear();
            Box::pin(async move { drop(clearing.await) })
        }),
        ("begin", |e| {
            Box::pin(async move {
                let begun = Tickets::begin(&e.cache, &KEY).await;
                e.follow(KEY, begun).await;
            })
        }),
        ("begin_many", |e| {
            Box::pin(async move {
                let batch = Tickets::begin_many(&e.cache, &KEYS).await;
                for (i, ticket) in batch.led {
                    e.fill(KEYS[i], ticket).await;
                }
                for (i, followed) in batch.followed {
                    let begun = followed.await;
                    e.follow(KEYS[i], begun).await;
                }
            })
        }),
        ("dyn get", |e| Box::pin(async move { drop(e.dynamic().get(&KEY).await) })),
        ("dyn set", |e| Box::pin(async move { drop(e.dynamic().set(&KEY, Some(e.source.write(KEY))).await) })),
        ("dyn mset", |e| {
            Box::pin(async move {
                let items = e.source.write_many();
                drop(e.dynamic().mset(items.to_vec()).await);
            })
        }),
        ("dyn del", |e| {
            Box::pin(async move {
                e.source.write(KEY);
                drop(e.dynamic().del(&KEY).await);
            })
        }),
        ("dyn mdel", |e| {
            Box::pin(async move {
                e.source.write_many();
                drop(e.dynamic().mdel(&KEYS).await);
            })
        }),
        ("memoize::cacheable", |e| {
            Box::pin(async move {
                let read = Read::new();
                let begun = memoize::begin(&e.cache, &KEY, &read).await;
                drop(memoize::cacheable(begun, read, sharing::Alone, || e.source.clone().load(KEY)).await);
            })
        }),
        ("memoize::cacheable_batch", |e| {
            Box::pin(async move {
                let read = Read::new();
                let begun = memoize::begin_batch(&e.cache, &KEYS, &read).await;
                let body = |keys| e.source.clone().load_many(keys);
                drop(memoize::cacheable_batch(begun, read, sharing::Alone, body).await);
            })
        }),
        ("memoize::cacheable_batch_in_rounds", |e| {
            Box::pin(async move {
                let read = Read::new();
                let begun = memoize::begin_batch(&e.cache, &KEYS, &read).await;
                let body = |keys| e.source.clone().load_many(keys);
                drop(memoize::cacheable_batch_in_rounds(begun, read, sharing::Alone, Often, body).await);
            })
        }),
        ("memoize::cache_put", |e| {
            Box::pin(async move {
                let what = |(): &()| Some((KEY, e.source.write(KEY)));
                _ = memoize::cache_put(&e.cache, Ok::<_, ()>(()), Write::new(), what).await;
            })
        }),
        ("memoize::cache_evict", |e| {
            Box::pin(async move {
                e.source.write(KEY);
                _ = memoize::cache_evict(&e.cache, Ok::<_, ()>(()), Write::new(), |()| Some(KEY)).await;
            })
        }),
        ("memoize::cache_evict_batch", |e| {
            Box::pin(async move {
                e.source.write_many();
                _ = memoize::cache_evict_batch(&e.cache, Ok::<_, ()>(()), Write::new(), |()| Some(KEYS)).await;
            })
        }),
        ("shutdown", |e| Box::pin(async move { _ = e.cache.shutdown(Duration::from_millis(20)).await })),
    ]
}

fn situations() -> Vec<Situation> {
    use Others::{Fills, GivesUp, JoinMany, JoinWithBodies, Joins, Nobody, Reads, ReadsMany};
    let mut all = Vec::new();
    for levels in [Levels::L1, Levels::L2, Levels::Both] {
        for (warm, leases) in [(false, false), (true, false), (false, true), (true, true)] {
            if matches!(levels, Levels::L1) && (warm || leases) {
                continue;
            }
            for many in [false, true] {
                for others in [Nobody, Reads, ReadsMany, Fills, GivesUp, Joins, JoinWithBodies, JoinMany] {
                    all.push(Situation { levels, warm, many, leases, others });
                }
            }
        }
    }
    all
}

/// Those who are there beside the operation, with what they get.
struct Witnesses(Vec<JoinHandle<Vec<CacheResult<Option<u64>>>>>);

impl Witnesses {
    fn get(&mut self, env: &Env) {
        let env = env.clone();
        self.0.push(tokio::spawn(async move { vec![env.cache.get(&KEY).await] }));
    }

    fn get_or_load(&mut self, env: &Env) {
        let env = env.clone();
        let body = env.source.clone().load(KEY);
        self.0.push(tokio::spawn(async move { vec![env.cache.get_or_load(&KEY, body).await] }));
    }

    fn mget(&mut self, env: &Env) {
        let env = env.clone();
        self.0.push(tokio::spawn(async move { env.cache.mget(&[KEY, 8, KEY]).await.into_results() }));
    }

    /// Holds the ticket of the key for a while.
    fn hold(&mut self, env: &Env, fill: bool) {
        let env = env.clone();
        self.0.push(tokio::spawn(async move {
            match Tickets::begin(&env.cache, &KEY).await {
                Begin::Lead(ticket) if fill => env.fill(KEY, ticket).await,
                Begin::Lead(ticket) => {
                    sleep(A_LOAD_TAKES).await;
                    drop(ticket);
                }
                _ => {}
            }
            vec![]
        }));
    }

    async fn before(&mut self, env: &Env, others: Others) {
        match others {
            Others::Reads => self.get(env),
            Others::ReadsMany => self.mget(env),
            Others::Fills => self.hold(env, true),
            Others::GivesUp => self.hold(env, false),
            _ => return,
        }
        // Far enough to have begun.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }

    fn after(&mut self, env: &Env, others: Others) {
        match others {
            Others::Joins => self.get(env),
            Others::JoinMany => self.mget(env),
            Others::JoinWithBodies => {
                self.get_or_load(env);
                self.get_or_load(env);
            }
            _ => {}
        }
    }
}

/// Remembers that it was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs the operation up to the `n`-th point where it waits and drops it there, at once or when it was woken.
/// `false`: it has ended before.
async fn drop_at(n: usize, woken_first: bool, name: &str, op: Op, situation: Situation) -> bool {
    let what = format!("{name} dropped at point {n} (woken first: {woken_first}) in {situation:?}");
    let env = Env::new(situation).await;
    let old: Vec<u64> = KEYS.iter().map(|&key| env.source.value(key)).collect();
    let mut witnesses = Witnesses(Vec::new());
    witnesses.before(&env, situation.others).await;

    let mut future = op(env.clone());
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let (mut ended, mut joined) = (false, false);
    for _ in 0..n {
        woken.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(()) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            ended = true;
            break;
        }
        if !joined {
            joined = true;
            witnesses.after(&env, situation.others);
        }
        for _ in 0..PATIENCE_MS {
            if woken.0.load(Ordering::Relaxed) {
                break;
            }
            env.pass().await;
        }
        assert!(woken.0.load(Ordering::Relaxed), "{what}: it waits for ever");
    }
    if !woken_first && !ended {
        // One more poll, and out.
        ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    }
    if !joined {
        witnesses.after(&env, situation.others);
    }
    drop(future);

    let shut = name == "shutdown" && (n > 0 || !woken_first);
    let new: Vec<u64> = KEYS.iter().map(|&key| env.source.value(key)).collect();
    for task in witnesses.0 {
        for answer in env.outcome(task, &what).await {
            match answer {
                Ok(Some(value)) => assert!(old.contains(&value) || new.contains(&value), "{what}: {value}"),
                Err(e) if shut => assert_eq!(e.kind(), ErrorKind::Shutdown, "{what}"),
                other => assert_eq!(other.ok().flatten(), Some(0), "{what}: somebody else got nothing"),
            }
        }
    }
    let leased = || KEYS.iter().find(|key| env.l2.inner().is_leased(&format!("c.{key}")));
    for _ in 0..PATIENCE_MS {
        if env.cache.stats().flights == 0 && leased().is_none() {
            break;
        }
        env.pass().await;
    }
    assert_eq!((env.cache.stats().flights, leased()), (0, None), "{what}: flights or leases are left");
    // Now nothing runs, and the cache is as good as before.
    for key in [6, KEY, 8] {
        let reader = env.clone();
        let reading = tokio::spawn(async move { reader.cache.get(&key).await });
        match env.outcome(reading, &what).await {
            Err(e) if shut => assert_eq!(e.kind(), ErrorKind::Shutdown, "{what}"),
            answer => {
                let answer = answer.expect(&what);
                assert_eq!(answer, Some(env.source.value(key)), "{what}: afterwards, for key {key}");
            }
        }
    }
    assert_eq!(env.cache.stats().flights, 0, "{what}: flights are left at the end");
    !ended
}

#[test]
fn every_future_may_be_dropped_at_every_await() {
    let (mut futures, mut points) = (0, 0);
    for situation in situations() {
        for (name, op) in ops() {
            futures += 1;
            for woken_first in [true, false] {
                for n in 0..1_000 {
                    // A runtime each: nothing of one run is left to another.
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
                    let runtime = runtime.expect("a runtime");
                    if !runtime.block_on(drop_at(n, woken_first, name, op, situation)) {
                        break;
                    }
                    points += 1;
                }
            }
        }
    }
    println!("futures={futures} await_points={points} flights_left=0");
    assert!(futures > 500 && points > futures, "too few: {points} points of {futures} futures");
}
