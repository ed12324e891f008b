//! Instructions and allocations per operation, counted rather than timed.
//!
//! `cargo run --release -p accelerator-benches --bin hit_counts` prints a table; instructions need valgrind. With
//! `--row NAME` it runs one row and prints nothing, which is how it runs itself under callgrind. A short look
//! (`ACCELERATOR_BENCH_QUICK`) is at the first two rows.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use accelerator::macros::cacheable;
use accelerator::{Begin, Cache, CacheResult, L1Store, Probe, ReadOptions, Tickets};
use accelerator_benches::callgrind::{calls, median};
use accelerator_benches::direct::{
    batch_cache, cache, entry, fresh_keys, mini_moka, moka, moka_longest_life, quick, raw_batch_miss,
};
use accelerator_benches::matrix::{Payload, WARM, make, now};
use accelerator_benches::select::is_quick;

const ROWS: [&str; 30] = [
    "quick-cache/raw",
    "quick-cache/store",
    "quick-cache/get",
    "quick-cache/try_get",
    "quick-cache/lookup",
    "quick-cache/get_or_load",
    "quick-cache/dyn_get",
    "quick-cache/dyn_begin",
    "quick-cache/dyn_hit_or_begin",
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
    "moka/dyn_hit_or_begin",
    "moka/by_hand",
    "moka/macro",
    "moka-longest-life/store",
    "moka-longest-life/get",
    "mini-moka/store",
    "mini-moka/get",
    "mini-moka/dyn_get",
    "mini-moka/dyn_begin",
];

/// Calls of a row that are counted together.
const TURN: u64 = 256;

/// The first few warm up; the median is what counts.
const TURNS: u64 = 25;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [row, name] = args.as_slice()
        && row == "--row"
    {
        run(name);
        return;
    }
    println!("{:<28}{:>14}", "row", "instructions");
    let rows = if is_quick(|name| std::env::var(name).ok()) { &ROWS[..2] } else { &ROWS[..] };
    for row in rows {
        match instructions(row) {
            Some(n) => println!("{row:<28}{n:>14.1}"),
            None => println!("{row:<28}{:>14}", "no valgrind"),
        }
    }
}

/// Of one operation, in the median turn.
fn instructions(row: &str) -> Option<f64> {
    Some(median(calls("hit_counts::counted_turn", &["--row", row])?)? as f64 / TURN as f64)
}

fn run(row: &str) {
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
            each(|k| raw.get(&k));
        }
        Some(("quick-cache", "raw_miss")) => {
            let raw = quick();
            (0..20_000).for_each(|k| raw.insert(k, entry(k)));
            fresh(|k| {
                if raw.get(&k).is_none() {
                    raw.insert(k, black_box(entry(k)));
                }
            });
        }
        Some(("quick-cache", verb)) => verbs(quick(), verb),
        Some(("moka", verb)) => verbs(moka(), verb),
        Some(("moka-longest-life", verb)) => verbs(moka_longest_life(), verb),
        Some(("mini-moka", verb)) => verbs(mini_moka(), verb),
        _ => {}
    }
}

fn verbs<S: L1Store<u64, Payload> + Clone>(store: S, verb: &str) {
    let cache = cache(store.clone());
    let erased: Arc<dyn Cache<u64, Payload>> = Arc::new(cache.clone());
    // Each verb is called in one place only, as it would be in a service: what the compiler makes of it is the same.
    drop(cache.mset((0..WARM).map(|k| (k, Some(make(k))))));
    let keys: Vec<u64> = (0..32).collect();
    let users = Users { cache: erased.clone() };
    match verb {
        "store" => each(|k| store.get(&k)),
        "get" => each(|k| now(cache.get(&k))),
        "try_get" => each(|k| cache.try_get(&k)),
        "lookup" => each(|k| now(cache.lookup(&k))),
        "get_or_load" => each(|k| now(cache.get_or_load(&k, async { Ok::<_, std::io::Error>(Some(make(k))) }))),
        "dyn_get" => each(|k| now(erased.get(&k))),
        "dyn_begin" => each(|k| now(erased.begin(&k))),
        "dyn_hit_or_begin" => each(|k| match erased.hit_or_begin(&k) {
            Probe::Hit(value) => Some(value),
            Probe::Begin(_) => None,
        }),
        "by_hand" => each(|k| apart(std::pin::pin!(users.find_by_hand(k)))),
        "macro" => each(|k| apart(std::pin::pin!(users.find(k)))),
        "mget32" => each(|_| now(cache.mget(&keys)).map(accelerator::Answers::into_results)),
        "raw32" => each(|_| keys.iter().map(|k| store.get(k).and_then(|e| e.into_value())).collect::<Vec<_>>()),
        "miss" => {
            drop(cache.mset((0..20_000).map(|k| (k, Some(make(k))))));
            fresh(|k| now(cache.get_with(&k, ReadOptions::new())));
        }
        "batch_miss32" => {
            // A store is one cache's alone.
            drop((cache, erased, users));
            let batch = batch_cache(store);
            drop(batch.mset((0..20_000).map(|k| (k, Some(make(k))))));
            fresh(|i| now(batch.mget(&fresh_keys(i))).map(accelerator::Answers::into_results));
        }
        "raw_batch_miss32" => {
            (0..20_000).for_each(|k| store.insert(k, entry(k)));
            fresh(|i| raw_batch_miss(&store, &fresh_keys(i)));
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
        let begun = match self.cache.hit_or_begin(&id) {
            Probe::Hit(hit) => return Ok(hit),
            Probe::Begin(begin) => begin.await,
        };
        match begun {
            Begin::Hit(value) => Ok(value),
            Begin::Lead(ticket) => {
                let value = Some(make(id));
                ticket.fill(value.clone());
                Ok(value)
            }
            Begin::Failed(failed) => Err(failed.into_error()),
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

fn each<T>(f: impl Fn(u64) -> T) {
    turns(0, |i| f(i % WARM));
}

fn fresh<T>(f: impl Fn(u64) -> T) {
    turns(1_000_000, f);
}

fn turns<T>(from: u64, f: impl Fn(u64) -> T) {
    for turn in 0..TURNS {
        counted_turn(&|| {
            for i in 0..TURN {
                black_box(f(black_box(from + turn * TURN + i)));
            }
        });
    }
}

/// The one function of which callgrind counts the calls.
#[inline(never)]
fn counted_turn(turn: &dyn Fn()) {
    turn();
}
