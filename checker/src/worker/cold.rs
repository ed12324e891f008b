//! One cold key: everybody asks for it at once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accelerator::stores::QuickCacheL1;
use accelerator::{CacheResult, LevelCache};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::event::{ColdSummary, Message, Setup};
use crate::row::{Id, Row};
use crate::time::now;
use crate::worker::client::Client;
use crate::worker::journal::Outbox;
use crate::worker::{Order, probe::Probe};

const KEY: Id = 0;
const LOAD: Duration = Duration::from_millis(100);
/// Longer than a lease lasts: who waits takes it over from a holder that died.
const LEASE_WAIT: Duration = Duration::from_secs(10);

/// The least that a lease of the cache below lasts: the default, less what a slow begin takes off, and the seconds in
/// which memcached counts.
pub(crate) fn shortest_lease(backend: Backend) -> Duration {
    // memcached counts in seconds: of two, one is sure.
    let sure = Duration::from_secs(1);
    sure - if backend == Backend::Memcached { Duration::from_millis(100) } else { Duration::from_millis(250) }
}

pub(crate) async fn run(
    setup: &Setup,
    client: Client,
    outbox: &Outbox,
    orders: &mut UnboundedReceiver<Order>,
) -> anyhow::Result<()> {
    let store = crate::backend::store(setup.backend, &setup.url, &setup.prefix, setup.leases)?;
    Probe::new(store.clone(), setup.process)?.begin().await?;
    let cache = LevelCache::builder()
        .area("cold")
        .l1(QuickCacheL1::new(100))
        .l2(store)
        .ttl(Duration::from_secs(60))
        .lease_wait(LEASE_WAIT)
        .loader(move |id| load(client.clone(), id))
        .build()?;
    let counts = Arc::new(Counts::default());
    let (start, go) = watch::channel(false);
    let ask = |_| {
        let (cache, counts, mut go) = (cache.clone(), counts.clone(), go.clone());
        tokio::spawn(async move {
            let _ = go.wait_for(|go| *go).await;
            let begin = now();
            let answer = cache.get(&KEY).await;
            counts.count(begin, &answer);
        })
    };
    let tasks: Vec<_> = (0..setup.tasks).map(ask).collect();
    outbox.send(&Message::Ready);
    while orders.recv().await.is_some_and(|order| order != Order::Go) {}
    start.send_replace(true);
    for task in tasks {
        task.await?;
    }
    let l2_errors = cache.stats().l2_errors_total();
    outbox.send(&Message::Cold(ColdSummary { l2_errors, ..counts.summary() }));
    // Until the parent has enough.
    while orders.recv().await.is_some() {}
    Ok(())
}

async fn load(client: Client, id: Id) -> Result<Option<Row>, std::convert::Infallible> {
    let version = client.read(id).await;
    tokio::time::sleep(LOAD).await;
    Ok(Row::of(id, version))
}

#[derive(Default)]
struct Counts {
    right: AtomicU64,
    wrong: AtomicU64,
    errors: AtomicU64,
    longest: AtomicU64,
    first_error: Mutex<Option<String>>,
}

impl Counts {
    fn count(&self, begin: u64, answer: &CacheResult<Option<Row>>) {
        self.longest.fetch_max(now().saturating_sub(begin), Relaxed);
        let counter = match answer {
            Ok(row) if *row == Row::of(KEY, 0) => &self.right,
            Ok(_) => &self.wrong,
            Err(error) => {
                let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| format!("{error:?}"));
                &self.errors
            }
        };
        counter.fetch_add(1, Relaxed);
    }

    fn summary(&self) -> ColdSummary {
        ColdSummary {
            right: self.right.load(Relaxed),
            wrong: self.wrong.load(Relaxed),
            errors: self.errors.load(Relaxed),
            first_error: self.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            longest: self.longest.load(Relaxed),
            ..ColdSummary::default()
        }
    }
}
