//! The worker processes: this program, started again. They end with the fleet, and with this process.

use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::event::{Message, Setup, receive};
use crate::worker::Order;

/// Messages on their way from all workers together; with more than these, workers wait.
const INBOX: usize = 64;
/// A fleet that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Fleet {
    workers: Vec<Worker>,
    inbox: Receiver<(usize, Option<Message>)>,
}

struct Worker {
    child: Child,
    orders: ChildStdin,
    killed: bool,
}

impl Fleet {
    /// Starts a process for each setup, and waits until all are ready.
    pub(crate) fn start(setups: impl IntoIterator<Item = Setup>) -> anyhow::Result<Self> {
        let (sender, inbox) = sync_channel(INBOX);
        let mut fleet = Self { workers: Vec::new(), inbox };
        for setup in setups {
            fleet.workers.push(Worker::start(&setup, sender.clone())?);
        }
        let mut ready = 0;
        while ready < fleet.workers.len() {
            match fleet.next(PATIENCE)? {
                Some((_, Message::Ready)) => ready += 1,
                Some(_) => {}
                None => bail!("the workers don't get ready; does the server answer?"),
            }
        }
        Ok(fleet)
    }

    /// Tells all.
    pub(crate) fn order(&mut self, order: Order) -> anyhow::Result<()> {
        self.workers.iter_mut().filter(|worker| !worker.killed).try_for_each(|worker| worker.order(order))
    }

    /// Tells one.
    pub(crate) fn order_one(&mut self, process: usize, order: Order) -> anyhow::Result<()> {
        self.workers[process].order(order)
    }

    /// Ends one at once.
    pub(crate) fn kill(&mut self, process: usize) -> anyhow::Result<()> {
        let worker = &mut self.workers[process];
        worker.killed = true;
        worker.child.kill().context("can't kill a worker")
    }

    pub(crate) fn is_killed(&self, process: usize) -> bool {
        self.workers[process].killed
    }

    /// How many there are.
    pub(crate) fn living(&self) -> usize {
        self.workers.iter().filter(|worker| !worker.killed).count()
    }

    /// The next message, if there is one in time. A worker that ended unasked is an error.
    pub(crate) fn next(&mut self, wait: Duration) -> anyhow::Result<Option<(usize, Message)>> {
        let until = Instant::now() + wait;
        loop {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((process, Some(Message::Trouble(why)))) => bail!("worker {process}: {why}"),
                Ok((process, Some(message))) => return Ok(Some((process, message))),
                Ok((process, None)) if self.workers.get(process).is_none_or(|worker| worker.killed) => {}
                Ok((process, None)) => bail!("worker {process} ended before its time"),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }
}

impl Worker {
    fn start(setup: &Setup, inbox: SyncSender<(usize, Option<Message>)>) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["worker", &serde_json::to_string(setup)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("can't start a worker")?;
        let (orders, says) = (child.stdin.take(), child.stdout.take());
        let (orders, says) = orders.zip(says).context("a worker without pipes")?;
        let process = setup.process;
        std::thread::spawn(move || {
            let mut says = BufReader::with_capacity(1 << 16, says);
            loop {
                let message = receive(&mut says).unwrap_or_default();
                let last = message.is_none();
                // Nobody listens any more: the fleet is gone.
                if inbox.send((process, message)).is_err() || last {
                    return;
                }
            }
        });
        Ok(Self { child, orders, killed: false })
    }

    fn order(&mut self, order: Order) -> anyhow::Result<()> {
        self.orders.write_all(order.line().as_bytes()).context("a worker is gone")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
