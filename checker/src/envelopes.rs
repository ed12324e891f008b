//! Bytes in L2 that the cache has not written like that: none may be taken for a value, none may make it panic.

mod bytes;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use accelerator::testkit::MemoryL2;
use accelerator::{LevelCache, Lookup, NoL1};
use anyhow::{Context, ensure};
use futures_util::FutureExt;
use serde::Serialize;

use crate::args::Envelopes;
use crate::envelopes::bytes::{Doc, Envelope, Kind, TTL, cache};

static PANICS: AtomicU64 = AtomicU64::new(0);

#[derive(Serialize)]
struct Report {
    accepted: u64,
    panics: u64,
    n: u64,
    /// Undamaged envelopes that were read as what they are, as they must be.
    controls: u64,
    seed: u64,
}

/// Whether nothing was accepted, and nothing panicked.
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
    let (accepted, controls) = runtime.block_on(try_all(args, seed))?;
    let report = Report { accepted, panics: PANICS.load(Ordering::SeqCst), n: args.n, controls, seed };
    if args.json {
        say!("{}", serde_json::to_string(&report)?);
    } else {
        let Report { accepted, panics, n, controls, seed } = &report;
        say!("{n} values: {accepted} accepted, {panics} panics; {controls} undamaged ones read (seed {seed})");
    }
    Ok(report.accepted == 0 && report.panics == 0)
}

/// How many were accepted, and how many undamaged ones were read.
async fn try_all(args: &Envelopes, seed: u64) -> anyhow::Result<(u64, u64)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let store = MemoryL2::new();
    let envelopes = bytes::write(&store, &mut random).await?;
    let reader =
        cache(store.clone()).loader(|_| async { Ok::<_, std::convert::Infallible>(Some(Doc::loaded())) }).build()?;
    for envelope in &envelopes {
        store.put_raw(&envelope.wire, envelope.bytes.clone(), TTL);
        let read = reader.lookup(&envelope.key).await;
        ensure!(read == envelope.means, "an undamaged envelope was not read as what it is");
    }
    let mut accepted = 0;
    for number in 0..args.n {
        let envelope = random.choice(&envelopes).context("no envelopes")?;
        let kind = Kind::ALL[number as usize % Kind::ALL.len()];
        let bytes = kind.bytes(envelope, &envelopes, &mut random);
        store.put_raw(&envelope.wire, bytes.clone(), TTL);
        let taken = AssertUnwindSafe(is_taken(&reader, envelope, number)).catch_unwind().await;
        if taken.unwrap_or(false) {
            if accepted == 0 {
                find!(args.json, "accepted: {kind:?} of {} bytes: {bytes:02x?}", bytes.len());
            }
            accepted += 1;
        }
    }
    Ok((accepted, envelopes.len() as u64))
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
