//! Every pair of stores through the same scenarios, each row in turns with its limit.
//!
//! `cargo bench --bench cache_path_bench -- [--sample-size N] [--list] [FILTER]`

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use accelerator_benches::clock::thread_cpu;
use accelerator_benches::matrix::{Raw, Servers, Subject};
use accelerator_benches::rows::{BATCH, Bench, Limit, Row, What};
use accelerator_benches::run::{Beside, Run, criterion_dir};
use accelerator_benches::select::{SAMPLES, Selection};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let selection = match Selection::new(&args, |name| std::env::var(name).ok()) {
        Ok(selection) => selection,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    selection.left_out.iter().for_each(|out| eprintln!("{out}"));
    if selection.lists {
        selection.benches.iter().for_each(|bench| println!("{}: benchmark", bench.id()));
        return ExitCode::SUCCESS;
    }
    let bench = Bencher {
        runtime: Builder::new_current_thread().enable_all().build().expect("a runtime"),
        servers: Servers::new(|name| std::env::var(name).ok()),
        samples: selection.samples,
    };
    for variable in selection.variables() {
        if let Err(error) = bench.runtime.block_on(bench.servers.check(variable)) {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    }
    run(&selection, &bench);
    ExitCode::SUCCESS
}

/// Keys that a row without a server asks for before Criterion sees it.
const WARM_UP: u64 = 50_000;

/// What every row needs.
struct Bencher {
    runtime: Runtime,
    servers: Servers,
    samples: usize,
}

fn run(selection: &Selection, bencher: &Bencher) {
    let measured = Duration::from_secs(1).mul_f64(selection.samples as f64 / SAMPLES as f64);
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300).min(measured * 2))
        .measurement_time(measured)
        .nresamples(10_000)
        .sample_size(selection.samples)
        .output_directory(&criterion_dir())
        .configure_from_args();
    let mut run = Run {
        filter: selection.filter.clone(),
        selected: selection.benches.iter().map(Bench::id).collect(),
        ..Run::default()
    };
    let keep = |run: &Run| match run.write(&criterion_dir()) {
        Err(error) if selection.measures => eprintln!("the record of this run could not be written: {error}"),
        _ => {}
    };
    if selection.measures {
        keep(&run);
    }
    let (start, count) = (Instant::now(), selection.benches.len());
    for (at, bench) in selection.benches.iter().enumerate() {
        if selection.measures {
            // At first a guess; then what a row has taken so far.
            let first = (measured + Duration::from_millis(600)).as_secs_f64();
            let each = if at == 0 { first } else { start.elapsed().as_secs_f64() / at as f64 };
            let left = each * (count - at) as f64;
            println!("row {} of {count}: {}, about {left:.0} s left", at + 1, bench.id());
        }
        let id = bench.id();
        let (group, function) = id.split_once('/').unwrap_or((&id, ""));
        let mut group = criterion.benchmark_group(group);
        // As many operations in each sample: the mean of few would count as much as that of many.
        group.sampling_mode(SamplingMode::Flat);
        let beside = match bench {
            Bench::Row(row) => bencher.measure(&mut group, function, *row),
            Bench::Limit(limit) => bencher.alone(&mut group, function, *limit),
        };
        group.finish();
        if let Some(beside) = beside.filter(|_| selection.measures) {
            run.rows.insert(id, beside);
            keep(&run);
        }
    }
    if selection.measures {
        print!("{}", run.table(&criterion_dir()));
    }
}

impl Bencher {
    /// One row as Criterion measures it, and its limit in turns with it.
    fn measure(&self, group: &mut BenchmarkGroup<'_, WallTime>, function: &str, row: Row) -> Option<Beside> {
        let state = RefCell::new(None);
        let taken = Taken::default();
        let clock = if row.pair.is_remote() { wall } else { thread_cpu };
        group.bench_function(function, |bencher| {
            bencher.iter_custom(|iterations| {
                self.runtime.block_on(async {
                    let known = state.take();
                    let (mut subject, mut raw) = match known {
                        Some(known) => known,
                        None => self.begin(row, clock).await,
                    };
                    let (ours, theirs) = in_turns(&mut subject, &mut raw, iterations, clock).await;
                    state.replace(Some((subject, raw)));
                    taken.push(theirs, iterations);
                    ours
                })
            });
        });
        // A row over a server that was restarted, or that forgets, measures something else.
        if let Some((subject, _)) = state.take().filter(|_| row.what != What::Miss)
            && subject.service.source.loads() > 0
        {
            eprintln!("{} asked the source {} times: L2 lost its keys", row.id(), subject.service.source.loads());
        }
        taken.mean(self.samples).map(|limit_ns| Beside { limit: row.limit().id(), limit_ns })
    }

    /// A row and its limit. Without a server both have run for a while, in turns: their tables and queues have grown, and
    /// neither is ahead of the other when the measuring starts.
    async fn begin(&self, row: Row, clock: Clock) -> (Subject, Raw) {
        let mut subject = Subject::new(row, &self.servers).await;
        let mut raw = Raw::new(row.limit(), &self.servers).await;
        if !row.pair.is_remote() {
            in_turns(&mut subject, &mut raw, if row.batch { WARM_UP / BATCH } else { WARM_UP }, clock).await;
        }
        (subject, raw)
    }

    /// A limit by itself.
    fn alone(&self, group: &mut BenchmarkGroup<'_, WallTime>, function: &str, limit: Limit) -> Option<Beside> {
        let state = RefCell::new(None);
        let taken = Taken::default();
        let clock = if Bench::Limit(limit).server().is_some() { wall } else { thread_cpu };
        group.bench_function(function, |bencher| {
            bencher.iter_custom(|iterations| {
                self.runtime.block_on(async {
                    let known = state.take();
                    let mut raw = match known {
                        Some(known) => known,
                        None => Raw::new(limit, &self.servers).await,
                    };
                    let (mut time, mut left) = (Duration::ZERO, iterations);
                    while left > 0 {
                        let now = left.min(raw.chunk());
                        left -= now;
                        time += turn_of_limit(&mut raw, now, clock).await;
                    }
                    state.replace(Some(raw));
                    taken.push(time, iterations);
                    time
                })
            });
        });
        taken.mean(self.samples).map(|limit_ns| Beside { limit: limit.id(), limit_ns })
    }
}

/// Nanoseconds of one operation, for each call of Criterion's: the last are the measured ones, before them it warms up.
#[derive(Default)]
struct Taken(RefCell<Vec<f64>>);

impl Taken {
    fn push(&self, time: Duration, operations: u64) {
        self.0.borrow_mut().push(time.as_secs_f64() * 1e9 / operations as f64);
    }

    /// As Criterion's own mean.
    fn mean(&self, samples: usize) -> Option<f64> {
        let all = self.0.borrow();
        let measured = &all[all.len().saturating_sub(samples)..];
        (!measured.is_empty()).then(|| measured.iter().sum::<f64>() / measured.len() as f64)
    }
}

type Clock = fn() -> Duration;

/// Waiting for a server is a part of what a row costs.
fn wall() -> Duration {
    use std::sync::LazyLock;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

/// The time of so many operations of the row, and of as many of its limit.
async fn in_turns(subject: &mut Subject, raw: &mut Raw, iterations: u64, clock: Clock) -> (Duration, Duration) {
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    let (mut left, mut ours_first) = (iterations, true);
    while left > 0 {
        let now = left.min(subject.chunk());
        left -= now;
        // Who comes first finds the other's leavings in the processor's caches: both are that in turn.
        if ours_first {
            ours += turn_of_row(subject, now, clock).await;
            theirs += turn_of_limit(raw, now, clock).await;
        } else {
            theirs += turn_of_limit(raw, now, clock).await;
            ours += turn_of_row(subject, now, clock).await;
        }
        ours_first = !ours_first;
    }
    (ours, theirs)
}

async fn turn_of_row(subject: &mut Subject, count: u64, clock: Clock) -> Duration {
    subject.prepare();
    let start = clock();
    subject.run(count).await;
    clock() - start
}

async fn turn_of_limit(raw: &mut Raw, count: u64, clock: Clock) -> Duration {
    raw.prepare();
    let start = clock();
    raw.run(count).await;
    clock() - start
}
