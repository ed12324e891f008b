//! A worker: one node of a fleet, in a process of its own.

mod caches;
pub(crate) mod calls;
mod client;
pub(crate) mod cold;
mod crowd;
mod guards;
mod hearing;
mod journal;
mod lossy;
pub(crate) mod memory;
mod operations;
mod probe;
mod reading;
mod rest;
mod source;
mod steps;

use std::io::BufRead;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;

use crate::event::{Message, Setup, Verb, Work};
use crate::worker::client::Client;
use crate::worker::journal::{Journal, Outbox};

/// For how long a read may show what another node has invalidated, where the reader has an L1: as long as L1 keeps a
/// value, and as long as a value may be on its way there.
pub(crate) fn near_lag() -> Duration {
    caches::L1_TTL + calls::limit(Verb::Get) + calls::GRACE
}

/// What the parent says, one line each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Begin.
    Go,
    /// Memory is measured from now on.
    Warm,
    /// The server was back at this time.
    Back { at: u64 },
    /// End all operations.
    Stop,
    /// Read what there is now.
    Rest,
}

impl Order {
    pub(crate) fn line(self) -> String {
        match self {
            Self::Go => "go\n".into(),
            Self::Warm => "warm\n".into(),
            Self::Back { at } => format!("back {at}\n"),
            Self::Stop => "stop\n".into(),
            Self::Rest => "rest\n".into(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        Some(match words.next()? {
            "go" => Self::Go,
            "warm" => Self::Warm,
            "stop" => Self::Stop,
            "rest" => Self::Rest,
            "back" => Self::Back { at: words.next()?.parse().ok()? },
            _ => return None,
        })
    }
}

/// Runs a worker to its end.
pub(crate) fn run(setup: &str) -> ExitCode {
    let journal = Arc::new(Journal::default());
    let outbox = Outbox::start(journal.clone());
    match work(setup, journal, &outbox) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            outbox.send(&Message::Trouble(format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn work(setup: &str, journal: Arc<Journal>, outbox: &Outbox) -> anyhow::Result<()> {
    let setup: Setup = serde_json::from_str(setup).context("can't read the setup of a worker")?;
    calls::slow_loads(setup.slow_loads);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut orders = listen();
        let connect = || Client::connect(&setup.database, setup.process);
        match setup.work {
            Work::Operations { keys, near, seed, guards } => {
                let keys = operations::Keys { all: keys, near };
                let client = connect().await?;
                operations::run(&setup, keys, (seed, guards), client, journal, outbox, &mut orders).await
            }
            Work::Cold => cold::run(&setup, connect().await?, outbox, &mut orders).await,
            Work::Hearing { keys, seed, processes, sets } => {
                let setters = hearing::Setters { process: setup.process, processes, sets };
                let client = connect().await?;
                hearing::run(&setup, keys, (seed, setters), client, journal, outbox, &mut orders).await
            }
            Work::Crowd { fills, per_second, seconds } => {
                crowd::run(&setup, fills, (per_second, seconds), outbox, &mut orders).await
            }
        }
    })
}

/// The parent's orders. Its end is the end of this process.
fn listen() -> mpsc::UnboundedReceiver<Order> {
    let (sender, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Some(order) = Order::parse(&line) {
                let _ = sender.send(order);
            }
        }
        std::process::exit(3);
    });
    orders
}
