//! The main mode: random operations until the parent says stop.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use accelerator::{L1Store, LevelCache, Stats};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::event::{Message, Setup};
use crate::row::{Id, Row};
use crate::worker::calls::Calls;
use crate::worker::client::Client;
use crate::worker::journal::{Journal, Outbox};
use crate::worker::reading::Readings;
use crate::worker::source::Source;
use crate::worker::{Order, caches, rest};

/// For detached work to end, and for queued deletes to be sent.
const SETTLE: Duration = Duration::from_secs(10);

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
    stop: AtomicBool,
}

/// A cache, and the keys that are asked of it.
pub(crate) struct Space<L1> {
    pub(crate) cache: LevelCache<Id, Row, L1>,
    pub(crate) keys: Range<Id>,
    pub(crate) shared: Arc<Shared>,
    /// After each operation: hits in L1 would leave no time for others.
    pause: Option<Duration>,
}

impl<L1: L1Store<Id, Row>> Space<L1> {
    async fn work(self: Arc<Self>, seed: u64) {
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

pub(crate) async fn run(
    setup: &Setup,
    keys: Keys,
    seed: u64,
    client: Client,
    journal: Arc<Journal>,
    outbox: &Outbox,
    orders: &mut UnboundedReceiver<Order>,
) -> anyhow::Result<()> {
    let store = crate::backend::store(setup.backend, &setup.url, &setup.prefix, setup.leases)?;
    let source = Source { client: client.clone(), journal: journal.clone() };
    let shared = Arc::new(Shared {
        client,
        journal,
        calls: Calls::start(),
        readings: Readings::new(keys.all),
        stop: AtomicBool::new(false),
    });
    let far = Arc::new(Space {
        cache: caches::far(store.clone(), source.clone())?,
        keys: 0..keys.near,
        shared: shared.clone(),
        pause: None,
    });
    let near = Arc::new(Space {
        cache: caches::near(store.clone(), source)?,
        keys: keys.near..keys.all,
        shared: shared.clone(),
        pause: Some(Duration::from_millis(1)),
    });
    let probe = Arc::new(super::probe::Probe::new(store, setup.process)?);
    probe.recover().await;
    outbox.send(&Message::Ready);

    let mut tasks = Vec::new();
    let mut memory = None;
    while let Some(order) = orders.recv().await {
        match order {
            Order::Go => {
                for task in 0..setup.tasks as u64 {
                    // One in eight, and one at least, has an L1.
                    let seed = seed.wrapping_add(setup.process as u64 * 1_000_003 + task);
                    tasks.push(tokio::spawn(far.clone().work(seed)));
                    if task % 8 == 0 {
                        tasks.push(tokio::spawn(near.clone().work(!seed)));
                    }
                }
            }
            Order::Warm => memory = super::memory::resident_kib(),
            Order::Back { at } => {
                let (probe, outbox) = (probe.clone(), outbox.clone());
                tokio::spawn(async move {
                    let tried = probe.recover().await;
                    let took = crate::time::now().saturating_sub(at);
                    outbox.send(&Message::Recovered { took, tried });
                });
            }
            Order::Stop => {
                shared.stop.store(true, Relaxed);
                for task in tasks.drain(..) {
                    task.await?;
                }
                let growth = super::memory::resident_kib().zip(memory).map_or(0, |(now, then)| now - then);
                let stats = [far.settle().await, near.settle().await];
                far.cache.shutdown(SETTLE).await;
                near.cache.shutdown(SETTLE).await;
                outbox.flush();
                let mut summary = shared.calls.summary();
                summary.rss_growth_kib = growth;
                for stats in &stats {
                    summary.hits += stats.l1_hits + stats.l2_hits;
                    summary.loads += stats.loads();
                    summary.flights_left += stats.flights;
                }
                outbox.send(&Message::Ended(summary));
            }
            Order::Rest => {
                let events = rest::look(setup, keys).await?;
                outbox.send(&Message::Journal { until: u64::MAX, ops: 0, events });
            }
        }
    }
    Ok(())
}
