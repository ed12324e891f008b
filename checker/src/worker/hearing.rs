//! A node whose cache has an L1 and hears of other nodes' writes.

use std::sync::Arc;
use std::time::Duration;

use accelerator::stores::QuickCacheL1;
use accelerator::{BusEvent, BusState, Delays, Gaps, InvalidationBus, L1Store};
use anyhow::{Context, ensure};
use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::event::{Message, News, Setup, Summary, Verb};
use crate::row::{Id, Row};
use crate::time::now;
use crate::worker::caches::{Near, hearing, store_and_bus};
use crate::worker::calls::nanos;
use crate::worker::client::Client;
use crate::worker::journal::{Journal, Outbox};
use crate::worker::lossy::Lossy;
use crate::worker::operations::{SETTLE, Shared, Space};
use crate::worker::probe::Probe;
use crate::worker::source::Source;
use crate::worker::{Order, rest};

/// Longer than any node takes to listen again.
const GIVE_UP: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(2);

/// Which keys are set: a quarter, and each by one process alone, as two nodes that set one key are not ordered.
#[derive(Clone, Copy)]
pub(crate) struct Setters {
    pub(crate) process: usize,
    pub(crate) processes: usize,
    /// A `set` that is given up may come late, so none is sent where L2 is interrupted.
    pub(crate) sets: bool,
}

impl Setters {
    /// Whether this process may change the key.
    fn may_change(self, id: Id) -> bool {
        !is_set(id) || (id as usize / 4) % self.processes == self.process
    }
}

fn is_set(id: Id) -> bool {
    id % 4 == 3
}

impl<L1: L1Store<Id, Row>> Space<L1> {
    pub(crate) async fn heard_step(&self, setters: Setters, random: &mut fastrand::Rng) {
        let id = self.pick(random);
        match random.u32(..1000) {
            0..660 => self.get(id).await,
            660..720 => self.mget(self.several(random)).await,
            720..760 => self.get_or_load(id).await,
            760..780 => self.force_refresh(id).await,
            780..800 => self.cancelled_get(id, random.u64(..3000)).await,
            800..860 => self.lookup(id).await,
            860..870 => {
                let mut ids = self.several(random);
                ids.retain(|id| !is_set(*id));
                self.mdel(ids).await;
            }
            _ if !setters.may_change(id) => self.get(id).await,
            _ if is_set(id) => self.set_own(id, setters.sets).await,
            870..985 => self.del(id).await,
            985..995 => self.forgotten_del(id).await,
            _ => self.write_guard(id, false).await,
        }
    }

    async fn set_own(&self, id: Id, sets: bool) {
        let Some(turn) = self.shared.turns.get(id as usize) else { return };
        let _turn = turn.lock().await;
        if !sets {
            return self.del(id).await;
        }
        let version = self.shared.client.write(id).await;
        let begin = now();
        let done = self.cache.set(&id, Row::of(id, version)).await;
        self.shared.calls.ended(Verb::Set, begin);
        self.invalidated(Verb::Set, id, begin, version, done.is_ok());
    }
}

struct Node {
    space: Arc<Space<QuickCacheL1<Id, Row>>>,
    tasks: Vec<JoinHandle<()>>,
    /// As it is, whatever the cache gets.
    bus: Option<Arc<dyn InvalidationBus>>,
    probe: Option<Probe>,
    process: usize,
}

impl Node {
    fn new(setup: &Setup, keys: Id, setters: Setters, client: Client, journal: Arc<Journal>) -> anyhow::Result<Self> {
        let source = Source { client: client.clone(), journal: journal.clone() };
        let (store, bus) = store_and_bus(setup)?;
        let probe = store.clone().map(|store| Probe::new(store, setup.process)).transpose()?;
        let (loss, blind) = (setup.bus.loss, setup.bus.blind);
        let heard = bus.clone().map(|bus| Arc::new(Lossy { bus, loss, blind }) as Arc<dyn InvalidationBus>);
        let cache = hearing(keys, store, heard, source)?;
        let shared = Shared::new(client, journal, keys, None, Some(setters));
        let space = Space { cache, keys: 0..keys, shared, pause: Some(Duration::from_millis(1)) };
        Ok(Self { space: Arc::new(space), tasks: Vec::new(), bus, probe, process: setup.process })
    }

    fn cache(&self) -> &Near {
        &self.space.cache
    }

    /// Returns when L2 works, this node is heard by those who listen, and its cache hears and owes nothing.
    async fn recover(&self) -> anyhow::Result<String> {
        let mut tried = String::new();
        if let Some(probe) = &self.probe {
            tried = probe.recover().await;
        }
        let begin = Instant::now();
        if let Some(bus) = &self.bus {
            let topic = format!("probe-{}", self.process);
            timeout(GIVE_UP, hears_itself(bus.as_ref(), &topic)).await.context("the bus does not work again")?;
        }
        while !self.is_well() {
            ensure!(begin.elapsed() < GIVE_UP, "the cache does not get well: {:?}", self.cache().bus_health());
            sleep(LOOK).await;
        }
        Ok(format!("{tried}; the bus after another {} ms", begin.elapsed().as_millis()))
    }

    fn is_well(&self) -> bool {
        let stats = self.cache().stats();
        let hears = stats.bus == BusState::Up || self.bus.is_none();
        hears && stats.unpublished == 0 && stats.unconfirmed == 0
    }

    /// Ends all tasks, and waits for what the node owes to others.
    async fn stop(&mut self) -> anyhow::Result<Summary> {
        self.space.shared.stop();
        for task in self.tasks.drain(..) {
            task.await?;
        }
        let begin = Instant::now();
        while (self.cache().stats().flights > 0 || !self.is_well()) && begin.elapsed() < SETTLE {
            sleep(LOOK).await;
        }
        let stats = self.cache().stats();
        let mut summary = self.space.shared.calls.summary();
        summary.hits = stats.l1_hits + stats.l2_hits;
        summary.loads = stats.loads();
        summary.flights_left = stats.flights;
        summary.unconfirmed_left = stats.unconfirmed;
        let health = self.cache().bus_health();
        let delays = |of: Option<Delays>| of.map_or([0; 3], |of| [of.p50, of.p99, of.max].map(nanos));
        summary.news = News {
            published: stats.published,
            publishes_failed: stats.publishes_failed,
            received: stats.received,
            gaps: causes(&stats.gaps),
            delivery: delays(health.as_ref().map(|health| health.delivery)),
            echo: delays(health.as_ref().map(|health| health.echo)),
            unpublished_left: stats.unpublished,
        };
        Ok(summary)
    }
}

/// Returns when what is published from now on comes back.
async fn hears_itself(bus: &dyn InvalidationBus, topic: &str) {
    let mut heard = bus.listen(topic);
    loop {
        let listens = async { while heard.next().await.is_some_and(|event| event != BusEvent::Listening) {} };
        // A connection that was listening before says it at once, whether it lives or not.
        listens.await;
        let word = fastrand::u64(..).to_le_bytes().to_vec();
        if bus.publish(topic, word.clone().into()).await.is_ok() {
            let back = async {
                loop {
                    match heard.next().await {
                        Some(BusEvent::Message(bytes)) if bytes[..] == word[..] => return true,
                        Some(BusEvent::Message(_)) => {}
                        _ => return false,
                    }
                }
            };
            if timeout(Duration::from_secs(5), back).await == Ok(true) {
                return;
            }
        }
        heard = bus.listen(topic);
        sleep(LOOK).await;
    }
}

fn causes(gaps: &Gaps) -> Vec<(String, u64)> {
    let all = [
        ("disconnected", gaps.disconnected),
        ("no_answer", gaps.no_answer),
        ("overflow", gaps.overflow),
        ("refused", gaps.refused),
        ("skipped", gaps.skipped),
        ("trailing", gaps.trailing),
        ("unheard", gaps.unheard),
        ("undecodable", gaps.undecodable),
        ("asleep", gaps.asleep),
    ];
    all.into_iter().filter(|(_, n)| *n > 0).map(|(cause, n)| (cause.to_owned(), n)).collect()
}

pub(crate) async fn run(
    setup: &Setup,
    keys: Id,
    (seed, setters): (u64, Setters),
    client: Client,
    journal: Arc<Journal>,
    outbox: &Outbox,
    orders: &mut UnboundedReceiver<Order>,
) -> anyhow::Result<()> {
    let mut node = Node::new(setup, keys, setters, client, journal)?;
    if let Some(probe) = &node.probe {
        probe.begin().await?;
    }
    node.recover().await?;
    outbox.send(&Message::Ready);
    while let Some(order) = orders.recv().await {
        match order {
            Order::Go => {
                let seed = seed.wrapping_add(setup.process as u64 * 1_000_003);
                let tasks = (0..setup.tasks as u64).map(|task| node.space.clone().work(seed.wrapping_add(task)));
                node.tasks = tasks.map(tokio::spawn).collect();
            }
            Order::Warm => {}
            // Nothing else is ordered until all have recovered.
            Order::Back { at } => {
                let tried = node.recover().await?;
                outbox.send(&Message::Recovered { took: now().saturating_sub(at), tried });
            }
            Order::Stop => {
                let summary = node.stop().await?;
                // Before the end, all that happened.
                outbox.flush();
                outbox.send(&Message::Ended(Box::new(summary)));
            }
            Order::Rest => {
                let mut events = rest::all(node.cache(), 0..keys).await?;
                // One looks at L2 itself as well. The server is the checker's own: nothing is removed.
                if setup.l2 && setup.process == 0 {
                    events.extend(rest::look_only(setup, keys).await?);
                }
                outbox.send(&Message::Journal { until: u64::MAX, ops: 0, events });
            }
        }
    }
    Ok(())
}
