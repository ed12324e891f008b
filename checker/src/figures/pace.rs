//! How fast the bus is where nothing else happens, and what it adds to a `del`.

use std::time::{Duration, Instant};

use accelerator::stores::{QuickCacheL1, RedisStore};
use accelerator::{BusState, LevelCache, NoL1};
use anyhow::{Context, ensure};
use serde::Serialize;

use crate::backend::Carrier;
use crate::server::Server;

const LISTENS: Duration = Duration::from_secs(10);
/// Deletes whose message is followed until it is back.
const ECHOES: u64 = 1000;
/// Nothing else is on its way then.
const APART: Duration = Duration::from_millis(3);
/// Blocks of deletes, with a bus and without by turns, so that what else the machine does hits both.
const ROUNDS: usize = 20;
const PER_ROUND: u64 = 200;

#[derive(Serialize)]
pub(super) struct Pace {
    pub(super) echo_p50_us: f64,
    pub(super) echo_p99_us: f64,
    /// One task, one after the other, L2 on Redis: half of all took no longer.
    pub(super) del_us: f64,
    pub(super) del_with_bus_us: f64,
    /// The middle one of the ratios of all rounds.
    pub(super) del_ratio: f64,
    /// The same for a bus with a connection of its own.
    pub(super) del_ratio_apart: f64,
    pub(super) rounds: usize,
}

type Cache = LevelCache<u64, u64, QuickCacheL1<u64, u64>>;

pub(super) async fn measure(server: &Server) -> anyhow::Result<Pace> {
    let bus = || Carrier::Redis.bus(&server.url(), "pace.")?.context("there is no bus");
    let builder =
        || -> accelerator::LevelCacheBuilder<u64, u64, NoL1> { LevelCache::builder().ttl(Duration::from_secs(60)) };
    let echo: Cache = builder().area("echo").l1(QuickCacheL1::new(100)).bus(bus()?).build()?;
    listens(&echo).await?;
    for key in 0..ECHOES {
        echo.del(&key).await?;
        tokio::time::sleep(APART).await;
    }
    let delays = echo.bus_health().context("there is no bus")?.echo;
    let l2 = || RedisStore::builder().url(server.url()).key_prefix("pace.").build();
    let without: Cache = builder().area("without").l1(QuickCacheL1::new(100)).l2(l2()?).build()?;
    let one = l2()?;
    let with: Cache = builder().area("with").l1(QuickCacheL1::new(100)).bus(one.bus()).l2(one).build()?;
    let apart: Cache = builder().area("apart").l1(QuickCacheL1::new(100)).l2(l2()?).bus(bus()?).build()?;
    listens(&apart).await?;
    listens(&with).await?;
    // Both connect before it counts.
    let _ = (round(&without).await?, round(&with).await?, round(&apart).await?);
    let (mut all, mut ratios, mut ratios_apart) = ([Vec::new(), Vec::new()], Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (alone, told, told_apart) = (round(&without).await?, round(&with).await?, round(&apart).await?);
        ratios.push(told / alone);
        ratios_apart.push(told_apart / alone);
        all[0].push(alone);
        all[1].push(told);
    }
    let [del_us, del_with_bus_us] = all.map(middle);
    let micros = |of: Duration| of.as_secs_f64() * 1e6;
    Ok(Pace {
        echo_p50_us: micros(delays.p50),
        echo_p99_us: micros(delays.p99),
        del_us,
        del_with_bus_us,
        del_ratio: middle(ratios),
        del_ratio_apart: middle(ratios_apart),
        rounds: ROUNDS,
    })
}

async fn listens(cache: &Cache) -> anyhow::Result<()> {
    let begin = Instant::now();
    while cache.stats().bus != BusState::Up {
        ensure!(begin.elapsed() < LISTENS, "the bus is not there: {:?}", cache.bus_health());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// How long half of the deletes take at most, in microseconds.
async fn round(cache: &Cache) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for key in 0..PER_ROUND {
        let begin = Instant::now();
        cache.del(&key).await?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    Ok(middle(times))
}

fn middle(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}
