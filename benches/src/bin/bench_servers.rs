//! Servers for benchmarks, for as long as somebody listens.

use std::io::{Read, Write, stdin, stdout};
use std::process::ExitCode;

use accelerator::testkit::server::{MemcachedServer, RedisServer};
use accelerator_benches::command::{options, refuse};
use clap::Parser;

/// Starts servers on free ports of 127.0.0.1, prints where they are as lines `VARIABLE=URL` and then `ready`, and stops
/// them when its input ends.
#[derive(Debug, Parser)]
#[command(name = "bench_servers", version)]
struct Args {
    /// A `redis-server`
    #[arg(long)]
    redis: bool,
    /// A `memcached`
    #[arg(long)]
    memcached: bool,
}

fn main() -> ExitCode {
    let args: Args = match options() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let redis = if args.redis { RedisServer::start() } else { None };
    let memcached = if args.memcached { MemcachedServer::start() } else { None };
    let mut said = String::new();
    if let Some(redis) = &redis {
        said += &format!("ACCELERATOR_BENCH_REDIS_URL={}\n", redis.url());
    }
    if let Some(memcached) = &memcached {
        said += &format!("ACCELERATOR_BENCH_MEMCACHED_URL={}\n", memcached.addr());
    }
    said += "ready\n";
    if let Err(error) = stdout().write_all(said.as_bytes()).and_then(|()| stdout().flush()) {
        return refuse(&format!("nobody reads what is said: {error}"));
    }
    // The script that started this one holds the other end: however it ends, this ends too.
    let _ = stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}
