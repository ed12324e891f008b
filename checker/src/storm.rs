//! One cold key in one process, asked for by many callers of a function under an attribute whose body is slow.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use accelerator::LevelCache;
use accelerator::macros::{cacheable, cacheable_batch};
use accelerator::stores::QuickCacheL1;
use serde::Serialize;

use crate::args::Storm;

const KEY: u64 = 7;
/// The cache's own default.
const LOADER_TIMEOUT: Duration = Duration::from_secs(2);
/// Timers, and five hundred tasks on a busy machine.
const SLACK: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Away;

struct Slow {
    cache: LevelCache<u64, u64, QuickCacheL1<u64, u64>>,
    body: Duration,
    bodies: AtomicUsize,
}

impl Slow {
    async fn find(&self) {
        self.bodies.fetch_add(1, Relaxed);
        tokio::time::sleep(self.body).await;
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn one(&self, id: u64) -> Result<Option<u64>, Away> {
        self.find().await;
        Ok(Some(id))
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn many(&self, ids: Vec<u64>) -> Result<HashMap<u64, Option<u64>>, Away> {
        self.find().await;
        Ok(ids.into_iter().map(|id| (id, Some(id))).collect())
    }

    async fn ask(&self, batch: bool) -> Option<u64> {
        match batch {
            false => self.one(KEY).await.ok()?,
            true => self.many(vec![KEY, KEY + 1]).await.ok()?.remove(&KEY)?,
        }
    }
}

#[derive(Serialize)]
struct Report {
    bodies: usize,
    last_ms: u128,
    /// The body, and as long as a caller waits for one that is not alive.
    most_ms: u128,
    callers: usize,
    right: usize,
}

/// Whether the body ran once, and all were answered in time.
pub(crate) fn run(args: &Storm) -> anyhow::Result<bool> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(storm(args))
}

async fn storm(args: &Storm) -> anyhow::Result<bool> {
    let limit = args.loader_timeout_ms.map_or(LOADER_TIMEOUT, Duration::from_millis);
    let cache = LevelCache::builder()
        .area("storm")
        .l1(QuickCacheL1::new(100))
        .ttl(Duration::from_secs(3600))
        .loader_timeout(limit)
        .build()?;
    let body = Duration::from_millis(args.body_ms);
    let slow = Arc::new(Slow { cache, body, bodies: AtomicUsize::new(0) });
    let begin = Instant::now();
    let calls: Vec<_> = (0..args.callers)
        .map(|_| {
            let (slow, batch) = (slow.clone(), args.batch);
            tokio::spawn(async move { (slow.ask(batch).await, begin.elapsed()) })
        })
        .collect();
    let (mut right, mut last) = (0, Duration::ZERO);
    for call in calls {
        let (answer, after) = call.await?;
        right += usize::from(answer == Some(KEY));
        last = last.max(after);
    }
    let most = body + limit + limit / 8 + SLACK;
    let bodies = slow.bodies.load(Relaxed);
    let report = Report { bodies, last_ms: last.as_millis(), most_ms: most.as_millis(), callers: args.callers, right };
    report.tell(args.json)
}

impl Report {
    fn tell(&self, json: bool) -> anyhow::Result<bool> {
        let Self { bodies, last_ms, most_ms, callers, right } = self;
        let mut found = Vec::new();
        if *bodies != 1 {
            found.push(format!("the body ran {bodies} times, while the first was alive"));
        }
        if last_ms > most_ms {
            found.push(format!("the last answer came after {last_ms} ms, of at most {most_ms}"));
        }
        if right != callers {
            found.push(format!("{right} right answers, of {callers}"));
        }
        for violation in &found {
            find!(json, "violation: {violation}");
        }
        if json {
            say!("{}", serde_json::to_string(self)?);
        } else {
            say!("{bodies} bodies for {callers} callers; {right} right answers, the last after {last_ms} ms");
        }
        Ok(found.is_empty())
    }
}
