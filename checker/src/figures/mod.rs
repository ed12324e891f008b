//! Figures of the bus on Redis, as this machine has them: how fast it is, what it costs, and what a large fleet does to it.

mod areas;
mod crowd;
mod pace;

use serde::Serialize;

use crate::args::FleetRun;
use crate::backend::Backend;
use crate::server::Server;

use areas::Areas;
use crowd::Crowd;
use pace::Pace;

#[derive(Serialize)]
struct Report {
    pace: Pace,
    areas: Areas,
    fills: Crowd,
    dels: Crowd,
    processes: usize,
    cores: usize,
}

/// Whether what does not depend on the machine is as it is promised: one connection that listens for all caches of a
/// process, and fills that nobody is told of.
pub(crate) fn run(args: &FleetRun) -> anyhow::Result<bool> {
    let server = Server::start(Backend::Redis, None)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let pace = runtime.block_on(pace::measure(&server))?;
    let areas = runtime.block_on(areas::measure(&server, args.caches))?;
    drop(runtime);
    let report = Report {
        pace,
        areas,
        fills: crowd::measure(args, &server, true)?,
        dels: crowd::measure(args, &server, false)?,
        processes: args.processes,
        cores: std::thread::available_parallelism().map_or(0, usize::from),
    };
    let mut found = Vec::new();
    if report.areas.listening_connections != 1 {
        found.push(format!("{} connections listen for one process", report.areas.listening_connections));
    }
    if report.fills.published != 0 {
        found.push(format!("{} invalidations published by fills", report.fills.published));
    }
    for violation in &found {
        find!(args.json, "violation: {violation}");
    }
    if args.json {
        say!("{}", serde_json::to_string(&report)?);
    } else {
        report.lines();
    }
    Ok(found.is_empty())
}

impl Report {
    fn lines(&self) {
        let Pace { echo_p50_us, echo_p99_us, del_us, del_with_bus_us, del_ratio, del_ratio_apart, rounds } = &self.pace;
        say!("delay          {echo_p50_us:.0} us half, {echo_p99_us:.0} us 99 of 100, from publish to hearing it");
        say!(
            "del            {del_us:.0} us, with a bus {del_with_bus_us:.0} us: {del_ratio:.2} times, {del_ratio_apart:.2} with a bus on a connection of its own, by {rounds} rounds"
        );
        let Areas { caches, listening_connections, bytes_per_cache, bytes_per_cache_without_bus } = &self.areas;
        say!("caches         {caches}, {listening_connections} connection listens");
        say!("memory         {bytes_per_cache} bytes per cache, {bytes_per_cache_without_bus} without a bus");
        for (name, crowd) in [("fills", &self.fills), ("dels", &self.dels)] {
            let Crowd { calls_per_s, published, messages_per_s, received_per_s, gaps, errors, .. } = crowd;
            say!("{name:<15}{calls_per_s:.0} per second by {} processes; {errors} failed", self.processes);
            say!("               {published} invalidations published in {messages_per_s:.0} messages per second");
            say!("               {received_per_s:.0} received per second by all; {gaps} gaps");
            let (server, workers) = (crowd.server_cpu, crowd.workers_cpu);
            say!("               server {server:.2} of a core, all processes {workers:.2} of {} cores", self.cores);
        }
    }
}

/// What a process has used of a processor until now; this one, if none is named.
pub(crate) fn cpu_ms(process: Option<u32>) -> Option<u64> {
    /// The unit of the file, on every Linux that is in use.
    const TICK_MS: u64 = 10;
    let process = process.map_or_else(|| "self".to_owned(), |id| id.to_string());
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name stands in brackets, and may have any bytes in it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let (user, system): (u64, u64) = (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
    Some((user + system) * TICK_MS)
}
