//! Making the requests, and taking the time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use accelerator::{Entry, L1Store, LevelCache};
use anyhow::{Context, anyhow, ensure};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Handle;

use crate::catalogue::Catalogue;
use crate::stores::{TTL, Value};

/// So many requests are taken from the stream at a time.
const TURN: usize = 256;
/// Latencies are kept up to this, in nanoseconds, with three digits.
const LONGEST: u64 = 60_000_000_000;

/// What one replay took.
pub(crate) struct Taken {
    pub(crate) wall: Duration,
    /// Nanoseconds per request.
    pub(crate) latency: Histogram<u64>,
    /// Of the database.
    pub(crate) queries: u64,
}

impl Taken {
    pub(crate) fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    pub(crate) fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// Replays one stream in several ways.
pub(crate) struct Replayer<'a> {
    pub(crate) keys: &'a [u32],
    pub(crate) threads: usize,
    pub(crate) runtime: &'a Handle,
}

impl Replayer<'_> {
    /// Every request is a query.
    pub(crate) fn direct(&self, catalogue: &Catalogue) -> anyhow::Result<Taken> {
        self.replay("straight to the database", catalogue, async |id| {
            let product = catalogue.find(id)?;
            ensure!(product.is_some_and(|product| product.id == id), "a product is missing from the database");
            Ok(())
        })
    }

    /// Every request asks the cache.
    pub(crate) fn cached(&self, cache: &LevelCache<u32, Value>, catalogue: &Catalogue) -> anyhow::Result<Taken> {
        self.replay("through the cache", catalogue, async |id| {
            let product = cache.get(&id).await?;
            ensure!(product.is_some_and(|product| product.id == id), "the cache gave a wrong answer");
            Ok(())
        })
    }

    fn replay<F>(&self, what: &'static str, catalogue: &Catalogue, request: F) -> anyhow::Result<Taken>
    where
        F: AsyncFn(u32) -> anyhow::Result<()> + Sync,
    {
        let (bar, next, before) = (bar(self.keys.len(), what), AtomicUsize::new(0), catalogue.queries());
        let begin = Instant::now();
        let latency = std::thread::scope(|scope| {
            let one = || self.runtime.block_on(take_turns(self.keys, &next, &bar, &request));
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(one)).collect();
            let mut all = histogram()?;
            for thread in threads {
                all.add(thread.join().map_err(|_| anyhow!("a thread of the replay panicked"))??)?;
            }
            anyhow::Ok(all)
        });
        let wall = begin.elapsed();
        bar.finish_and_clear();
        Ok(Taken { wall, latency: latency.context(what)?, queries: catalogue.queries() - before })
    }
}

/// One thread's work. The threads take turns, so all are at the same part of the stream; a single one keeps its order.
async fn take_turns<F>(
    keys: &[u32],
    next: &AtomicUsize,
    bar: &ProgressBar,
    request: &F,
) -> anyhow::Result<Histogram<u64>>
where
    F: AsyncFn(u32) -> anyhow::Result<()>,
{
    let mut latency = histogram()?;
    loop {
        let from = next.fetch_add(TURN, Ordering::Relaxed).min(keys.len());
        let turn = &keys[from..(from + TURN).min(keys.len())];
        if turn.is_empty() {
            return Ok(latency);
        }
        // The end of a request is the begin of the next: one look at the clock for each, which is part of the result.
        let mut begin = Instant::now();
        for &id in turn {
            request(id).await?;
            let end = Instant::now();
            latency.saturating_record(u64::try_from((end - begin).as_nanos()).unwrap_or(LONGEST));
            begin = end;
        }
        bar.inc(turn.len() as u64);
    }
}

fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST, 3)?)
}

/// The hit ratio of a store on its own: get, or insert what is missing. One thread, in order, no cache around it.
pub(crate) fn raw_hit_ratio(store: &dyn L1Store<u32, Value>, keys: &[u32]) -> f64 {
    let (bar, mut hits) = (bar(keys.len(), "the store alone"), 0_u64);
    let life = u64::try_from(TTL.as_millis()).unwrap_or(u64::MAX);
    for turn in keys.chunks(TURN) {
        for id in turn {
            if store.get(id).is_some() {
                hits += 1;
            } else {
                // What is stored makes no difference to which entries are kept: they count, they don't weigh.
                store.insert(*id, Entry::new(None, 0, life, life, 0));
            }
        }
        bar.inc(turn.len() as u64);
    }
    bar.finish_and_clear();
    hits as f64 / keys.len().max(1) as f64
}

/// A progress bar on stderr; invisible where that is no terminal.
pub(crate) fn bar(length: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_message(what);
    let template = "{msg:>25} [{bar:40}] {human_pos} of {human_len}";
    ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
}
