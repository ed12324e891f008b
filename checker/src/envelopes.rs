//! Bytes in L2 that the cache has not written like that: none may be taken for a value, none may make it panic.

mod bombs;
mod bytes;
mod setups;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use accelerator::testkit::MemoryL2;
use accelerator::{LevelCache, Lookup, NoL1};
use anyhow::{Context, ensure};
use futures_util::FutureExt;
use serde::Serialize;
use stats_alloc::Region;

use crate::args::Envelopes;
use crate::envelopes::bombs::Bombs;
use crate::envelopes::bytes::{Doc, Envelope, Kind, TTL, cache};
use crate::envelopes::setups::Setup;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// A read takes no more memory than this for one value: a few times the longest value that a cache takes.
const MOST_MEMORY: usize = 4 << 20;

#[derive(Serialize)]
struct Report {
    accepted: u64,
    panics: u64,
    n: u64,
    /// Undamaged envelopes that were read as what they are, as they must be.
    controls: u64,
    /// Values with a checksum that somebody has made, in ways that don't notice it: they may be read.
    forged: u64,
    /// The most that was allocated for one value, in bytes.
    memory: usize,
    /// Ways of writing that were tried: codecs and layers.
    setups: usize,
    seed: u64,
}

/// Whether nothing was accepted, nothing panicked, and nothing took more memory than it may.
pub(crate) fn run(args: &Envelopes) -> anyhow::Result<bool> {
    let usual = std::panic::take_hook();
    // Those that somebody catches count too.
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        usual(info);
    }));
    // Paused time: what waits for a lease that looks taken waits for nothing.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut report = Report {
        accepted: 0,
        panics: 0,
        n: args.n,
        controls: 0,
        forged: 0,
        memory: 0,
        setups: setups::ALL.len(),
        seed,
    };
    let (bombs, setups) = (Bombs::new()?, setups::ALL.len() as u64);
    for (at, setup) in (0..).zip(setups::ALL) {
        let n = args.n / setups + u64::from(at < args.n % setups);
        runtime.block_on(try_all(n, args.json, setup, &bombs, &mut report)).context(setup.name)?;
    }
    report.panics = PANICS.load(Ordering::SeqCst);
    if args.json {
        say!("{}", serde_json::to_string(&report)?);
    } else {
        let Report { accepted, panics, n, controls, forged, memory, setups, seed } = &report;
        say!(
            "{n} values in {setups} ways: {accepted} accepted, {panics} panics, at most {memory} bytes for one; \
             {controls} undamaged ones read, {forged} forged ones (seed {seed})"
        );
    }
    Ok(report.accepted == 0 && report.panics == 0 && report.memory <= MOST_MEMORY)
}

async fn try_all(n: u64, json: bool, setup: &Setup, bombs: &Bombs, report: &mut Report) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(report.seed);
    let store = MemoryL2::new();
    let envelopes = bytes::write(&store, setup, &mut random).await?;
    let load = |_| async { Ok::<_, std::convert::Infallible>(Some(Doc::loaded())) };
    let reader = cache(store.clone(), setup).loader(load).build()?;
    for envelope in &envelopes {
        store.put_raw(&envelope.wire, envelope.bytes.clone(), TTL);
        let read = reader.lookup(&envelope.key).await;
        ensure!(read == envelope.means, "an undamaged envelope was not read as what it is");
    }
    report.controls += envelopes.len() as u64;
    for number in 0..n {
        let envelope = random.choice(&envelopes).context("no envelopes")?;
        let kind = Kind::ALL[number as usize % Kind::ALL.len()];
        let bytes = kind.bytes(envelope, &envelopes, bombs, &mut random);
        store.put_raw(&envelope.wire, bytes.clone(), TTL);
        let region = Region::new(crate::ALLOCATOR);
        let taken = AssertUnwindSafe(is_taken(&reader, envelope, number)).catch_unwind().await;
        let memory = region.change().bytes_allocated;
        if memory > MOST_MEMORY && report.memory <= MOST_MEMORY {
            find!(json, "{memory} bytes were allocated: {}, {kind:?} of {} bytes", setup.name, bytes.len());
        }
        report.memory = report.memory.max(memory);
        if taken.unwrap_or(false) {
            if kind.is_forged() && !setup.authentic {
                report.forged += 1;
                continue;
            }
            if report.accepted == 0 {
                let begin = &bytes[..bytes.len().min(200)];
                find!(json, "accepted: {}, {kind:?} of {} bytes: {begin:02x?}", setup.name, bytes.len());
            }
            report.accepted += 1;
        }
    }
    Ok(())
}

/// Whether a read through the public verbs is answered from what is in L2.
async fn is_taken(reader: &LevelCache<u64, Doc, NoL1>, envelope: &Envelope, number: u64) -> bool {
    let key = envelope.key;
    if matches!(reader.lookup(&key).await, Lookup::Hit(_) | Lookup::Absent) {
        return true;
    }
    let loaded = |answer: Option<Doc>| answer == Some(Doc::loaded());
    match number % 3 {
        0 => !reader.get(&key).await.is_ok_and(loaded),
        1 => !reader.mget(&[key]).await.into_results().into_iter().all(|answer| answer.is_ok_and(loaded)),
        _ => false,
    }
}
