//! The command line, and how it says no: one line that names the option and the fix, exit code 2.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::shared::Choice;
use crate::stores;

/// Replays an access stream against a product catalogue in SQLite, once directly and once through a cache in front of
/// it, and compares the two.
///
/// Without options: 1,000,000 requests, drawn by Zipf's law over 100,000 products, and moka.
#[derive(Debug, Parser)]
#[command(name = "accelerator-demo", version)]
pub(crate) struct Args {
    /// Replay this access trace: little-endian u32 keys, plain or in xz
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// The in-process level
    #[arg(long, value_name = "STORE", default_value = "moka", value_parser = stores::L1.names())]
    pub(crate) l1: String,
    /// The shared level: none; memory (what it costs without a network); redis or memcached, started for the run;
    /// redis://HOST or memcache://HOST,HOST, which are there
    #[arg(long, value_name = "STORE", default_value = "none")]
    pub(crate) l2: Choice,
    /// Entries that L1 may hold
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = |text: &str| up_to(text, 100_000_000))]
    pub(crate) capacity: u64,
    /// Requests to make; of a trace, the first N [default: 1000000, or the whole trace]
    #[arg(long, value_name = "N", value_parser = |text: &str| up_to(text, 1_000_000_000))]
    pub(crate) requests: Option<u64>,
    /// Threads that ask at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = |text: &str| up_to(text, 256).map(|n| n as usize))]
    pub(crate) threads: usize,
    /// Also measure the hit ratio of the L1 library alone, on the same stream
    #[arg(long)]
    pub(crate) compare_raw: bool,
    /// Print one JSON object instead of the table
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
        if args.l1 == "none" && args.l2 == Choice::None {
            let stores = stores::L1.real().join(", ");
            let fix = format!("give --l1 a store ({stores}) or add --l2 memory");
            return Err(refuse(&format!("--l1 none with --l2 none leaves no cache to measure: {fix}")));
        }
        Ok(args)
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
