//! One of a large fleet: it fills or deletes so many keys a second.

use std::sync::Arc;
use std::time::Duration;

use accelerator::stores::QuickCacheL1;
use accelerator::{BusState, LevelCache};
use anyhow::ensure;
use futures_util::future::join_all;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};

use crate::event::{CrowdSummary, Message, Setup};
use crate::figures::cpu_ms;
use crate::worker::Order;
use crate::worker::caches::store_and_bus;
use crate::worker::journal::Outbox;

/// As long as the fleet's parent waits for it.
const LISTENS: Duration = Duration::from_secs(50);
const TURN: Duration = Duration::from_millis(5);
/// Calls at once, where the machine is behind.
const AT_ONCE: u64 = 256;

pub(crate) async fn run(
    setup: &Setup,
    fills: bool,
    (per_second, seconds): (u32, u32),
    outbox: &Outbox,
    orders: &mut UnboundedReceiver<Order>,
) -> anyhow::Result<()> {
    let (store, bus) = store_and_bus(setup)?;
    let mut builder = LevelCache::builder()
        .area("crowd")
        .l1(QuickCacheL1::new(10_000))
        .ttl(Duration::from_secs(60))
        .loader(|key: u64| async move { Ok::<_, std::convert::Infallible>(Some(key)) });
    if let Some(store) = store {
        builder = builder.l2(store);
    }
    if let Some(bus) = bus {
        builder = builder.bus(bus);
    }
    let cache = Arc::new(builder.build()?);
    let begin = Instant::now();
    while cache.stats().bus != BusState::Up {
        ensure!(begin.elapsed() < LISTENS, "the bus is not there: {:?}", cache.bus_health());
        sleep(TURN).await;
    }
    outbox.send(&Message::Ready);
    while orders.recv().await.is_some_and(|order| order != Order::Go) {}
    let (begin, cpu, gaps) = (Instant::now(), cpu_ms(None), cache.stats().gaps.total());
    let length = Duration::from_secs(seconds.into());
    let mut summary = CrowdSummary::default();
    while begin.elapsed() < length {
        let due = (begin.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        let calls = due.saturating_sub(summary.done).min(AT_ONCE);
        // Keys that nobody else has.
        let first = ((setup.process as u64) << 32) + summary.done;
        let answers = join_all((first..first + calls).map(|key| {
            let cache = cache.clone();
            async move { if fills { cache.get(&key).await.is_ok() } else { cache.del(&key).await.is_ok() } }
        }));
        summary.errors += answers.await.into_iter().filter(|ok| !ok).count() as u64;
        summary.done += calls;
        sleep(TURN).await;
    }
    let stats = cache.stats();
    summary.took_ms = begin.elapsed().as_millis() as u64;
    summary.cpu_ms = cpu_ms(None).zip(cpu).map_or(0, |(now, then)| now - then);
    (summary.published, summary.received) = (stats.published, stats.received);
    summary.gaps = stats.gaps.total() - gaps;
    outbox.send(&Message::Crowd(summary));
    // Until the parent has enough.
    while orders.recv().await.is_some() {}
    Ok(())
}
