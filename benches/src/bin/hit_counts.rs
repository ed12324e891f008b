//! Instructions and allocations per operation, counted rather than timed.
//!
//! `cargo run --release -p accelerator-benches --bin hit_counts` prints a table; instructions need valgrind. With
//! `--row NAME --times N` it runs one row and prints nothing, which is how it runs itself under callgrind.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use accelerator::macros::cacheable;
use accelerator::{Begin, Cache, CacheResult, L1Store, ReadOptions};
use accelerator_benches::direct::{batch_cache, cache, entry, fresh_keys, mini_moka, moka, quick, raw_batch_miss};
use accelerator_benches::matrix::{Payload, WARM, make, now};

const ROWS: [&str; 26] = [
    "quick-cache/raw",
    "quick-cache/store",
    "quick-cache/get",
    "quick-cache/try_get",
    "quick-cache/lookup",
    "quick-cache/get_or_load",
    "quick-cache/dyn_get",
    "quick-cache/dyn_begin",
    "quick-cache/by_hand",
    "quick-cache/macro",
    "quick-cache/mget32",
    "quick-cache/raw32",
    "quick-cache/miss",
    "quick-cache/raw_miss",
    "quick-cache/batch_miss32",
    "quick-cache/raw_batch_miss32",
    "moka/store",
    "moka/get",
    "moka/dyn_get",
    "moka/dyn_begin",
    "moka/by_hand",
    "moka/macro",
    "mini-moka/store",
    "mini-moka/get",
    "mini-moka/dyn_get",
    "mini-moka/dyn_begin",
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [row, name, times, n] = args.as_slice()
        && row == "--row"
        && times == "--times"
    {
        run(name, n.parse().unwrap_or(0));
        return;
    }
    println!("{:<28}{:>14}", "row", "instructions");
    for row in ROWS {
        match instructions(row) {
            Some(n) => println!("{row:<28}{n:>14.1}"),
            None => println!("{row:<28}{:>14}", "no valgrind"),
        }
    }
}

/// The difference of two run lengths, so that start-up and warm-up cancel.
fn instructions(row: &str) -> Option<f64> {
    let (few, many) = (2_000_u64, 12_000_u64);
    let (a, b) = (counted(row, few)?, counted(row, many)?);
    Some((b as f64 - a as f64) / (many - few) as f64)
}

fn counted(row: &str, times: u64) -> Option<u64> {
    let me = std::env::current_exe().ok()?;
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(me)
        .args(["--row", row, "--times", &times.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok())
}

fn run(row: &str, n: u64) {
    match row.split_once('/') {
        Some(("quick-cache", "raw")) => {
            let raw = quick_cache::sync::Cache::<u64, _, _, foldhash::fast::RandomState>::with(
                10_000,
                10_000,
                quick_cache::UnitWeighter,
                foldhash::fast::RandomState::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            );
            (0..WARM).for_each(|k| raw.insert(k, entry(k)));
            each(n, |k| raw.get(&k));
        }
        Some(("quick-cache", "raw_miss")) => {
            let raw = quick();
            (0..20_000).for_each(|k| raw.insert(k, entry(k)));
            fresh(n, |k| {
                if raw.get(&k).is_none() {
                    raw.insert(k, black_box(entry(k)));
                }
            });
        }
        Some(("quick-cache", verb)) => verbs(quick(), verb, n),
        Some(("moka", verb)) => verbs(moka(), verb, n),
        Some(("mini-moka", verb)) => verbs(mini_moka(), verb, n),
        _ => {}
    }
}

fn verbs<S: L1Store<u64, Payload> + Clone>(store: S, verb: &str, n: u64) {
    let cache = cache(store.clone());
    let erased: Arc<dyn Cache<u64, Payload>> = Arc::new(cache.clone());
    // Each verb is called in one place only, as it would be in a service: what the compiler makes of it is the same.
    drop(cache.mset((0..WARM).map(|k| (k, Some(make(k))))));
    let keys: Vec<u64> = (0..32).collect();
    let users = Users { cache: erased.clone() };
    match verb {
        "store" => each(n, |k| store.get(&k)),
        "get" => each(n, |k| now(cache.get(&k))),
        "try_get" => each(n, |k| cache.try_get(&k)),
        "lookup" => each(n, |k| now(cache.lookup(&k))),
        "get_or_load" => each(n, |k| now(cache.get_or_load(&k, async { Ok::<_, std::io::Error>(Some(make(k))) }))),
        "dyn_get" => each(n, |k| now(erased.get(&k))),
        "dyn_begin" => each(n, |k| now(erased.begin(&k))),
        "by_hand" => each(n, |k| apart(std::pin::pin!(users.find_by_hand(k)))),
        "macro" => each(n, |k| apart(std::pin::pin!(users.find(k)))),
        "mget32" => each(n, |_| now(cache.mget(&keys)).map(accelerator::Answers::into_results)),
        "raw32" => each(n, |_| keys.iter().map(|k| store.get(k).and_then(|e| e.into_value())).collect::<Vec<_>>()),
        "miss" => {
            drop(cache.mset((0..20_000).map(|k| (k, Some(make(k))))));
            fresh(n, |k| now(cache.get_with(&k, ReadOptions::new())));
        }
        "batch_miss32" => {
            let batch = batch_cache(store);
            drop(batch.mset((0..20_000).map(|k| (k, Some(make(k))))));
            fresh(n, |i| now(batch.mget(&fresh_keys(i))).map(accelerator::Answers::into_results));
        }
        "raw_batch_miss32" => {
            (0..20_000).for_each(|k| store.insert(k, entry(k)));
            fresh(n, |i| raw_batch_miss(&store, &fresh_keys(i)));
        }
        _ => {}
    }
}

/// A service: the row `macro` against what a careful engineer writes.
struct Users {
    cache: Arc<dyn Cache<u64, Payload>>,
}

impl Users {
    #[cacheable(cache = self.cache, key = id)]
    async fn find(&self, id: u64) -> CacheResult<Option<Payload>> {
        Ok(Some(make(id)))
    }

    async fn find_by_hand(&self, id: u64) -> CacheResult<Option<Payload>> {
        match self.cache.begin(&id).await {
            Begin::Hit(value) => Ok(value),
            Begin::Lead(ticket) => {
                let value = Some(make(id));
                ticket.fill(value.clone());
                Ok(value)
            }
            Begin::Failed(error) => Err(error),
            _ => Ok(Some(make(id))),
        }
    }
}

/// Polls once, as what is compiled apart from its caller: a method of a service is, and by how much the compiler inlines
/// a small one into this loop says nothing.
#[inline(never)]
fn apart<T>(future: Pin<&mut dyn Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn each<T>(n: u64, f: impl Fn(u64) -> T) {
    for i in 0..n {
        black_box(f(black_box(i % WARM)));
    }
}

fn fresh<T>(n: u64, f: impl Fn(u64) -> T) {
    for i in 0..n {
        black_box(f(black_box(1_000_000 + i)));
    }
}
