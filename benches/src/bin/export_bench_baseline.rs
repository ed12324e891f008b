//! Writes the latest run of the matrix as the baseline of later ones.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use accelerator_benches::again::count;
use accelerator_benches::baseline::{Baseline, PATH};
use accelerator_benches::command::{options, refuse};
use accelerator_benches::counts::read_counts;
use accelerator_benches::run::{Run, criterion_dir};
use clap::Parser;

/// Writes the latest run of the matrix, and its counts, as a baseline.
#[derive(Debug, Parser)]
#[command(name = "export_bench_baseline", version)]
struct Args {
    /// Where the run is [default: target/criterion]
    #[arg(long, value_name = "DIR")]
    criterion_dir: Option<PathBuf>,
    /// Where to write; `-`: to standard output
    #[arg(long, value_name = "FILE", default_value = PATH)]
    output: String,
    /// Counts to put in: the output of `bench_counts --json` [default: counted now]
    #[arg(long, value_name = "FILE")]
    counts: Option<PathBuf>,
    /// Write nothing; print the filter of the run, and on a second line the stores of its rows that need a server
    #[arg(long)]
    show_run: bool,
}

fn main() -> ExitCode {
    let args: Args = match options() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match export(&args) {
        Ok(said) => {
            if !said.is_empty() {
                println!("{said}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}

fn export(args: &Args) -> Result<String, String> {
    let criterion = args.criterion_dir.clone().unwrap_or_else(criterion_dir);
    let run = Run::read(&criterion)?;
    if args.show_run {
        return Ok(format!("{}\n{}", run.filter, run.servers().collect::<Vec<_>>().join(" ")));
    }
    // A run that can't be exported says so before anybody waits for counts.
    let mut baseline = Baseline::of(&run, &criterion, Vec::new())?;
    baseline.counts = match &args.counts {
        Some(path) => read_counts(path)?,
        None => count(&run.filter)?,
    };
    let text = serde_json::to_string_pretty(&baseline).map_err(|error| error.to_string())? + "\n";
    if args.output == "-" {
        std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        return Ok(String::new());
    }
    let path = Path::new(&args.output);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("--output {}: {error}", path.display()))?;
    Ok(format!("{} rows and {} counts written to {}", baseline.benchmarks.len(), baseline.counts.len(), path.display()))
}
