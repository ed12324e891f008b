//! The outcome: a table for people, or one line for programs.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::time::Instant;

use accelerator::Stats;
use serde::Serialize;

use crate::args::Args;
use crate::replay::Taken;
use crate::shared::Choice;
use crate::stream::Stream;

pub(crate) struct Report<'a> {
    pub(crate) args: &'a Args,
    pub(crate) stream: &'a Stream,
    pub(crate) direct: Taken,
    pub(crate) cached: Taken,
    pub(crate) stats: Stats,
    pub(crate) raw_hit_ratio: Option<f64>,
    /// Of the database file.
    pub(crate) bytes: u64,
    pub(crate) begin: Instant,
}

#[derive(Serialize)]
struct Json<'a> {
    requests: u64,
    distinct: usize,
    l1_hits: u64,
    l2_hits: u64,
    loads: u64,
    joined: u64,
    hit_ratio: f64,
    raw_hit_ratio: Option<f64>,
    ops_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    direct_ops_per_s: f64,
    speedup: f64,
    l1: &'a str,
    l2: &'a str,
    capacity: u64,
}

impl Report<'_> {
    fn share(&self, part: u64) -> f64 {
        part as f64 / self.cached.latency.len().max(1) as f64
    }

    fn speedup(&self) -> f64 {
        self.cached.per_second() / self.direct.per_second()
    }

    /// One object, one line.
    pub(crate) fn json(&self) -> anyhow::Result<()> {
        let (args, stats) = (self.args, &self.stats);
        let json = Json {
            requests: self.cached.latency.len(),
            distinct: self.stream.distinct,
            l1_hits: stats.l1_hits,
            l2_hits: stats.l2_hits,
            loads: stats.loads(),
            joined: stats.joined,
            hit_ratio: self.share(stats.l1_hits + stats.l2_hits),
            raw_hit_ratio: self.raw_hit_ratio,
            ops_per_s: self.cached.per_second(),
            p50_us: self.cached.micros(0.5),
            p99_us: self.cached.micros(0.99),
            direct_ops_per_s: self.direct.per_second(),
            speedup: self.speedup(),
            l1: &args.l1,
            l2: args.l2.name(),
            capacity: args.capacity,
        };
        print(&format!("{}\n", serde_json::to_string(&json)?))
    }

    /// The comparison at a glance.
    pub(crate) fn table(&self) -> anyhow::Result<()> {
        let (args, stream, stats) = (self.args, self.stream, &self.stats);
        let mut text = String::new();
        let mut line = |line: String| text += &format!("{}\n", line.trim_end());
        let megabytes = self.bytes as f64 / 1e6;
        let products = whole(stream.products.len());
        line(format!("catalogue   {products} products in SQLite {}, {megabytes:.0} MB", rusqlite::version()));
        let (requests, distinct) = (whole(stream.keys.len()), whole(stream.distinct));
        line(format!("stream      {requests} requests for {distinct} different products ({})", stream.origin));
        let threads = if args.threads == 1 { "1 thread".into() } else { format!("{} threads", args.threads) };
        let capacity = whole(args.capacity);
        let l1 = if args.l1 == "none" { "no L1".into() } else { format!("L1 {}, {capacity} entries", args.l1) };
        let l2 = if args.l2 == Choice::None { "no L2".into() } else { format!("L2 {}", args.l2.name()) };
        line(format!("cache       {l1}; {l2}; {threads}"));
        line(String::new());

        let mut row = |name: &str, direct: String, cached: String, gain: String| {
            line(format!("{name:<18}{direct:>20}{cached:>20}{gain:>12}"));
        };
        row("", "straight to SQLite".into(), "through the cache".into(), "gain".into());
        let (direct, cached) = (&self.direct, &self.cached);
        let speeds = (whole(direct.per_second() as u64), whole(cached.per_second() as u64));
        row("requests/s", speeds.0, speeds.1, times(self.speedup()));
        for (name, quantile) in [("p50 latency", 0.5), ("p99 latency", 0.99), ("p99.9 latency", 0.999)] {
            let (before, after) = (direct.micros(quantile), cached.micros(quantile));
            let gain = times(before / after.max(0.001));
            row(name, format!("{before:.2} µs"), format!("{after:.2} µs"), gain);
        }
        let hits = self.share(stats.l1_hits + stats.l2_hits);
        row("hit ratio", "-".into(), percent(hits), String::new());
        let fewer = times(direct.queries as f64 / cached.queries.max(1) as f64);
        row("database queries", whole(direct.queries), whole(cached.queries), fewer);

        let parts = [
            ("L1", stats.l1_hits, args.l1 != "none"),
            ("L2", stats.l2_hits, args.l2 != Choice::None),
            ("the database", stats.loads(), true),
            ("another request's load", stats.joined, args.threads > 1),
        ];
        let shown = parts.iter().filter(|(.., shown)| *shown);
        let parts: Vec<_> = shown.map(|(who, part, _)| format!("{who} {}", percent(self.share(*part)))).collect();
        line(format!("\nanswered by {}", parts.join(", ")));
        if let Some(raw) = self.raw_hit_ratio {
            let l1 = self.share(stats.l1_hits);
            let store = if args.l1 == "none" { "no store" } else { &args.l1 };
            let (raw_text, apart) = (percent(raw), (l1 - raw) * 100.0);
            line(format!("{store} alone, same stream and capacity: {raw_text}; the cache's L1: {apart:+.2} points"));
        }
        line("p99 is the latency of a miss where more than 1 % miss: the query, and the store's bookkeeping.".into());
        line("Every request was timed: one look at the clock is part of each latency and of requests/s.".into());
        let (speedup, seconds) = (times(self.speedup()), self.begin.elapsed().as_secs_f64());
        line(format!(
            "\n=> {speedup} the requests per second, {fewer_percent} fewer database queries ({seconds:.1} s in all)",
            fewer_percent = percent(1.0 - cached.queries as f64 / direct.queries.max(1) as f64)
        ));
        print(&text)
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn times(factor: f64) -> String {
    if factor < 10.0 { format!("{factor:.1} x") } else { format!("{factor:.0} x") }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// With commas between the thousands.
fn whole(number: impl Display) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
