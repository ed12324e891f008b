//! The main mode: random operations until the parent says stop.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use accelerator::stores::QuickCacheL1;
use accelerator::{L1Store, L2Store, LevelCache, NoL1, Stats};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::event::{Guards, Message, Setup, Summary};
use crate::row::{Id, Row};
use crate::time::now;
use crate::worker::calls::Calls;
use crate::worker::client::Client;
use crate::worker::hearing::Setters;
use crate::worker::journal::{Journal, Outbox};
use crate::worker::memory::resident_kib;
use crate::worker::probe::Probe;
use crate::worker::reading::Readings;
use crate::worker::source::Source;
use crate::worker::{Order, caches, rest};

/// For detached work to end, and for queued deletes to be sent.
pub(super) const SETTLE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) all: Id,
    /// The first that is cached in L1 as well.
    pub(crate) near: Id,
}

/// What all tasks of a worker use.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) journal: Arc<Journal>,
    pub(crate) calls: Calls,
    pub(crate) readings: Readings,
    /// Where writers guard: how.
    pub(crate) guards: Option<Guards>,
    /// Where other nodes hear of writes: who sets what.
    pub(crate) setters: Option<Setters>,
    /// The turns of writers, by key.
    pub(crate) turns: Vec<tokio::sync::Mutex<()>>,
    stop: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        client: Client,
        journal: Arc<Journal>,
        keys: Id,
        guards: Option<Guards>,
        setters: Option<Setters>,
    ) -> Arc<Self> {
        let (calls, readings) = (Calls::start(), Readings::new(keys));
        let with_turns = guards.is_some() || setters.is_some();
        let turns = (0..if with_turns { keys } else { 0 }).map(|_| tokio::sync::Mutex::default()).collect();
        let stop = AtomicBool::new(false);
        Arc::new(Self { client, journal, calls, readings, guards, setters, turns, stop })
    }

    /// All tasks end with what they do now.
    pub(super) fn stop(&self) {
        self.stop.store(true, Relaxed);
    }
}

/// A cache, and the keys that are asked of it.
pub(crate) struct Space<L1> {
    pub(crate) cache: LevelCache<Id, Row, L1>,
    pub(crate) keys: Range<Id>,
    pub(crate) shared: Arc<Shared>,
    /// After each operation: hits in L1 would leave no time for others.
    pub(super) pause: Option<Duration>,
}

impl<L1: L1Store<Id, Row>> Space<L1> {
    pub(super) async fn work(self: Arc<Self>, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        while !self.shared.stop.load(Relaxed) {
            self.step(&mut random).await;
            self.shared.journal.ops.fetch_add(1, Relaxed);
            if let Some(pause) = self.pause {
                tokio::time::sleep(pause).await;
            }
            while self.shared.journal.is_full() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn settle(&self) -> Stats {
        let begin = tokio::time::Instant::now();
        while self.cache.stats().flights > 0 && begin.elapsed() < SETTLE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.cache.stats()
    }
}

/// The caches of this process, and the tasks that use them.
struct Node {
    far: Arc<Space<NoL1>>,
    near: Arc<Space<QuickCacheL1<Id, Row>>>,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Node {
    fn new(
        store: &Arc<dyn L2Store>,
        keys: Keys,
        guards: Option<Guards>,
        client: Client,
        journal: Arc<Journal>,
    ) -> anyhow::Result<Self> {
        let source = Source { client: client.clone(), journal: journal.clone() };
        let shared = Shared::new(client, journal, keys.all, guards, None);
        let far = Space {
            cache: caches::far(store.clone(), source.clone())?,
            keys: 0..keys.near,
            shared: shared.clone(),
            pause: None,
        };
        let near = Space {
            cache: caches::near(store.clone(), source)?,
            keys: keys.near..keys.all,
            shared: shared.clone(),
            pause: Some(Duration::from_millis(1)),
        };
        Ok(Self { far: Arc::new(far), near: Arc::new(near), shared, tasks: Vec::new() })
    }

    fn go(&mut self, tasks: usize, seed: u64) {
        for task in 0..tasks as u64 {
            let seed = seed.wrapping_add(task);
            self.tasks.push(tokio::spawn(self.far.clone().work(seed)));
            // One in eight, and one at least, has an L1.
            if task % 8 == 0 {
                self.tasks.push(tokio::spawn(self.near.clone().work(!seed)));
            }
        }
    }

    /// Ends all tasks, then the caches. `memory`: what this process had when it was warm, in KiB.
    async fn stop(&mut self, memory: Option<i64>) -> anyhow::Result<Summary> {
        self.shared.stop();
        for task in self.tasks.drain(..) {
            task.await?;
        }
        let growth = resident_kib().zip(memory).map_or(0, |(now, then)| now - then);
        let stats = [self.far.settle().await, self.near.settle().await];
        let ends = [self.far.cache.shutdown(SETTLE).await, self.near.cache.shutdown(SETTLE).await];
        let mut summary = self.shared.calls.summary();
        summary.rss_growth_kib = growth;
        summary.unconfirmed_left = ends.iter().map(|end| end.unconfirmed).sum();
        for stats in &stats {
            summary.hits += stats.l1_hits + stats.l2_hits;
            summary.loads += stats.loads();
            summary.flights_left += stats.flights;
        }
        Ok(summary)
    }
}

pub(crate) async fn run(
    setup: &Setup,
    keys: Keys,
    (seed, guards): (u64, Option<Guards>),
    client: Client,
    journal: Arc<Journal>,
    outbox: &Outbox,
    orders: &mut UnboundedReceiver<Order>,
) -> anyhow::Result<()> {
    let store = crate::backend::store(setup.backend, &setup.url, &setup.prefix, setup.leases)?;
    let mut node = Node::new(&store, keys, guards, client, journal)?;
    let probe = Arc::new(Probe::new(store, setup.process)?);
    probe.begin().await?;
    outbox.send(&Message::Ready);
    let mut memory = None;
    while let Some(order) = orders.recv().await {
        match order {
            Order::Go => node.go(setup.tasks, seed.wrapping_add(setup.process as u64 * 1_000_003)),
            Order::Warm => memory = resident_kib(),
            Order::Back { at } => {
                let (probe, outbox) = (probe.clone(), outbox.clone());
                tokio::spawn(async move {
                    let tried = probe.recover().await;
                    let took = now().saturating_sub(at);
                    outbox.send(&Message::Recovered { took, tried });
                });
            }
            Order::Stop => {
                let summary = node.stop(memory).await?;
                // Before the end, all that happened.
                outbox.flush();
                outbox.send(&Message::Ended(Box::new(summary)));
            }
            Order::Rest => {
                let events = rest::look(setup, keys).await?;
                outbox.send(&Message::Journal { until: u64::MAX, ops: 0, events });
            }
        }
    }
    Ok(())
}
