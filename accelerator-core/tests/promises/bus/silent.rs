//! A bus that does nothing says so: in the log, in the cache's health, and by its gauge. For the tests of buses with a server.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use accelerator_core::testkit::MemoryL1;
use accelerator_core::{BusHealth, BusState, InvalidationBus, LevelCache};
use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Level, Subscriber};

/// The topic of the caches here.
pub(crate) const TOPIC: &str = "accelerator:silent";
/// Long enough for a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cache with this bus, and the warnings since it is there.
struct Node {
    cache: LevelCache<u64, u64, MemoryL1<u64, u64>>,
    warnings: Warnings,
    _here: tracing::subscriber::DefaultGuard,
}

impl Node {
    fn new(bus: impl InvalidationBus) -> Self {
        every_thread_is_asked();
        let warnings = Warnings::default();
        let here = tracing::subscriber::set_default(warnings.clone());
        let builder = LevelCache::<u64, u64>::builder().area("silent").l1(MemoryL1::new()).bus(bus);
        let builder = builder.ttl(Duration::from_secs(60)).l2_timeout(PATIENCE);
        let cache = builder.loader(|id| async move { Ok::<_, std::io::Error>(Some(id)) }).build();
        Self { cache: cache.expect("a good configuration"), warnings, _here: here }
    }

    fn health(&self) -> BusHealth {
        self.cache.bus_health().expect("a bus")
    }

    fn last_gap(&self) -> &'static str {
        self.health().last_gap.map_or("none", |gap| gap.cause)
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < PATIENCE, "{what}: {:?}, {:?}", self.health(), self.warnings);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// One warning says it, and the gauge and the health agree.
    fn is_said_once(&self, says: &[&str], connected: u64) {
        assert_eq!(self.warnings.of(says), 1, "{says:?}: {:?}", self.warnings);
        assert_eq!((self.health().hears_itself, self.gauge()), (connected == 1, connected), "{:?}", self.health());
    }

    fn gauge(&self) -> u64 {
        let gauges = Gauges::default();
        with_local_recorder(&gauges, || self.cache.report_metrics());
        let all = gauges.0.lock().expect("no panic");
        all.get("accelerator_cache_bus_connected").expect("the gauge").0.load(SeqCst)
    }
}

/// No server is where the bus looks for one.
pub(crate) async fn no_server(bus: impl InvalidationBus, says: &[&str]) {
    let node = Node::new(bus);
    node.until("a gap", |node| node.last_gap() == "disconnected").await;
    for key in 0..20 {
        node.cache.del(&key).await.expect_err("no other node was told");
    }
    node.is_said_once(says, 0);
    node.is_said_once(&["area = silent", "cause = \"disconnected\""], 0);
    let health = node.health();
    assert_eq!((health.state, health.unpublished, health.up_for), (BusState::Suspect, 20, None), "{health:?}");
}

/// The user of the server may listen, and not publish.
pub(crate) async fn may_not_publish(bus: impl InvalidationBus, says: &[&str]) {
    let node = Node::new(bus);
    node.until("listening", |node| node.health().state == BusState::Up).await;
    for key in 0..20 {
        node.cache.del(&key).await.expect_err("no other node was told");
    }
    node.is_said_once(says, 0);
    assert_eq!(node.health().unpublished, 20, "{:?}", node.health());
}

/// The user of the server may publish, and not listen.
pub(crate) async fn may_not_listen(bus: impl InvalidationBus, says: &[&str]) {
    let node = Node::new(bus);
    node.until("a gap", |node| node.last_gap() == "refused").await;
    for key in 0..20 {
        node.cache.del(&key).await.expect("other nodes were told");
    }
    node.is_said_once(says, 0);
    node.is_said_once(&["area = silent", "cause = \"refused\""], 0);
    assert_eq!(node.health().state, BusState::Suspect, "{:?}", node.health());
}

/// Another program publishes to the topic. The bus works, so its gauge stays at 1; each of the messages is a gap.
pub(crate) async fn a_stranger_publishes(bus: impl InvalidationBus, publish: impl Fn(&[u8])) {
    let node = Node::new(bus);
    node.until("a working bus", |node| node.health().hears_itself).await;
    let words: [&[u8]; 5] = [b"", b"{\"temperature\": 21}", b"\0", &[0xff; 4096], b"CB\x01\x01and something else"];
    for (n, word) in (1..).zip(words) {
        assert_eq!(node.cache.get(&7).await.expect("loads"), Some(7));
        publish(word);
        node.until("a gap", |node| node.cache.stats().gaps.undecodable == n).await;
        assert_eq!((node.last_gap(), node.cache.stats().receives_failed), ("undecodable", n));
    }
    assert_eq!(node.cache.get(&7).await.expect("loads"), Some(7));
    assert_eq!(node.cache.stats().loads_ok, 6, "after each L1 is forgotten");
    node.cache.del(&7).await.expect("other nodes were told");
    node.until("its own message", |node| node.health().hears_itself).await;
    node.is_said_once(&["area = silent", "cause = \"undecodable\""], 1);
}

/// Where there is one subscriber, whoever says a line first decides for all threads whether anybody wants it: a test without
/// a log would silence those that have one. So there are two more, for as long as the process lives.
pub(crate) fn every_thread_is_asked() {
    static OTHERS: LazyLock<[Dispatch; 2]> = LazyLock::new(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::default())));
    LazyLock::force(&OTHERS);
}

/// The warnings, one text each.
#[derive(Clone, Debug, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// How many say all of this.
    fn of(&self, words: &[&str]) -> usize {
        let all = self.0.lock().expect("no panic");
        all.iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

struct Reader(String);

impl Visit for Reader {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!("{field} = {value:?}; ");
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn event(&self, event: &Event<'_>) {
        let mut reader = Reader(String::new());
        event.record(&mut reader);
        self.0.lock().expect("no panic").push(reader.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The gauges by name.
#[derive(Default)]
struct Gauges(Mutex<BTreeMap<String, Arc<Value>>>);

#[derive(Default)]
struct Value(AtomicU64);

impl GaugeFn for Value {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
    fn set(&self, value: f64) {
        self.0.store(u64::from(value > 0.0), SeqCst);
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut all = self.0.lock().expect("no panic");
        Gauge::from_arc(all.entry(key.name().to_owned()).or_default().clone())
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
