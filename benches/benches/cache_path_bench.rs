//! Every pair of stores through the same scenarios, each row in turns with its limit.
//!
//! `cargo bench --bench cache_path_bench -- [--sample-size N] [--list] [FILTER]`

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use accelerator_benches::matrix::{Raw, Subject};
use accelerator_benches::rows::{Pair, Row};
use accelerator_benches::run::{Measured, Run, criterion_dir};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use regex::Regex;

const SAMPLES: usize = 60;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rows = match selected(&args) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if args.iter().any(|arg| arg == "--list") {
        rows.iter().for_each(|row| println!("{}: benchmark", row.id()));
        return ExitCode::SUCCESS;
    }
    // `cargo test --benches` asks for one quick look, which is no run.
    let measures = args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--test");
    let samples = sample_size(&args);
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(
            Duration::from_secs(1).mul_f64(samples as f64 / SAMPLES as f64).max(Duration::from_millis(250)),
        )
        .sample_size(samples)
        .configure_from_args();
    let mut run = Run { selected: rows.iter().map(Row::id).collect(), ..Run::default() };
    let keep = |run: &Run| match run.write(&criterion_dir()) {
        Err(error) if measures => eprintln!("the record of this run could not be written: {error}"),
        _ => {}
    };
    if measures {
        keep(&run);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for pair in Pair::all() {
        let rows: Vec<_> = rows.iter().filter(|row| row.pair == pair).collect();
        let mut group = criterion.benchmark_group(pair.to_string());
        for row in rows {
            if let Some(measured) = measure(&runtime, &mut group, row, samples) {
                run.rows.insert(row.id(), measured);
                if measures {
                    keep(&run);
                }
            }
        }
        group.finish();
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// One row as Criterion measures it, and its limit in turns with it.
fn measure(
    runtime: &tokio::runtime::Runtime,
    group: &mut BenchmarkGroup<'_, WallTime>,
    row: &Row,
    samples: usize,
) -> Option<Measured> {
    let state = RefCell::new(None);
    // One entry per call: the last `samples` are the measured ones, what comes before is warm-up.
    let taken: RefCell<Vec<(u64, Duration, Duration)>> = RefCell::default();
    group.bench_function(row.function(), |bencher| {
        bencher.iter_custom(|iterations| {
            runtime.block_on(async {
                let known = state.take();
                let (mut subject, mut raw) = match known {
                    Some(known) => known,
                    None => (Subject::new(*row).await, Raw::new(row.limit()).await),
                };
                let (ours, theirs) = in_turns(&mut subject, &mut raw, iterations).await;
                state.replace(Some((subject, raw)));
                taken.borrow_mut().push((iterations, ours, theirs));
                ours
            })
        });
    });
    let taken = taken.into_inner();
    let measured = &taken[taken.len().saturating_sub(samples)..];
    let operations: u64 = measured.iter().map(|one| one.0).sum();
    let mean = |of: fn(&(u64, Duration, Duration)) -> Duration| {
        measured.iter().map(of).sum::<Duration>().as_secs_f64() * 1e9 / operations as f64
    };
    (operations > 0).then(|| Measured {
        limit: row.limit().id(),
        row_ns: mean(|one| one.1),
        limit_ns: mean(|one| one.2),
    })
}

/// The time of so many operations of the row, and of as many of its limit.
async fn in_turns(subject: &mut Subject, raw: &mut Raw, iterations: u64) -> (Duration, Duration) {
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    let mut left = iterations;
    while left > 0 {
        let now = left.min(subject.chunk());
        left -= now;
        subject.prepare();
        let start = Instant::now();
        subject.run(now).await;
        ours += start.elapsed();
        raw.prepare();
        let start = Instant::now();
        raw.run(now).await;
        theirs += start.elapsed();
    }
    (ours, theirs)
}

/// The value of `--name VALUE` or `--name=VALUE`.
fn option<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().enumerate().find_map(|(i, arg)| match arg.strip_prefix(name)? {
        "" => args.get(i + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    })
}

fn sample_size(args: &[String]) -> usize {
    option(args, "--sample-size").and_then(|text| text.parse().ok()).unwrap_or(SAMPLES)
}

/// The rows that the filter, if there is one, selects.
fn selected(args: &[String]) -> Result<Vec<Row>, String> {
    let mut rows = Row::all();
    // Criterion's options that take a value, of those that anybody gives here.
    let valued = ["--sample-size", "--measurement-time", "--warm-up-time", "--baseline", "--save-baseline"];
    let is_value = |i: usize| i > 0 && valued.contains(&args[i - 1].as_str());
    let filter = args.iter().enumerate().find(|(i, arg)| !arg.starts_with('-') && !is_value(*i));
    if let Some((_, filter)) = filter {
        let exact = args.iter().any(|arg| arg == "--exact");
        let regex =
            Regex::new(filter).map_err(|error| format!("the filter {filter:?} is no regular expression: {error}"))?;
        rows.retain(|row| if exact { row.id() == *filter } else { regex.is_match(&row.id()) });
    }
    Ok(rows)
}
