//! What a recorder of the crate `metrics` gets, and when.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accelerator_core::testkit::{ManualClock, MemoryBus, MemoryL1, MemoryL2, settle};
use accelerator_core::{BUS_METRIC_NAMES, ErrorKind, GapCause, Json, LevelCache, METRIC_NAMES};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_default_local_recorder, with_local_recorder,
};

type Level = LevelCache<u64, u64, MemoryL1<u64, u64>>;

/// By name and labels.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, Arc<Sum>>>>, Arc<Mutex<BTreeMap<String, String>>>);

#[derive(Default)]
struct Sum(AtomicU64);

impl CounterFn for Sum {
    fn increment(&self, by: u64) {
        self.0.fetch_add(by, SeqCst);
    }
    fn absolute(&self, _: u64) {
        unreachable!("totals of two caches would hide each other");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder for Heard {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        assert_eq!(unit, Some(Unit::Count));
        lock(&self.1).insert(name.as_str().to_owned(), help.into_owned());
    }
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.sum(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.sum(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.sum(key))
    }
}

impl GaugeFn for Sum {
    fn increment(&self, _: f64) {
        unreachable!("a gauge is set");
    }
    fn decrement(&self, _: f64) {
        unreachable!("a gauge is set");
    }
    fn set(&self, value: f64) {
        self.0.store(value as u64, SeqCst);
    }
}

/// Counts what it gets.
impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        assert!((0.0..60.0).contains(&value), "{value} s");
        self.0.fetch_add(1, SeqCst);
    }
}

impl Heard {
    fn sum(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let id = format!("{}{{{}}}", key.name(), labels.join(","));
        lock(&self.0).entry(id).or_default().clone()
    }

    /// `None`: there is no such counter.
    fn of(&self, name: &str, area: &str) -> Option<u64> {
        let id = format!("accelerator_cache_{name}_total{{area={area}}}");
        lock(&self.0).get(&id).map(|sum| sum.0.load(SeqCst))
    }

    fn all(&self, area: &str, names: &[&str]) -> Vec<u64> {
        names.iter().map(|name| self.of(name, area).expect("a counter of this name")).collect()
    }
}

fn cache(area: &str) -> Level {
    let builder = LevelCache::<u64, u64>::builder().area(area).l1(MemoryL1::new()).ttl(Duration::from_secs(60));
    builder.loader(|id| async move { Ok::<_, std::io::Error>(Some(id)) }).build().expect("a good configuration")
}

async fn reads(cache: &Level, keys: impl IntoIterator<Item = u64>) {
    for key in keys {
        assert_eq!(cache.get(&key).await.expect("loads"), Some(key));
    }
}

#[test]
fn all_counters_are_there_before_anything_has_happened_with_the_area_and_a_description() {
    let heard = Heard::default();
    with_local_recorder(&heard, || cache("user").report_metrics());
    let heard_of: Vec<_> = lock(&heard.0).keys().cloned().collect();
    let mut names: Vec<_> = METRIC_NAMES.iter().map(|name| format!("{name}{{area=user}}")).collect();
    names.sort();
    assert_eq!(heard_of, names);
    assert!(lock(&heard.0).values().all(|sum| sum.0.load(SeqCst) == 0));
    let described = lock(&heard.1);
    assert!(METRIC_NAMES.iter().all(|name| described.get(*name).is_some_and(|help| help.ends_with('.'))));
}

#[tokio::test(start_paused = true)]
async fn each_counter_has_the_number_of_its_events() {
    let heard = Heard::default();
    let _recorder = set_default_local_recorder(&heard);
    let clock = ManualClock::new();
    let l2 = MemoryL2::with_clock(clock.clone());
    let away = Arc::new(AtomicBool::new(false));
    let source = away.clone();
    let load = move |key: u64| {
        let away = source.load(SeqCst);
        async move {
            match key {
                90 => std::future::pending().await,
                91 => panic!("a panic of the loader"),
                _ if away => Err(std::io::Error::other("away")),
                _ => Ok(Some(key)),
            }
        }
    };
    let builder = || {
        let builder = LevelCache::<u64, u64>::builder().area("a").clock(clock.clone()).ttl(Duration::from_secs(60));
        builder
            .l1_ttl(Duration::from_secs(60))
            .l2(l2.clone())
            .l1(MemoryL1::new())
            .stale_on_error(Duration::from_secs(600))
    };
    let (ten, window) = (Duration::from_millis(10), Duration::from_secs(10));
    let other = builder().build().expect("a good configuration");
    other.set(&1, 1).await.expect("a write");
    let cache = builder().refresh_ahead_window(window).loader_timeout(ten).loader(load).build().expect("good");
    // From L2; from L1; loaded; timed out; panicked.
    cache.get(&1).await.expect("in L2");
    cache.get(&1).await.expect("in L1");
    cache.get(&2).await.expect("loads");
    assert_eq!(cache.get(&90).await.map_err(|e| e.kind()), Err(ErrorKind::Timeout));
    assert_eq!(cache.get(&91).await.map_err(|e| e.kind()), Err(ErrorKind::Panic));
    // Two refreshes, of which one fails.
    clock.advance(Duration::from_secs(55)).await;
    cache.get(&1).await.expect("in L1");
    settle().await;
    away.store(true, SeqCst);
    cache.get(&2).await.expect("in L1");
    settle().await;
    // A stale value.
    clock.advance(Duration::from_secs(8)).await;
    assert_eq!(cache.get(&2).await.expect("stale"), Some(2));
    cache.report_metrics();
    let expected = [
        ("local_hit", 3),
        ("local_miss", 5),
        ("remote_hit", 1),
        // Loads, refreshes and the one that had only a stale value to find.
        ("remote_miss", 6),
        ("load", 6),
        ("load_success", 2),
        ("load_timeout", 1),
        ("load_error", 3),
        ("stale_fallback", 1),
        ("refresh_attempts", 2),
        ("refresh_success", 1),
        ("refresh_failures", 1),
        ("invalidation_publish", 0),
        ("invalidation_publish_failures", 0),
        ("invalidation_receive", 0),
        ("invalidation_receive_failures", 0),
    ];
    let got = expected.map(|(name, _)| (name, heard.of(name, "a").expect("a counter of this name")));
    assert_eq!(got, expected);
}

#[tokio::test(start_paused = true)]
async fn values_that_are_not_taken_are_reported_by_cause() {
    let heard = Heard::default();
    let _recorder = set_default_local_recorder(&heard);
    let l2 = MemoryL2::new();
    let hour = Duration::from_secs(3_600);
    let builder = || LevelCache::<u64, f64>::builder().area("x").share_area(true).ttl(hour).l2(l2.clone());
    builder().schema_version(1).build().expect("good").set(&1, 1.0).await.expect("a write");
    builder().codec(Json).build().expect("good").set(&2, 2.0).await.expect("a write");
    l2.put_raw("x.3", vec![0xC7, 0x20], hour);
    l2.put_raw("x.4", "nonsense", hour);
    let cache = builder().build().expect("good");
    for key in [1, 2, 3, 4] {
        assert_eq!(cache.get(&key).await.expect("a miss"), None);
    }
    cache.report_metrics();
    let names = ["undecodable", "foreign_schema", "foreign_codec", "foreign_version", "trial_failed", "too_large"];
    let names = names.map(|name| format!("remote_{name}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(heard.all("x", &names), [4, 1, 1, 1, 0, 0]);
    let json = builder().codec(Json).build().expect("good");
    assert_eq!(json.set(&1, f64::NAN).await.map_err(|e| e.kind()), Err(ErrorKind::Codec));
    json.report_metrics();
    assert_eq!(heard.of("remote_trial_failed", "x"), Some(1));
    let short = builder().max_value_bytes(47).build().expect("good");
    assert_eq!(short.set(&1, 1.0).await.map_err(|e| e.kind()), Err(ErrorKind::Codec));
    assert_eq!(short.get(&1).await.expect("a miss"), None);
    short.report_metrics();
    assert_eq!(heard.of("remote_too_large", "x"), Some(2));
}

#[tokio::test]
async fn an_event_is_reported_once_however_many_clones_report() {
    let heard = Heard::default();
    let _recorder = set_default_local_recorder(&heard);
    let cache = cache("user");
    let clone = cache.clone();
    reads(&cache, [1, 1, 1]).await;
    cache.report_metrics();
    clone.report_metrics();
    assert_eq!(heard.all("user", &["local_hit", "local_miss", "load_success"]), [2, 1, 1]);
    reads(&clone, [1, 2]).await;
    cache.report_metrics();
    clone.report_metrics();
    assert_eq!(heard.all("user", &["local_hit", "local_miss", "load_success"]), [3, 2, 2]);
}

#[tokio::test]
async fn caches_have_counters_of_their_own_and_those_of_one_area_add_up() {
    let heard = Heard::default();
    let _recorder = set_default_local_recorder(&heard);
    let (users, orders) = (cache("user"), cache("order"));
    reads(&users, [1, 2]).await;
    reads(&orders, [1]).await;
    users.report_metrics();
    orders.report_metrics();
    assert_eq!((heard.of("load", "user"), heard.of("load", "order")), (Some(2), Some(1)));
    drop(users);
    let again = cache("user");
    reads(&again, [1]).await;
    again.report_metrics();
    assert_eq!(heard.of("load", "user"), Some(3), "a counter never goes back");
}

#[test]
fn reports_at_the_same_time_report_each_event_once() {
    let heard = Heard::default();
    let cache = cache("user");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(reads(&cache, 0..10));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                with_local_recorder(&heard, || {
                    for _ in 0..500 {
                        let _ = cache.try_get(&1);
                        cache.report_metrics();
                    }
                });
            });
        }
    });
    with_local_recorder(&heard, || cache.report_metrics());
    assert_eq!((heard.of("local_hit", "user"), heard.of("load", "user")), (Some(2000), Some(10)));
}

#[tokio::test(start_paused = true)]
async fn a_task_reports_at_once_every_period_and_last_of_all_what_a_dropped_cache_has_counted() {
    let heard = Heard::default();
    let _recorder = set_default_local_recorder(&heard);
    let cache = cache("user");
    let period = Duration::from_secs(10);
    let task = tokio::spawn(cache.report_metrics_every(period));
    settle().await;
    assert_eq!(heard.of("load", "user"), Some(0));
    reads(&cache, [1]).await;
    tokio::time::sleep(period - Duration::from_millis(1)).await;
    assert_eq!(heard.of("load", "user"), Some(0), "nothing between reports");
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(heard.of("load", "user"), Some(1));
    reads(&cache, [2, 3]).await;
    drop(cache);
    tokio::time::sleep(period).await;
    assert!(task.is_finished(), "it does not keep the cache");
    assert_eq!(task.await.expect("no panic").map_err(|e| e.kind()), Ok(()));
    assert_eq!(heard.of("load", "user"), Some(3));
}

#[tokio::test(start_paused = true)]
async fn what_an_aborted_task_did_not_report_is_in_the_next_report() {
    let heard = Heard::default();
    let _recorder = set_default_local_recorder(&heard);
    let cache = cache("user");
    let task = tokio::spawn(cache.report_metrics_every(Duration::ZERO));
    settle().await;
    reads(&cache, [1]).await;
    task.abort();
    settle().await;
    assert_eq!(heard.of("load", "user"), Some(0));
    cache.report_metrics();
    assert_eq!(heard.of("load", "user"), Some(1));
}

#[test]
fn a_period_outside_of_a_runtime_is_an_error_after_one_report() {
    use futures_util::FutureExt;
    let heard = Heard::default();
    let cache = cache("user");
    let ended = with_local_recorder(&heard, || cache.report_metrics_every(Duration::from_secs(1)).now_or_never());
    assert_eq!(ended.expect("ready").map_err(|e| e.kind()), Err(ErrorKind::NoRuntime));
    assert_eq!(heard.of("load", "user"), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_cache_with_a_bus_reports_what_it_tells_hears_and_misses() {
    let heard = Heard::default();
    let _recorder = set_default_local_recorder(&heard);
    let bus = MemoryBus::new();
    let build = |area: &str, bus: MemoryBus| {
        let builder = LevelCache::<u64, u64>::builder().area(area).l1(MemoryL1::new()).ttl(Duration::from_secs(60));
        builder.bus(bus).build().expect("a good configuration")
    };
    let (a, b) = (build("a", bus.clone()), build("a", bus.node()));
    settle().await;
    let of = |name: &str| lock(&heard.0).get(&format!("accelerator_cache_{name}")).map(|sum| sum.0.load(SeqCst));
    a.mdel(&[1, 2]).await.expect("told");
    settle().await;
    a.report_metrics();
    b.report_metrics();
    for _ in 0..2 {
        assert_eq!(of("invalidation_publish_total{area=a}"), Some(2));
        assert_eq!(of("invalidation_receive_total{area=a}"), Some(2));
        assert_eq!(of("invalidation_gap_total{area=a,cause=no_answer}"), Some(0));
        assert_eq!(of("bus_connected{area=a}"), Some(1));
        assert_eq!(of("invalidation_delay_seconds{area=a,of=others}"), Some(1));
        // The hellos, and the message.
        assert_eq!(of("invalidation_delay_seconds{area=a,of=own}"), Some(3));
        a.report_metrics();
        b.report_metrics();
    }
    bus.cut(GapCause::NoAnswer);
    settle().await;
    a.del(&1).await.expect_err("the bus is away");
    a.report_metrics();
    assert_eq!(of("invalidation_gap_total{area=a,cause=no_answer}"), Some(1));
    assert_eq!((of("bus_connected{area=a}"), of("invalidation_publish_total{area=a}")), (Some(0), Some(2)));
    assert!(of("invalidation_publish_failures_total{area=a}") >= Some(1));
    for name in BUS_METRIC_NAMES {
        assert!(lock(&heard.0).keys().any(|id| id.starts_with(&format!("{name}{{area=a"))), "{name}");
    }
}
