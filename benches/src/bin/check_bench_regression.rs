//! The gate: compares the latest run of the matrix with the baseline.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use accelerator_benches::again::{count, measure};
use accelerator_benches::baseline::{Baseline, PATH, rustc};
use accelerator_benches::command::{options, refuse};
use accelerator_benches::compare::{How, Level, Selected, Verdict, counts, lost, times};
use accelerator_benches::counts::{CountRow, read_counts};
use accelerator_benches::run::{Run, criterion_dir};
use clap::Parser;

/// Compares the latest run of the matrix with the baseline: the mean of each row, as a multiple of its limit's, and counts.
///
/// Exit code 0: no regression; 1: a regression, or a selected row is missing; 2: wrong usage or unreadable input.
#[derive(Debug, Parser)]
#[command(name = "check_bench_regression", version)]
struct Args {
    /// What to compare with
    #[arg(long, value_name = "FILE", default_value = PATH)]
    baseline: PathBuf,
    /// Where the run is [default: target/criterion]
    #[arg(long, value_name = "DIR")]
    criterion_dir: Option<PathBuf>,
    /// Growth that is a regression: 0.15 is 15 %
    #[arg(long, value_name = "R", default_value_t = 0.15, value_parser = ratio)]
    threshold: f64,
    /// Compare nanoseconds as they stand, for two runs of one quiet machine
    #[arg(long)]
    absolute: bool,
    /// Counts of this tree: the output of `bench_counts --json` [default: counted now]
    #[arg(long, value_name = "FILE")]
    counts: Option<PathBuf>,
    /// Compare times only
    #[arg(long, conflicts_with = "counts")]
    no_counts: bool,
    /// Compare counts only, of every row that was counted: needs no run, and no quiet machine
    #[arg(long, conflicts_with_all = ["no_counts", "absolute", "criterion_dir"])]
    only_counts: bool,
    /// How often a slower row is measured again before it counts
    #[arg(long, value_name = "N", default_value_t = 2)]
    again: u32,
}

fn ratio(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "takes a number such as 0.15".to_owned())?;
    if number > 0.0 && number < 100.0 { Ok(number) } else { Err("takes more than 0 and less than 100".to_owned()) }
}

fn main() -> ExitCode {
    let args: Args = match options() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match check(&args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => refuse(&error),
    }
}

/// The number of failures.
fn check(args: &Args) -> Result<usize, String> {
    let baseline = Baseline::read(&args.baseline)?;
    let (verdicts, passed) = if args.only_counts {
        let counted = counted(args, "")?;
        let selected = counted.iter().map(|row| row.row.clone()).collect();
        let of_all = Selected::by(&Run { selected, ..Run::default() })?;
        let passed = format!("counts of {} rows: none has grown since the baseline", counted.len());
        (check_counts(&baseline, &counted, &of_all), passed)
    } else {
        check_run(args, &baseline)?
    };
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    let failures = verdicts.iter().filter(|verdict| verdict.level == Level::Fail).count();
    match failures {
        0 => println!("[PASS]  {passed}"),
        1 => println!("[FAIL]  1 regression; see docs/performance-playbook.md, stage F"),
        _ => println!("[FAIL]  {failures} regressions; see docs/performance-playbook.md, stage F"),
    }
    Ok(failures)
}

/// Times, and the counts of the same rows; what to say if all is well.
fn check_run(args: &Args, baseline: &Baseline) -> Result<(Vec<Verdict>, String), String> {
    let criterion = args.criterion_dir.clone().unwrap_or_else(criterion_dir);
    let run = Run::read(&criterion)?;
    if run.selected.is_empty() {
        return Err("the latest run selected no row: its filter matched nothing".to_owned());
    }
    let selected = Selected::by(&run)?;
    let how = How { threshold: args.threshold, absolute: args.absolute };
    let mut verdicts = times(baseline, &run.selected, &run.measured(&criterion), how);
    for _ in 0..args.again {
        look_again(baseline, &criterion, how, &mut verdicts);
    }
    verdicts.extend(lost(baseline.benchmarks.keys(), &run.selected.iter().collect(), &selected));
    if !args.no_counts {
        verdicts.extend(check_counts(baseline, &counted(args, &run.filter)?, &selected));
    }
    let (rows, percent) = (run.selected.len(), args.threshold * 100.0);
    Ok((verdicts, format!("{rows} rows within {percent} % of the baseline")))
}

/// Those of the file that was given, or of the rows that `filter` selects.
fn counted(args: &Args, filter: &str) -> Result<Vec<CountRow>, String> {
    match &args.counts {
        Some(path) => read_counts(path),
        None => count(filter),
    }
}

fn check_counts(baseline: &Baseline, counted: &[CountRow], selected: &Selected) -> Vec<Verdict> {
    let same = baseline.rustc == rustc();
    if !same {
        println!("[WARN]  the baseline was counted with another compiler: {}", baseline.rustc);
    }
    let ids: BTreeSet<_> = counted.iter().map(|row| &row.row).collect();
    let mut verdicts = lost(baseline.counts.iter().map(|row| &row.row), &ids, selected);
    verdicts.extend(counts(&baseline.counts, counted, selected, same));
    verdicts
}

/// Measures what is too slow once more: a row that is fast enough once is no regression.
fn look_again(baseline: &Baseline, criterion: &Path, how: How, verdicts: &mut [Verdict]) {
    let slow = |verdict: &&mut Verdict| verdict.level == Level::Fail && verdict.timed;
    let ids: Vec<String> = verdicts.iter_mut().filter(slow).map(|verdict| verdict.id.clone()).collect();
    if ids.is_empty() {
        return;
    }
    println!("[WARN]  measuring {} again: {}", ids.len(), ids.join(", "));
    let again = match measure(criterion, &ids) {
        Ok(again) => again,
        Err(error) => return println!("[WARN]  {error}"),
    };
    let now = times(baseline, &ids, &again, how);
    for (verdict, mut now) in verdicts.iter_mut().filter(slow).zip(now) {
        if now.level == Level::Check {
            now.level = Level::Warn;
            now.text += ": too slow before, not when measured again";
        }
        *verdict = now;
    }
}
