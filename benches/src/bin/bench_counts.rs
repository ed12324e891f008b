//! Allocations, bytes, instructions, calls to L2 and to the source: what repeats exactly.
//!
//! Instructions need valgrind: the program runs itself under callgrind, once per row.

use std::alloc::System;
use std::process::ExitCode;

use accelerator::testkit::server::CountingProxy;
use accelerator_benches::callgrind::{calls, median};
use accelerator_benches::command::{options, refuse};
use accelerator_benches::counts::CountRow;
use accelerator_benches::matrix::{CHUNK, Servers, Subject, Way, address, build};
use accelerator_benches::rows::{BATCH, L2, Pair, Row, Via};
use accelerator_benches::select::{names_a_server, pattern};
use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Operations of which each is counted by itself. The least of them is the row's: what a store does now and then (a table
/// that grows, an eviction, garbage that is collected) comes on top in some of them, when the clock or other threads say.
const TURNS: usize = 256;

/// Turns, of many operations each, in which instructions are counted; their median is the row's.
const COUNTED_TURNS: u32 = 25;

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
    /// Run one row and print nothing: what callgrind sees
    #[arg(long, value_name = "ID")]
    row: Option<String>,
}

fn main() -> ExitCode {
    let args: Args = match options() {
        Ok(args) => args,
        Err(code) => return code,
    };
    if let Some(id) = &args.row {
        let Some(row) = Row::all().into_iter().find(|row| row.id() == *id) else {
            return refuse(&format!("--row {id:?}: no row has this id"));
        };
        let (runtime, mut counted) = begin(row, &Servers::default());
        (0..COUNTED_TURNS).for_each(|_| counted.turn(&runtime, counted_turn));
        return ExitCode::SUCCESS;
    }
    let filter = match pattern(&args.filter) {
        Ok(filter) => filter,
        Err(error) => return refuse(&format!("--filter: {error}")),
    };
    if !args.json {
        let (row, via) = ("row", "via");
        println!(
            "{row:<46}{via:<8}{:>9}{:>9}{:>14}{:>13}{:>7}{:>20}",
            "allocs", "bytes", "instructions", "round_trips", "loads", "allocs_per_waiter"
        );
    }
    let servers = Servers::new(|name| std::env::var(name).ok().filter(|url| names_a_server(url)));
    for variable in L2.iter().filter_map(|(_, variable)| *variable) {
        if servers.has(variable)
            && let Err(error) = runtime().block_on(servers.check(variable))
        {
            return refuse(&error);
        }
    }
    for row in Row::all().iter().filter(|row| filter.is_match(&row.id())) {
        match row.pair.server() {
            None => print(&args, &local_counts(row, !args.no_instructions)),
            Some(variable) if servers.has(variable) => print(&args, &remote_counts(row, &servers)),
            Some(_) => {}
        }
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
        "{:<46}{:<8}{:>9.3}{:>9.1}{:>14}{:>13.3}{:>7.3}{:>20}",
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

/// A row, warmed up.
struct Counted {
    subject: Subject,
    operations: u64,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn begin(row: Row, servers: &Servers) -> (Runtime, Counted) {
    let runtime = runtime();
    let subject = runtime.block_on(Subject::new(row, servers));
    let mut counted = Counted { subject, operations: if row.batch { CHUNK / BATCH } else { CHUNK } };
    counted.turn(&runtime, run);
    (runtime, counted)
}

impl Counted {
    fn turn(&mut self, runtime: &Runtime, run: fn(&Runtime, &mut Subject, u64)) {
        self.subject.prepare();
        run(runtime, &mut self.subject, self.operations);
    }
}

/// The one function of which callgrind counts the calls.
#[inline(never)]
fn counted_turn(runtime: &Runtime, subject: &mut Subject, operations: u64) {
    run(runtime, subject, operations);
}

fn run(runtime: &Runtime, subject: &mut Subject, operations: u64) {
    runtime.block_on(subject.run(operations));
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn local_counts(row: &Row, instructions: bool) -> CountRow {
    let calls = || calls("bench_counts::counted_turn", &["--row", &row.id()]);
    let median = if instructions { calls().and_then(median) } else { None };
    counts(row, &Servers::default(), median)
}

/// What a client does depends on how the answers arrive, so its instructions are not counted. Round trips are counted
/// by a proxy, which allocates too: by itself, one operation at a time.
fn remote_counts(row: &Row, servers: &Servers) -> CountRow {
    const OPERATIONS: u64 = 8;
    let direct = counts(row, servers, None);
    let round_trips = runtime().block_on(async {
        let proxy = CountingProxy::start(address(servers.url(row.pair.l2).unwrap_or_default())).await;
        let mut subject = Subject::new(*row, &servers.behind(row.pair.l2, &proxy.addr())).await;
        subject.prepare();
        subject.run(1).await;
        proxy.reset();
        for _ in 0..OPERATIONS {
            subject.prepare();
            subject.run(1).await;
        }
        proxy.round_trips() as f64 / OPERATIONS as f64
    });
    CountRow { round_trips: round(round_trips), ..direct }
}

fn counts(row: &Row, servers: &Servers, instructions: Option<u64>) -> CountRow {
    let (runtime, mut counted) = begin(*row, servers);
    let turns: Vec<[u64; 4]> = (0..TURNS).map(|_| single(&runtime, &mut counted.subject)).collect();
    let least = |what: usize| turns.iter().map(|turn| turn[what]).min().unwrap_or(0) as f64;
    let [allocs, bytes, trips, loads] = std::array::from_fn(least);
    let each = |count: u64| round(count as f64 / counted.operations as f64);
    CountRow {
        row: row.id(),
        l1: row.pair.l1.to_owned(),
        l2: row.pair.l2.to_owned(),
        via: if row.via == Via::Manual { "dyn" } else { row.via.name() }.to_owned(),
        allocs,
        bytes,
        instructions: instructions.map(each),
        round_trips: trips,
        loads,
        allocs_per_waiter: None,
    }
}

/// Allocations, bytes, calls to L2 and to the source, of one operation.
fn single(runtime: &Runtime, subject: &mut Subject) -> [u64; 4] {
    subject.prepare();
    let before = (subject.built.round_trips(), subject.service.source.loads());
    let region = Region::new(ALLOCATOR);
    run(runtime, subject, 1);
    let change = region.change();
    [
        change.allocations as u64,
        change.bytes_allocated as u64,
        subject.built.round_trips() - before.0,
        subject.service.source.loads() - before.1,
    ]
}

fn storm(pair: Pair, row: String, way: Way, tasks: u64) -> CountRow {
    let storm = runtime()
        .block_on(build(pair, &Servers::default()))
        .storm(way, tasks, &|| ALLOCATOR.stats().allocations as u64);
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
