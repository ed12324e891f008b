//! Allocations, bytes, instructions, calls to L2 and to the source: what repeats exactly.
//!
//! Instructions need valgrind: the program runs itself under callgrind, twice per row with different lengths, so that
//! start and warm-up cancel.

use std::alloc::System;
use std::process::{Command, ExitCode};

use accelerator_benches::command::{options, refuse};
use accelerator_benches::counts::CountRow;
use accelerator_benches::matrix::{Subject, Way, build};
use accelerator_benches::rows::{Pair, Row, Via};
use clap::Parser;
use regex::Regex;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Prints the counts of each row of the matrix, and of storms on one cold key.
#[derive(Debug, Parser)]
#[command(name = "bench_counts", version)]
struct Args {
    /// One JSON object per line instead of the table
    #[arg(long)]
    json: bool,
    /// Only rows whose id matches
    #[arg(long, value_name = "REGEX", default_value = "")]
    filter: String,
    /// Leave instructions out, also where valgrind is there
    #[arg(long)]
    no_instructions: bool,
    /// Run one row so many times and print nothing: what callgrind sees
    #[arg(long, value_name = "ID", requires = "times", hide = true)]
    row: Option<String>,
    #[arg(long, value_name = "N", hide = true)]
    times: Option<u64>,
}

fn main() -> ExitCode {
    let args: Args = match options() {
        Ok(args) => args,
        Err(code) => return code,
    };
    if let (Some(id), Some(times)) = (&args.row, args.times) {
        let Some(row) = Row::all().into_iter().find(|row| row.id() == *id) else {
            return refuse(&format!("--row {id:?}: no row has this id"));
        };
        runtime().block_on(async { run(&mut Subject::new(row).await, times).await });
        return ExitCode::SUCCESS;
    }
    let filter = match Regex::new(&args.filter) {
        Ok(filter) => filter,
        Err(error) => return refuse(&format!("--filter {:?} is no regular expression: {error}", args.filter)),
    };
    if !args.json {
        let (row, via) = ("row", "via");
        println!(
            "{row:<44}{via:<8}{:>9}{:>9}{:>14}{:>13}{:>7}{:>20}",
            "allocs", "bytes", "instructions", "round_trips", "loads", "allocs_per_waiter"
        );
    }
    for row in Row::all().iter().filter(|row| filter.is_match(&row.id())) {
        print(&args, &counts(row, !args.no_instructions));
    }
    for pair in Pair::all().into_iter().filter(|pair| pair.l1 != "none" && pair.l2 == "none") {
        for tasks in [1_000, 10_000] {
            for way in Way::ALL {
                let id = format!("{pair}/storm/{tasks}/{}", way.name());
                if filter.is_match(&id) {
                    print(&args, &storm(pair, id, way, tasks));
                }
            }
        }
    }
    ExitCode::SUCCESS
}

fn print(args: &Args, row: &CountRow) {
    if args.json {
        match serde_json::to_string(row) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("{}: {error}", row.row),
        }
        return;
    }
    let optional = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"));
    println!(
        "{:<44}{:<8}{:>9.3}{:>9.1}{:>14}{:>13.3}{:>7.3}{:>20}",
        row.row,
        row.via,
        row.allocs,
        row.bytes,
        optional(row.instructions),
        row.round_trips,
        row.loads,
        optional(row.allocs_per_waiter)
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

async fn run(subject: &mut Subject, times: u64) {
    let mut left = times;
    while left > 0 {
        let now = left.min(subject.chunk());
        left -= now;
        subject.prepare();
        subject.run(now).await;
    }
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn counts(row: &Row, instructions: bool) -> CountRow {
    let (mut allocs, mut bytes, mut trips, mut loads, mut times) = (0, 0, 0, 0, 0);
    runtime().block_on(async {
        let mut subject = Subject::new(*row).await;
        let chunk = subject.chunk();
        run(&mut subject, chunk).await;
        for _ in 0..8 {
            subject.prepare();
            let calls = |subject: &Subject| {
                subject.built.memory.as_ref().map_or(0, accelerator::testkit::MemoryL2::round_trips)
            };
            let before = (calls(&subject), subject.service.source.loads());
            let region = Region::new(ALLOCATOR);
            subject.run(chunk).await;
            let change = region.change();
            allocs += change.allocations;
            bytes += change.bytes_allocated;
            trips += calls(&subject) - before.0;
            loads += subject.service.source.loads() - before.1;
            times += chunk;
        }
    });
    let each = |count: u64| round(count as f64 / times as f64);
    CountRow {
        row: row.id(),
        l1: row.pair.l1.to_owned(),
        l2: row.pair.l2.to_owned(),
        via: if row.via == Via::Manual { "dyn" } else { row.via.name() }.to_owned(),
        allocs: each(allocs as u64),
        bytes: each(bytes as u64),
        instructions: if instructions { count_instructions(row) } else { None },
        round_trips: each(trips),
        loads: each(loads),
        allocs_per_waiter: None,
    }
}

fn storm(pair: Pair, row: String, way: Way, tasks: u64) -> CountRow {
    let storm = build(pair).storm(way, tasks, &|| ALLOCATOR.stats().allocations as u64);
    CountRow {
        row,
        l1: pair.l1.to_owned(),
        l2: pair.l2.to_owned(),
        via: if way == Way::Macro { "macro" } else { "static" }.to_owned(),
        allocs: 0.0,
        bytes: 0.0,
        instructions: None,
        round_trips: 0.0,
        loads: storm.loads as f64,
        allocs_per_waiter: Some(storm.allocs_per_waiter),
    }
}

/// The difference of two lengths, for one operation; `None` without valgrind.
fn count_instructions(row: &Row) -> Option<f64> {
    let (few, many) = if row.batch { (64, 320) } else { (1_024, 5_120) };
    let (short, long) = (callgrind(&row.id(), few)?, callgrind(&row.id(), many)?);
    Some(round((long as f64 - short as f64) / (many - few) as f64))
}

fn callgrind(id: &str, times: u64) -> Option<u64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["--row", id, "--times", &times.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    text.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok())
}
