//! The outcome of a run: lines for people, or one for programs.

use std::time::Duration;

use serde::Serialize;

use crate::args::Run;
use crate::backend::Backend;
use crate::event::{Summary, Verb};
use crate::judge::Judge;
use crate::time::whole_millis;
use crate::worker::calls::{limit, longest_limit};

/// After a restart the store must work again within this.
const RECOVERY_MS: u64 = 2_000;
/// More than the memory of a process may grow after its warm-up: allocators keep what they have had.
const GROWTH_KIB: i64 = 16 * 1024;
/// The worker keeps a list for each key that it has asked for, and values of some in L1: so many keys per KiB.
const KEYS_PER_KIB: u32 = 10;

/// What programs read.
#[derive(Serialize)]
pub(crate) struct Report {
    ops: u64,
    hits: u64,
    stale_reads: u64,
    stale_at_rest: u64,
    max_call_ms: u64,
    /// The longest hard timeout of any verb.
    max_timeout_ms: u64,
    /// Calls longer than the hard timeout of their own verb, the grace, and what the machine kept tasks waiting.
    late_calls: u64,
    loader_healthy_errors: u64,
    recovery_ms_max: u64,
    flights_left: usize,
    /// Deletes that were still not confirmed when their caches had been shut down.
    unconfirmed_left: usize,
    rss_growth_kib: i64,
    reads_judged: u64,
    loads: u64,
    unconfirmed: u64,
    restarts: u64,
    stops: u64,
    pauses: u64,
    pauses_ms: Option<u64>,
    slow_loads_ms: Option<u64>,
    stall_ms_max: u64,
    seconds: f64,
    backend: Option<Backend>,
    leases: bool,
    guards: bool,
    processes: usize,
    keys: u32,
    seed: u64,
    #[serde(skip)]
    json: bool,
    #[serde(skip)]
    longest: [u64; Verb::ALL.len()],
    #[serde(skip)]
    recovery: String,
    #[serde(skip)]
    first_late: Option<String>,
    #[serde(skip)]
    first_error: Option<String>,
}

impl Report {
    pub(crate) fn new(
        args: &Run,
        seed: u64,
        took: Duration,
        ops: u64,
        all: &[Summary],
        recovery: &(u64, String),
    ) -> Self {
        let mut longest = [0; Verb::ALL.len()];
        for summary in all {
            for (longest, one) in longest.iter_mut().zip(summary.longest) {
                *longest = one.max(*longest);
            }
        }
        let sum = |of: fn(&Summary) -> u64| all.iter().map(of).sum();
        Self {
            ops,
            hits: sum(|s| s.hits),
            stale_reads: 0,
            stale_at_rest: 0,
            max_call_ms: whole_millis(longest.into_iter().max().unwrap_or(0)),
            max_timeout_ms: longest_limit().as_millis() as u64,
            late_calls: sum(|s| s.late),
            loader_healthy_errors: sum(|s| s.errors),
            recovery_ms_max: whole_millis(recovery.0),
            flights_left: all.iter().map(|s| s.flights_left).sum(),
            unconfirmed_left: all.iter().map(|s| s.unconfirmed_left).sum(),
            rss_growth_kib: all.iter().map(|s| s.rss_growth_kib).max().unwrap_or(0),
            reads_judged: 0,
            loads: sum(|s| s.loads),
            unconfirmed: sum(|s| s.unconfirmed),
            restarts: args.chaos.restarts,
            stops: args.chaos.stops,
            pauses: 0,
            pauses_ms: args.pauses,
            slow_loads_ms: args.slow_loads,
            stall_ms_max: whole_millis(all.iter().map(|s| s.stall).max().unwrap_or(0)),
            seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            backend: args.backend,
            leases: !args.no_leases,
            guards: args.guards,
            processes: args.processes,
            keys: args.keys,
            seed,
            json: args.json,
            longest,
            recovery: recovery.1.clone(),
            first_late: all.iter().find_map(|s| s.first_late.clone()),
            first_error: all.iter().find_map(|s| s.first_error.clone()),
        }
    }

    /// With so many pauses of the server.
    pub(crate) fn paused(self, pauses: u64) -> Self {
        Self { pauses, ..self }
    }

    /// Prints it. Whether no violations were found.
    pub(crate) fn tell(mut self, judge: &Judge) -> anyhow::Result<bool> {
        (self.stale_reads, self.stale_at_rest) = (judge.stale_reads, judge.stale_at_rest);
        self.reads_judged = judge.reads_judged;
        if let Some(first) = &judge.first {
            find!(self.json, "{first}\n");
        }
        let violations = self.violations();
        for violation in &violations {
            find!(self.json, "violation: {violation}");
        }
        if self.json {
            say!("{}", serde_json::to_string(&self)?);
        } else {
            self.lines();
        }
        Ok(violations.is_empty())
    }

    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut no = |count: u64, what: &str| {
            if count > 0 {
                found.push(format!("{count} {what}"));
            }
        };
        no(self.stale_reads, "stale reads");
        no(self.stale_at_rest, "stale values at rest");
        no(self.late_calls, "calls longer than their hard timeout");
        no(self.loader_healthy_errors, "errors of reads whose loader was well");
        no(self.flights_left as u64, "flights left at the end");
        no(self.unconfirmed_left as u64, "deletes left unconfirmed at the end");
        if let Some(late) = &self.first_late {
            found.push(format!("the first late call: {late}"));
        }
        if let Some(error) = &self.first_error {
            found.push(format!("the first error: {error}"));
        }
        if self.recovery_ms_max > RECOVERY_MS {
            let (took, how) = (self.recovery_ms_max, &self.recovery);
            found.push(format!("a recovery took {took} ms, of at most {RECOVERY_MS}: {how}"));
        }
        let most = GROWTH_KIB + i64::from(self.keys / KEYS_PER_KIB);
        if self.rss_growth_kib > most {
            found.push(format!("a process grew by {} KiB, of at most {most}", self.rss_growth_kib));
        }
        found
    }

    fn lines(&self) {
        let (seconds, speed) = (self.seconds, self.ops as f64 / self.seconds.max(0.1));
        say!("operations     {} in {seconds} s, {speed:.0} per second; {} reads judged", self.ops, self.reads_judged);
        say!("hits, loads    {}, {}", self.hits, self.loads);
        say!("stale          {} reads, {} values at rest", self.stale_reads, self.stale_at_rest);
        say!("unconfirmed    {} invalidations", self.unconfirmed);
        say!("interruptions  {} restarts, {} stops; back in {} ms", self.restarts, self.stops, self.recovery_ms_max);
        if let Some(ms) = self.pauses_ms {
            say!("pauses         {} of {ms} ms", self.pauses);
        }
        if let Some(ms) = self.slow_loads_ms {
            say!("slow loads     one in a hundred, {ms} ms");
        }
        say!("left           {} flights; memory grew by {} KiB", self.flights_left, self.rss_growth_kib);
        say!("late calls     {}; the machine stalled for up to {} ms", self.late_calls, self.stall_ms_max);
        for (verb, longest) in Verb::ALL.into_iter().zip(self.longest) {
            let (took, limit) = (whole_millis(longest), limit(verb).as_millis());
            say!("{:<15}longest call {took} ms, hard timeout {limit} ms", format!("{verb:?}"));
        }
        say!("seed           {}", self.seed);
    }
}
