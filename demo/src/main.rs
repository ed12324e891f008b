//! The main job on real input: a product catalogue in SQLite, asked for the same products once without and once with
//! a `LevelCache` in front of it.

mod args;
mod catalogue;
mod replay;
mod report;
mod shared;
mod stores;
mod stream;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use tokio::runtime::Runtime;

use crate::args::Args;
use crate::catalogue::Catalogue;
use crate::replay::Replayer;
use crate::report::Report;
use crate::shared::Shared;
use crate::stream::Stream;

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    // What is wrong with the input is the user's to mend, like a wrong option: 2. All else is 1.
    let stream = match stream::read(&args) {
        Ok(stream) => stream,
        Err(error) => return args::refuse(&format!("{error:#}")),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(args.threads).enable_all().build();
    let runtime = match runtime.context("can't start the runtime") {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let shared = match runtime.block_on(Shared::open(&args.l2)) {
        Ok(shared) => shared,
        Err(error) => return args::refuse(&format!("{error:#}")),
    };
    match run(&args, &stream, &shared, &runtime) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn run(args: &Args, stream: &Stream, shared: &Shared, runtime: &Runtime) -> anyhow::Result<()> {
    let begin = Instant::now();
    let bar = replay::bar(stream.products.len(), "building the catalogue");
    let catalogue = Arc::new(Catalogue::build(&stream.products, &bar).context("can't build the catalogue")?);
    bar.finish_and_clear();

    let replayer = Replayer { keys: &stream.keys, threads: args.threads, runtime: runtime.handle() };
    let direct = replayer.direct(&catalogue)?;
    let cache = stores::cache(args, shared.store.clone(), catalogue.clone()).context("can't build the cache")?;
    let cached = replayer.cached(&cache, &catalogue)?;
    let raw_hit_ratio = args.compare_raw.then(|| replay::raw_hit_ratio(&*stores::l1(args), &stream.keys));

    let stats = cache.stats();
    let report = Report { args, stream, direct, cached, stats, raw_hit_ratio, bytes: catalogue.bytes()?, begin };
    if args.json {
        report.json()?
    } else {
        report.table()?
    }
    if shared.borrowed {
        // The TTL is long, and the server not ours.
        let deleted = runtime.block_on(async { cache.mdel(&stream.products).await });
        deleted.context("can't delete what was written to --l2")?;
    }
    Ok(())
}
