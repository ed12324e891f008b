//! Many processes that fill, or delete, at a pace.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::args::FleetRun;
use crate::backend::{Backend, Carrier};
use crate::event::{BusSetup, CrowdSummary, Message, Setup, Work};
use crate::figures::cpu_ms;
use crate::fleet::Fleet;
use crate::server::Server;
use crate::worker::Order;

/// Beside the time that is asked for.
const HANGS: Duration = Duration::from_secs(60);

#[derive(Serialize)]
pub(super) struct Crowd {
    pub(super) calls_per_s: f64,
    pub(super) errors: u64,
    /// Invalidations that the bus took.
    pub(super) published: u64,
    /// `PUBLISH` commands at the server, hellos included.
    pub(super) messages_per_s: f64,
    /// Keys that all processes together were told.
    pub(super) received_per_s: f64,
    pub(super) gaps: u64,
    /// Cores in use.
    pub(super) server_cpu: f64,
    pub(super) workers_cpu: f64,
    pub(super) seconds: f64,
}

pub(super) fn measure(args: &FleetRun, server: &Server, fills: bool) -> anyhow::Result<Crowd> {
    let all = args.processes as u32;
    let prefix = if fills { "fills." } else { "dels." };
    let mut fleet = Fleet::start((0..args.processes).map(|process| Setup {
        process,
        work: Work::Crowd {
            fills,
            // What is left over goes to the first ones.
            per_second: if fills {
                args.fills / all + u32::from((process as u32) < args.fills % all)
            } else {
                args.dels
            },
            seconds: args.seconds,
        },
        backend: Backend::Redis,
        url: server.url(),
        prefix: prefix.to_owned(),
        leases: true,
        l2: true,
        bus: BusSetup { carrier: Carrier::Redis, url: server.url(), ..BusSetup::default() },
        // It is asked for nothing.
        database: std::path::PathBuf::new(),
        tasks: 1,
        slow_loads: 0,
    }))?;
    let before = (messages(server)?, cpu_ms(server.process()));
    fleet.order(Order::Go)?;
    let begin = Instant::now();
    let most = Duration::from_secs(args.seconds.into()) + HANGS;
    let mut ends: Vec<CrowdSummary> = Vec::new();
    while ends.len() < args.processes {
        if let Some((_, Message::Crowd(end))) = fleet.next(Duration::from_millis(50))? {
            ends.push(end);
        }
        if begin.elapsed() > most {
            bail!("{} of {} processes have ended within {most:?}", ends.len(), args.processes);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let after = (messages(server)?, cpu_ms(server.process()));
    let sum = |of: fn(&CrowdSummary) -> u64| ends.iter().map(of).sum::<u64>();
    // Each has its own time: the last one may have begun late.
    let longest = ends.iter().map(|end| end.took_ms).max().unwrap_or(1).max(1) as f64 / 1000.0;
    let server_cpu = after.1.zip(before.1).map_or(0, |(after, before)| after - before) as f64 / 1000.0;
    Ok(Crowd {
        calls_per_s: sum(|end| end.done) as f64 / longest,
        errors: sum(|end| end.errors),
        published: sum(|end| end.published),
        messages_per_s: (after.0 - before.0) as f64 / seconds,
        received_per_s: sum(|end| end.received) as f64 / longest,
        gaps: sum(|end| end.gaps),
        server_cpu: server_cpu / seconds,
        workers_cpu: sum(|end| end.cpu_ms) as f64 / 1000.0 / longest,
        seconds: longest,
    })
}

/// `PUBLISH` commands that the server has had.
fn messages(server: &Server) -> anyhow::Result<u64> {
    let said = server.ask("INFO commandstats").context("the server says nothing of its commands")?;
    let calls = said.lines().find_map(|line| line.strip_prefix("cmdstat_publish:calls="));
    Ok(calls.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or(0))
}
