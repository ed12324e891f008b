//! The gate: compares the latest run of the matrix with the baseline.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use accelerator_benches::baseline::{Baseline, PATH, rustc};
use accelerator_benches::command::{options, refuse};
use accelerator_benches::compare::{How, Level, Verdict, counts, times};
use accelerator_benches::counts::read_counts;
use accelerator_benches::run::{Run, criterion_dir};
use clap::Parser;

/// Compares the latest run of the matrix with the baseline: the mean of each row, as a multiple of its limit's.
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
    /// Counts of this run: the output of `bench_counts --json`; without it, counts are not compared
    #[arg(long, value_name = "FILE")]
    counts: Option<PathBuf>,
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
    let criterion = args.criterion_dir.clone().unwrap_or_else(criterion_dir);
    let baseline = Baseline::read(&args.baseline)?;
    let mut run = Run::read(&criterion)?;
    let how = How { threshold: args.threshold, absolute: args.absolute };
    let mut verdicts = times(&baseline, &run, how);
    for _ in 0..args.again {
        let slow: Vec<String> = failed(&verdicts).map(|verdict| verdict.id.clone()).collect();
        if slow.is_empty() {
            break;
        }
        println!("[CHECK] measuring {} again: {}", slow.len(), slow.join(", "));
        // Only what failed; a row that is fast enough once is no regression.
        let again = measure(&criterion, &slow)?;
        run.rows.extend(again.rows);
        run.write(&criterion).map_err(|error| error.to_string())?;
        verdicts = times(&baseline, &run, how);
    }
    if let Some(path) = &args.counts {
        let same = baseline.rustc == rustc();
        if !same {
            println!("[WARN]  the baseline was counted with another compiler: {}", baseline.rustc);
        }
        verdicts.extend(counts(&baseline.counts, &read_counts(path)?, same));
    }
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    let failures = verdicts.iter().filter(|verdict| verdict.level == Level::Fail).count();
    let (rows, percent) = (run.selected.len(), args.threshold * 100.0);
    match failures {
        0 => println!("[PASS]  {rows} rows within {percent} % of the baseline"),
        _ => println!("[FAIL]  {failures} regressions; see docs/performance-playbook.md, stage F"),
    }
    Ok(failures)
}

fn failed(verdicts: &[Verdict]) -> impl Iterator<Item = &Verdict> {
    verdicts.iter().filter(|verdict| verdict.level == Level::Fail && verdict.timed)
}

/// Runs these rows alone.
fn measure(criterion: &Path, ids: &[String]) -> Result<Run, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let filter = ids.iter().map(|id| id.replace('+', r"\+")).collect::<Vec<_>>().join("|");
    let done = Command::new(cargo)
        .args(["bench", "--quiet", "--package", "accelerator-benches", "--bench", "cache_path_bench", "--"])
        .arg(format!("^({filter})$"))
        .env("CRITERION_HOME", criterion)
        .stdout(std::process::Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => Run::read(criterion),
        Ok(status) => Err(format!("measuring again failed with {status}")),
        Err(error) => Err(format!("cargo could not be started to measure again: {error}")),
    }
}
