//! The main mode: starts everything, listens to the workers, interrupts the server, and ends it all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::args::Run;
use crate::chaos::{Chaos, Interruptions};
use crate::database::Database;
use crate::event::{Guards, Message, Setup, Summary, Work};
use crate::fleet::Fleet;
use crate::judge::Judge;
use crate::pauses::Pauses;
use crate::report::Report;
use crate::server::Server;
use crate::worker::calls::{self, nanos};
use crate::worker::{Order, near_lag};

/// How often it looks whether something is due.
const TICK: Duration = Duration::from_millis(5);
/// Without an operation in so long, the run hangs.
const HANGS: Duration = Duration::from_secs(60);

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
        database: database.socket().to_owned(),
        tasks: args.tasks,
        slow_loads: args.slow_loads.unwrap_or(0),
    }))?;
    let begin = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut conductor = Conductor {
        judge: Judge::new(args.processes, near, nanos(near_lag()), database.versions()),
        interruptions: Interruptions::new(args.chaos, args.ops, &mut random, server.clone()),
        ops: vec![0; args.processes],
        summaries: Vec::new(),
        recovery: (0, String::new()),
        at_rest: false,
    };
    fleet.order(Order::Go)?;
    let pauses = args.pauses.map(|ms| Pauses::begin(server.clone(), ms, random.fork()));
    conductor.perform(args, &mut fleet, &mut random)?;
    let took = begin.elapsed();
    let pauses = pauses.map_or(0, Pauses::end);
    fleet.order(Order::Stop)?;
    while conductor.summaries.len() < fleet.living() {
        conductor.listen(&mut fleet, HANGS)?;
    }
    // What was given up at its limit may still be on its way to the server.
    std::thread::sleep(Duration::from_millis(300));
    fleet.order_one(0, Order::Rest)?;
    while !conductor.at_rest {
        conductor.listen(&mut fleet, HANGS)?;
    }
    conductor.judge.close();
    let report = Report::new(args, seed, took, conductor.ops.iter().sum(), &conductor.summaries, &conductor.recovery);
    let report = report.paused(pauses);
    report.tell(&conductor.judge)
}

struct Conductor {
    judge: Judge,
    interruptions: Interruptions,
    /// Of each process.
    ops: Vec<u64>,
    summaries: Vec<Summary>,
    /// The longest one, in nanoseconds, and what happened.
    recovery: (u64, String),
    at_rest: bool,
}

impl Conductor {
    /// Until all operations are done, and all interruptions over.
    fn perform(&mut self, args: &Run, fleet: &mut Fleet, random: &mut fastrand::Rng) -> anyhow::Result<()> {
        let (mut warm, mut progress) = (false, (0, Instant::now()));
        loop {
            self.listen(fleet, TICK)?;
            let ops = self.ops.iter().sum();
            if ops > progress.0 {
                progress = (ops, Instant::now());
            } else if progress.1.elapsed() > HANGS {
                bail!("no operation has ended for {HANGS:?}, after {ops}");
            }
            if !warm && ops >= args.ops / 5 {
                warm = true;
                fleet.order(Order::Warm)?;
            }
            // The last one: the first looks at what is left.
            let last = args.processes - 1;
            if args.guards && last > 0 && !fleet.is_killed(last) && ops >= args.ops / 2 && self.interruptions.is_calm()
            {
                fleet.kill(last)?;
                self.judge.gone(last);
            }
            if let Some(at) = self.interruptions.tick(ops, fleet.living(), random)? {
                fleet.order(Order::Back { at })?;
            }
            if self.interruptions.are_over(ops) {
                return Ok(());
            }
        }
    }

    /// Takes messages, at most for `wait`.
    fn listen(&mut self, fleet: &mut Fleet, wait: Duration) -> anyhow::Result<()> {
        let Some((process, message)) = fleet.next(wait)? else {
            // Journals come all the time.
            return if wait < HANGS { Ok(()) } else { Err(anyhow::anyhow!("the workers are silent")) };
        };
        if fleet.is_killed(process) {
            return Ok(());
        }
        match message {
            Message::Journal { until, ops, events } => {
                self.at_rest |= until == u64::MAX;
                self.ops[process] = ops.max(self.ops[process]);
                self.judge.journal(process, until, events);
            }
            Message::Recovered { took, tried } => {
                if took > self.recovery.0 {
                    self.recovery =
                        (took, format!("{tried}, by process {process} after a {}", self.interruptions.name()));
                }
                self.interruptions.recovered(self.ops.iter().sum());
            }
            Message::Ended(summary) => self.summaries.push(summary),
            Message::Ready | Message::Cold(_) | Message::Trouble(_) => {}
        }
        Ok(())
    }
}
