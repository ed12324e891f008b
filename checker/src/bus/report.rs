//! The outcome of a run: lines for people, or one for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::args::BusRun;
use crate::backend::{Carrier, L2};
use crate::conductor::Conductor;
use crate::event::{News, Summary};
use crate::judge::Judge;
use crate::time::{millis, whole_millis};

/// What programs read. Delays are those of the slowest process.
#[derive(Serialize)]
pub(super) struct Report {
    ops: u64,
    hits: u64,
    stale_beyond_bound: u64,
    stale_at_rest: u64,
    /// From a node's publish to another's purge, by their clocks, in whole milliseconds.
    delay_p50_ms: f64,
    delay_p99_ms: f64,
    delay_max_ms: f64,
    /// From a node's publish until it hears itself.
    echo_p50_ms: f64,
    echo_p99_ms: f64,
    echo_max_ms: f64,
    gaps: u64,
    gaps_by_cause: BTreeMap<String, u64>,
    /// From when the server was back until every cache heard again and owed nothing.
    recovery_ms_max: u64,
    bound_ms: u64,
    bound_broken_ms: u64,
    reads_judged: u64,
    loads: u64,
    unconfirmed: u64,
    published: u64,
    publishes_failed: u64,
    received: u64,
    loader_healthy_errors: u64,
    flights_left: usize,
    unconfirmed_left: usize,
    unpublished_left: usize,
    restarts: u64,
    stops: u64,
    kills: u64,
    loss: Option<u32>,
    blind: bool,
    stall_ms_max: u64,
    seconds: f64,
    l2: L2,
    bus: Carrier,
    processes: usize,
    tasks: usize,
    keys: u32,
    seed: u64,
    #[serde(skip)]
    json: bool,
    #[serde(skip)]
    recovery: String,
    #[serde(skip)]
    first_error: Option<String>,
}

impl Report {
    pub(super) fn new(
        args: &BusRun,
        seed: u64,
        took: Duration,
        (bound, broken): (Duration, Duration),
        run: &Conductor,
    ) -> Self {
        let all = &run.summaries;
        let sum = |of: fn(&Summary) -> u64| all.iter().map(of).sum();
        let left = |of: fn(&Summary) -> usize| all.iter().map(of).sum();
        let slowest = |of: fn(&News) -> u64| millis(all.iter().map(|s| of(&s.news)).max().unwrap_or(0));
        let mut causes = BTreeMap::new();
        for (cause, n) in all.iter().flat_map(|s| &s.news.gaps) {
            *causes.entry(cause.clone()).or_default() += n;
        }
        Self {
            ops: run.ops(),
            hits: sum(|s| s.hits),
            stale_beyond_bound: 0,
            stale_at_rest: 0,
            delay_p50_ms: slowest(|news| news.delivery[0]),
            delay_p99_ms: slowest(|news| news.delivery[1]),
            delay_max_ms: slowest(|news| news.delivery[2]),
            echo_p50_ms: slowest(|news| news.echo[0]),
            echo_p99_ms: slowest(|news| news.echo[1]),
            echo_max_ms: slowest(|news| news.echo[2]),
            gaps: causes.values().sum(),
            gaps_by_cause: causes,
            recovery_ms_max: whole_millis(run.recovery.0),
            bound_ms: bound.as_millis() as u64,
            bound_broken_ms: broken.as_millis() as u64,
            reads_judged: 0,
            loads: sum(|s| s.loads),
            unconfirmed: sum(|s| s.unconfirmed),
            published: sum(|s| s.news.published),
            publishes_failed: sum(|s| s.news.publishes_failed),
            received: sum(|s| s.news.received),
            loader_healthy_errors: sum(|s| s.errors),
            flights_left: left(|s| s.flights_left),
            unconfirmed_left: left(|s| s.unconfirmed_left),
            unpublished_left: left(|s| s.news.unpublished_left),
            restarts: args.chaos.restarts,
            stops: args.chaos.stops,
            kills: args.chaos.kills,
            loss: args.loss,
            blind: args.blind,
            stall_ms_max: whole_millis(all.iter().map(|s| s.stall).max().unwrap_or(0)),
            seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            l2: args.l2,
            bus: args.bus,
            processes: args.processes,
            tasks: args.tasks,
            keys: args.keys,
            seed,
            json: args.json,
            recovery: run.recovery.1.clone(),
            first_error: all.iter().find_map(|s| s.first_error.clone()),
        }
    }

    /// Prints it. Whether no violations were found.
    pub(super) fn tell(mut self, judge: &Judge) -> anyhow::Result<bool> {
        (self.stale_beyond_bound, self.stale_at_rest) = (judge.stale_reads, judge.stale_at_rest);
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
        let counts = [
            (self.stale_beyond_bound, "reads of older values, later than is promised"),
            (self.stale_at_rest, "stale values at rest"),
            (self.loader_healthy_errors, "errors of reads whose loader was well"),
            (self.flights_left as u64, "flights left at the end"),
            (self.unconfirmed_left as u64, "deletes left unconfirmed at the end"),
            (self.unpublished_left as u64, "invalidations left unpublished at the end"),
        ];
        let found = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        found.chain(self.first_error.iter().map(|error| format!("the first error: {error}"))).collect()
    }

    fn lines(&self) {
        let (seconds, speed) = (self.seconds, self.ops as f64 / self.seconds.max(0.1));
        say!("operations     {} in {seconds} s, {speed:.0} per second; {} reads judged", self.ops, self.reads_judged);
        say!("hits, loads    {}, {}", self.hits, self.loads);
        let (bound, broken) = (self.bound_ms, self.bound_broken_ms);
        say!("stale          {} reads after {bound} ms ({broken} ms where the bus broke)", self.stale_beyond_bound);
        say!("at rest        {} stale values", self.stale_at_rest);
        let (published, failed, received) = (self.published, self.publishes_failed, self.received);
        say!("invalidations  {published} published, {failed} not taken, {received} received");
        say!("unconfirmed    {}", self.unconfirmed);
        let (p50, p99, max) = (self.delay_p50_ms, self.delay_p99_ms, self.delay_max_ms);
        say!("delay ms       {p50} half, {p99} 99 of 100, {max} all");
        let (p50, p99, max) = (self.echo_p50_ms, self.echo_p99_ms, self.echo_max_ms);
        say!("echo ms        {p50:.3} half, {p99:.3} 99 of 100, {max:.3} all");
        say!("gaps           {} {:?}", self.gaps, self.gaps_by_cause);
        let (restarts, stops, kills) = (self.restarts, self.stops, self.kills);
        say!("interruptions  {restarts} restarts, {stops} stops, {kills} kills; back in {} ms", self.recovery_ms_max);
        if self.recovery_ms_max > 0 {
            say!("the slowest    {}", self.recovery);
        }
        say!("the machine    stalled for up to {} ms", self.stall_ms_max);
        say!("seed           {}", self.seed);
    }
}
