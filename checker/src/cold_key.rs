//! One cold key, asked for by many tasks of many processes at once.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Serialize;

use crate::args::ColdKey;
use crate::database::Database;
use crate::event::{BusSetup, ColdSummary, Message, Setup, Work};
use crate::fleet::Fleet;
use crate::server::Server;
use crate::time::whole_millis;
use crate::worker::Order;
use crate::worker::calls::nanos;
use crate::worker::cold::shortest_lease;

const HANGS: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(5);

#[derive(Serialize)]
struct Report {
    loads: usize,
    /// The most loads that are right: one, and one more for each lease that ended with its holder, and for each read that
    /// L2 did not answer.
    most_loads: usize,
    l2_errors: u64,
    answers: u64,
    wrong: u64,
    errors: u64,
    max_call_ms: u64,
    processes: usize,
    tasks: usize,
    killed: usize,
}

/// Whether there was one load per lease period, and the right answer for all.
pub(crate) fn run(args: &ColdKey) -> anyhow::Result<bool> {
    let server = Server::start(args.backend, args.url.as_deref())?;
    let (sender, reads) = channel();
    let database = Database::start(1, Some(sender))?;
    let prefix = format!("checker-{:016x}.", fastrand::u64(..));
    let mut fleet = Fleet::start((0..args.processes).map(|process| Setup {
        process,
        work: Work::Cold,
        backend: args.backend,
        url: server.url(),
        prefix: prefix.clone(),
        leases: !args.no_leases,
        l2: true,
        bus: BusSetup::default(),
        database: database.socket().to_owned(),
        tasks: args.tasks,
        slow_loads: 0,
    }))?;
    fleet.order(Order::Go)?;
    let begin = Instant::now();
    let (mut loads, mut killed, mut answers) = (Vec::new(), 0, Vec::new());
    while answers.len() < args.processes - killed {
        if let Some((_, Message::Cold(summary))) = fleet.next(TICK)? {
            answers.push(summary);
        }
        for asked in reads.try_iter() {
            if args.kill_holder && loads.is_empty() {
                fleet.kill(asked.process)?;
                killed = 1;
            }
            loads.push(asked.at);
        }
        if begin.elapsed() > HANGS {
            bail!("{} of {} processes have answered within {HANGS:?}", answers.len(), args.processes);
        }
    }
    loads.extend(reads.try_iter().map(|asked| asked.at));
    Report::new(args, &loads, killed, &answers).tell(args.json, &answers)
}

impl Report {
    fn new(args: &ColdKey, loads: &[u64], killed: usize, all: &[ColdSummary]) -> Self {
        let sum = |of: fn(&ColdSummary) -> u64| all.iter().map(of).sum();
        // A lease that was not given back ends a full period after it was taken, and not before.
        let since_first = loads.iter().max().zip(loads.first()).map_or(0, |(last, first)| last - first);
        let l2_errors = sum(|s| s.l2_errors);
        let most_loads = 1 + l2_errors as usize + (since_first / nanos(shortest_lease(args.backend))) as usize;
        Self {
            loads: loads.len(),
            most_loads,
            l2_errors,
            answers: sum(|s| s.right),
            wrong: sum(|s| s.wrong),
            errors: sum(|s| s.errors),
            max_call_ms: whole_millis(all.iter().map(|s| s.longest).max().unwrap_or(0)),
            processes: args.processes,
            tasks: args.tasks,
            killed,
        }
    }

    fn tell(&self, json: bool, all: &[ColdSummary]) -> anyhow::Result<bool> {
        let wanted = (self.processes - self.killed) * self.tasks;
        let mut found = Vec::new();
        if self.loads > self.most_loads {
            found.push(format!("{} loads, of at most {}", self.loads, self.most_loads));
        }
        if self.answers != wanted as u64 {
            found.push(format!("{} right answers, of {wanted}", self.answers));
        }
        found.extend(all.iter().find_map(|s| s.first_error.clone()).map(|error| format!("the first error: {error}")));
        for violation in &found {
            find!(json, "violation: {violation}");
        }
        if json {
            say!("{}", serde_json::to_string(self)?);
        } else {
            let Self { loads, l2_errors, answers, processes, tasks, max_call_ms, killed, .. } = self;
            say!("{loads} loads for {processes} processes of {tasks} tasks; {killed} processes killed");
            say!("{answers} right answers, the last after {max_call_ms} ms; {l2_errors} errors of L2");
        }
        Ok(found.is_empty())
    }
}
