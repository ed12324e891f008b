//! The main mode: starts everything, listens to the workers, interrupts the server, and ends it all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::args::Run;
use crate::chaos::{Chaos, Interruptions};
use crate::conductor::{Conductor, Length};
use crate::database::Database;
use crate::event::{BusSetup, Guards, Setup, Work};
use crate::fleet::Fleet;
use crate::judge::Judge;
use crate::pauses::Pauses;
use crate::report::Report;
use crate::server::Server;
use crate::worker::calls::{self, nanos};
use crate::worker::{Order, near_lag};

/// Whether no violations were found.
pub(crate) fn run(args: &Run) -> anyhow::Result<bool> {
    let backend = args.backend.context("no backend")?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    calls::slow_loads(args.slow_loads.unwrap_or(0));
    let server = Arc::new(Server::start(backend, args.url.as_deref())?);
    let database = Database::start(args.keys, None)?;
    let near = args.keys - args.keys / 4;
    // Nobody else's keys are in the way.
    let prefix = format!("checker-{:016x}.", fastrand::u64(..));
    let mut fleet = Fleet::start((0..args.processes).map(|process| Setup {
        process,
        work: Work::Operations {
            keys: args.keys,
            near,
            seed,
            guards: args.guards.then_some(Guards {
                process,
                processes: args.processes,
                sets: args.chaos == Chaos::default(),
            }),
        },
        backend,
        url: server.url(),
        prefix: prefix.clone(),
        leases: !args.no_leases,
        l2: true,
        bus: BusSetup::default(),
        database: database.socket().to_owned(),
        tasks: args.tasks,
        slow_loads: args.slow_loads.unwrap_or(0),
    }))?;
    let begin = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let judge = Judge::new(args.processes, near, nanos(near_lag()), database.versions());
    let interruptions = Interruptions::new(args.chaos, args.ops, &mut random, server.clone());
    let mut conductor = Conductor::new(args.processes, judge, interruptions);
    fleet.order(Order::Go)?;
    let pauses = args.pauses.map(|ms| Pauses::begin(server.clone(), ms, random.fork()));
    let length = Length { ops: args.ops, kills_one: args.guards && args.processes > 1 };
    conductor.perform(length, &mut fleet, &mut random)?;
    let took = begin.elapsed();
    let pauses = pauses.map_or(0, Pauses::end);
    fleet.order(Order::Stop)?;
    conductor.all_ended(&mut fleet)?;
    // What was given up at its limit may still be on its way to the server.
    std::thread::sleep(Duration::from_millis(300));
    fleet.order_one(0, Order::Rest)?;
    conductor.at_rest(1, &mut fleet)?;
    let report = Report::new(args, seed, took, conductor.ops(), &conductor.summaries, &conductor.recovery);
    let report = report.paused(pauses);
    report.tell(&conductor.judge)
}
