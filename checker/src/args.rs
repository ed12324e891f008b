//! The command line, and how it says no: one line, exit code 2.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::backend::{Backend, Carrier, L2};
use crate::chaos::Chaos;

/// Looks for stale reads. Several processes read, load from a versioned database, update it and delete; each read is
/// held against the versions that were acknowledged before it began, and at rest every key is checked.
///
/// Exit code 0: no violations; 1: violations, the first one with its history; 2: bad usage.
#[derive(Debug, Parser)]
#[command(name = "accelerator-checker", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Caches with an L1 that hear of each other's writes: does any read an older value later than is promised?
    Bus(BusRun),
    /// Figures of the bus on Redis: what it costs, how fast it is, and what a large fleet does to it
    Fleet(FleetRun),
    /// Everybody asks for one cold key at once: how often is it loaded?
    ColdKey(ColdKey),
    /// Damaged and foreign bytes in L2: is any of it taken for a value?
    Envelopes(Envelopes),
    /// Many callers of one function whose body is slow: how often does it run, and when is the last one answered?
    Storm(Storm),
    /// One process of a run; started by the checker itself
    #[command(hide = true)]
    Worker { setup: String },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The server behind L2
    #[arg(long, value_name = "SERVER")]
    pub(crate) backend: Option<Backend>,
    /// Operations of all processes together, those not counted that are made while the server is away
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = |text: &str| up_to(text, 100_000_000_000))]
    pub(crate) ops: u64,
    /// Without leases: this must find violations
    #[arg(long)]
    pub(crate) no_leases: bool,
    /// Writers guard what they change, beside plain deletes and sets; a process is killed, and some guards with it
    #[arg(long)]
    pub(crate) guards: bool,
    /// Interrupt the server: restart=N,stop=N
    #[arg(long, value_name = "WHAT", default_value = "restart=0,stop=0", hide_default_value = true)]
    pub(crate) chaos: Chaos,
    /// One load in a hundred takes so many milliseconds: longer than a lease lasts, where it isn't renewed
    #[arg(long, value_name = "MS", value_parser = |text: &str| up_to(text, 900))]
    pub(crate) slow_loads: Option<u64>,
    /// Stop the server (SIGSTOP) for so many milliseconds, again and again
    #[arg(long, value_name = "MS", value_parser = |text: &str| up_to(text, 10_000))]
    pub(crate) pauses: Option<u64>,
    /// Processes, each with its caches
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = |text: &str| up_to(text, 256).map(|n| n as usize))]
    pub(crate) processes: usize,
    /// Tasks in each process
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = |text: &str| up_to(text, 100_000).map(|n| n as usize))]
    pub(crate) tasks: usize,
    /// Keys; a quarter of them is cached in L1 as well
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = |text: &str| up_to(text, 1_000_000).map(|n| n as u32))]
    pub(crate) keys: u32,
    /// Of the choice of operations, keys and interruptions [default: a random one]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// A server that is there already [default: one is started]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BusRun {
    /// The server behind L2
    #[arg(long, value_name = "SERVER")]
    pub(crate) l2: L2,
    /// What carries news between nodes; on the server of L2, where that is of the same kind
    #[arg(long, value_name = "BUS")]
    pub(crate) bus: Carrier,
    /// Operations of all processes together, those not counted that are made while the bus is away
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = |text: &str| up_to(text, 100_000_000_000))]
    pub(crate) ops: u64,
    /// Interrupt the server of the bus: restart=N,stop=N,kill=N. A kill closes the connections of all who listen
    #[arg(long, value_name = "WHAT", default_value = "restart=0,stop=0", hide_default_value = true)]
    pub(crate) chaos: Chaos,
    /// One message in so many is lost, and nobody says so
    #[arg(long, value_name = "N", value_parser = |text: &str| up_to(text, 1_000_000_000).map(|n| n as u32))]
    pub(crate) loss: Option<u32>,
    /// Caches are not told that anything was lost: this must find stale reads
    #[arg(long, hide = true)]
    pub(crate) blind: bool,
    /// How late a read may still show an older value while the bus works: the delivery, and what a busy machine adds
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = |text: &str| up_to(text, 60_000))]
    pub(crate) bound_ms: u64,
    /// Processes, each with its cache
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = |text: &str| up_to(text, 256).map(|n| n as usize))]
    pub(crate) processes: usize,
    /// Tasks in each process
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = |text: &str| up_to(text, 100_000).map(|n| n as usize))]
    pub(crate) tasks: usize,
    /// Keys
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = |text: &str| up_to(text, 1_000_000).map(|n| n as u32))]
    pub(crate) keys: u32,
    /// Of the choice of operations, keys and interruptions [default: a random one]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FleetRun {
    /// Processes of the fleet
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = |text: &str| up_to(text, 256).map(|n| n as usize))]
    pub(crate) processes: usize,
    /// How long the fleet fills, and how long it deletes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = |text: &str| up_to(text, 600).map(|n| n as u32))]
    pub(crate) seconds: u32,
    /// Keys that the whole fleet fills a second
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = |text: &str| up_to(text, 1_000_000).map(|n| n as u32))]
    pub(crate) fills: u32,
    /// Keys that each process deletes a second
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = |text: &str| up_to(text, 1_000_000).map(|n| n as u32))]
    pub(crate) dels: u32,
    /// Caches of one process, each with an area of its own, on one handle of the bus
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = |text: &str| up_to(text, 100_000).map(|n| n as usize))]
    pub(crate) caches: usize,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ColdKey {
    /// The server behind L2
    #[arg(long, value_name = "SERVER")]
    pub(crate) backend: Backend,
    /// Processes, each with its cache
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = |text: &str| up_to(text, 256).map(|n| n as usize))]
    pub(crate) processes: usize,
    /// Tasks in each process that ask for the key
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = |text: &str| up_to(text, 100_000).map(|n| n as usize))]
    pub(crate) tasks: usize,
    /// Kill the process that loads first, while it loads
    #[arg(long)]
    pub(crate) kill_holder: bool,
    /// Without leases: this must load more than once
    #[arg(long)]
    pub(crate) no_leases: bool,
    /// A server that is there already [default: one is started]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Envelopes {
    /// Values to try
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = |text: &str| up_to(text, 10_000_000_000))]
    pub(crate) n: u64,
    /// Of the choice of values [default: a random one]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Storm {
    /// Callers that ask at once
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = |text: &str| up_to(text, 100_000).map(|n| n as usize))]
    pub(crate) callers: usize,
    /// How long the body takes
    #[arg(long, value_name = "MS", default_value_t = 2_500, value_parser = |text: &str| up_to(text, 3_600_000))]
    pub(crate) body_ms: u64,
    /// The cache's loader_timeout [default: that of the cache]
    #[arg(long, value_name = "MS", value_parser = |text: &str| up_to(text, 3_600_000))]
    pub(crate) loader_timeout_ms: Option<u64>,
    /// A function of many keys
    #[arg(long)]
    pub(crate) batch: bool,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// The options, or the exit code after the user was told.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        let args = Self::try_parse().map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                // A reader that closed its end (`--help | head`) is no failure.
                let _ = error.print();
                ExitCode::SUCCESS
            }
            _ => refuse(&without_urls(one_line(&error.to_string()), std::env::args())),
        })?;
        let checked = match &args.command {
            None => args.run.check(),
            Some(Command::ColdKey(cold)) if cold.backend == Backend::Memory => {
                Err("--backend memory is for one process; here it takes redis or memcached")
            }
            Some(Command::Bus(bus)) => bus.check(),
            Some(_) => Ok(()),
        };
        checked.map_err(refuse).map(|()| args)
    }
}

impl Run {
    fn check(&self) -> Result<(), &'static str> {
        let chaos = self.chaos != Chaos::default();
        match self.backend {
            None => Err("--backend is missing: redis, memcached or memory"),
            Some(Backend::Memory) if self.processes > 1 => Err("--backend memory is for one process: --processes 1"),
            Some(Backend::Memory) if chaos => Err("--chaos needs a server: --backend redis or memcached"),
            Some(_) if chaos && self.url.is_some() => Err("--chaos needs a server of its own: leave out --url"),
            Some(Backend::Memory) if self.pauses.is_some() => {
                Err("--pauses needs a server: --backend redis or memcached")
            }
            Some(_) if self.pauses.is_some() && self.url.is_some() => {
                Err("--pauses needs a server of its own: leave out --url")
            }
            Some(_) if self.pauses.is_some() && chaos => Err("--pauses and --chaos are runs of their own: take one"),
            Some(_) if self.guards && self.no_leases => Err("--guards needs leases: leave out --no-leases"),
            Some(_) if self.guards && self.chaos.restarts > 0 => {
                Err("--guards takes no restarts, with which a server loses its holds: --chaos stop=N")
            }
            Some(_) if self.chaos.kills > 0 => {
                Err("--chaos kill=N closes connections that listen to a bus: accelerator-checker bus")
            }
            Some(_) if self.keys < 16 => Err("--keys takes 16 or more"),
            Some(_) => Ok(()),
        }
    }
}

impl BusRun {
    fn check(&self) -> Result<(), &'static str> {
        let without = self.bus == Carrier::None;
        if without && self.chaos != Chaos::default() {
            return Err("--chaos interrupts the server of a bus: --bus redis");
        }
        if without && (self.loss.is_some() || self.blind) {
            return Err("--loss takes messages from a bus: --bus redis");
        }
        if self.bus == Carrier::Nats && self.chaos.kills > 0 {
            return Err("--chaos kill=N takes CLIENT KILL of Redis: --bus redis, or restart=N,stop=N");
        }
        if self.keys < 16 {
            return Err("--keys takes 16 or more");
        }
        Ok(())
    }
}

/// Tells the user what is wrong with the input.
pub(crate) fn refuse(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(2)
}

fn up_to(text: &str, max: u64) -> Result<u64, String> {
    match text.parse() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(format!("give a whole number from 1 to {max}")),
    }
}

/// clap writes paragraphs: what is wrong, tips, usage. The first two are kept.
fn one_line(error: &str) -> String {
    let kept = |line: &&str| !line.is_empty() && !line.starts_with("Usage:") && !line.starts_with("For more");
    let lines: Vec<&str> = error.lines().map(str::trim).filter(kept).collect();
    let text = lines.join(" ");
    format!("{} (--help lists the options)", text.strip_prefix("error: ").unwrap_or(&text))
}

/// The text without what may be a URL with a password in it: clap repeats what it doesn't understand.
fn without_urls(text: String, args: impl Iterator<Item = String>) -> String {
    let value = |arg: String| match arg.strip_prefix("--").and_then(|option| option.split_once('=')) {
        Some((_, value)) => value.to_owned(),
        None => arg,
    };
    args.skip(1)
        .map(value)
        .filter(|arg| arg.contains([':', '@']))
        .fold(text, |text, url| text.replace(&url, "(not shown)"))
}
