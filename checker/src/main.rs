//! Looks for stale reads, with real servers and several processes.

/// A line on stdout. A reader that has seen enough (`| head`) is no failure.
macro_rules! say {
    ($($text:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*))))
    };
}

/// A finding: beside the JSON where there is JSON, so that what reads that finds nothing else.
macro_rules! find {
    ($json:expr, $($text:tt)*) => {
        if $json {
            drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($text)*))))
        } else {
            say!($($text)*)
        }
    };
}

mod args;
mod backend;
mod breaks;
mod bus;
mod chaos;
mod cold_key;
mod conductor;
mod database;
mod envelopes;
mod event;
mod figures;
mod fleet;
mod history;
mod judge;
mod pauses;
mod report;
mod row;
mod run;
mod server;
mod storm;
mod time;
mod worker;

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use crate::args::{Args, Command};

/// What a value takes that was made to take much.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let args = match Args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let clean = match args.command {
        Some(Command::Worker { setup }) => return worker::run(&setup),
        Some(Command::Bus(args)) => bus::run(&args),
        Some(Command::Fleet(args)) => figures::run(&args),
        Some(Command::ColdKey(args)) => cold_key::run(&args),
        Some(Command::Envelopes(args)) => envelopes::run(&args),
        Some(Command::Storm(args)) => storm::run(&args),
        None => run::run(&args.run),
    };
    match clean {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
