//! A run of operations: listens to the workers, interrupts the server, and has everything judged.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::chaos::Interruptions;
use crate::event::{Message, Summary};
use crate::fleet::Fleet;
use crate::judge::Judge;
use crate::worker::Order;

/// How often it looks whether something is due.
const TICK: Duration = Duration::from_millis(5);
/// Without an operation in so long, the run hangs.
const HANGS: Duration = Duration::from_secs(60);

pub(crate) struct Conductor {
    pub(crate) judge: Judge,
    interruptions: Interruptions,
    /// Of each process.
    ops: Vec<u64>,
    pub(crate) summaries: Vec<Summary>,
    /// The longest one, in nanoseconds, and what happened.
    pub(crate) recovery: (u64, String),
    /// So many processes have said what there is.
    rested: usize,
}

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) ops: u64,
    /// In the middle of it a process is killed.
    pub(crate) kills_one: bool,
}

impl Conductor {
    pub(crate) fn new(processes: usize, judge: Judge, interruptions: Interruptions) -> Self {
        let (ops, summaries, recovery) = (vec![0; processes], Vec::new(), (0, String::new()));
        Self { judge, interruptions, ops, summaries, recovery, rested: 0 }
    }

    /// Of all processes.
    pub(crate) fn ops(&self) -> u64 {
        self.ops.iter().sum()
    }

    /// Until all workers have ended their operations.
    pub(crate) fn all_ended(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        while self.summaries.len() < fleet.living() {
            self.listen(fleet, HANGS)?;
        }
        Ok(())
    }

    /// Until so many workers have said what there is. All that happened is judged then.
    pub(crate) fn at_rest(&mut self, workers: usize, fleet: &mut Fleet) -> anyhow::Result<()> {
        while self.rested < workers {
            self.listen(fleet, HANGS)?;
        }
        self.judge.close();
        Ok(())
    }

    /// Until all operations are done, and all interruptions over.
    pub(crate) fn perform(
        &mut self,
        length: Length,
        fleet: &mut Fleet,
        random: &mut fastrand::Rng,
    ) -> anyhow::Result<()> {
        let (mut warm, mut progress) = (false, (0, Instant::now()));
        loop {
            self.listen(fleet, TICK)?;
            let ops = self.ops();
            if ops > progress.0 {
                progress = (ops, Instant::now());
            } else if progress.1.elapsed() > HANGS {
                bail!("no operation has ended for {HANGS:?}, after {ops}");
            }
            if !warm && ops >= length.ops / 5 {
                warm = true;
                fleet.order(Order::Warm)?;
            }
            // The last one: the first looks at what is left.
            let last = self.ops.len() - 1;
            let due = length.kills_one && ops >= length.ops / 2;
            if due && !fleet.is_killed(last) && self.interruptions.is_calm() {
                fleet.kill(last)?;
                self.judge.gone(last);
            }
            if let Some(at) = self.interruptions.tick(ops, fleet.living(), random)? {
                fleet.order(Order::Back { at })?;
            }
            if self.interruptions.are_over(ops) {
                return Ok(());
            }
        }
    }

    /// Takes messages, at most for `wait`.
    fn listen(&mut self, fleet: &mut Fleet, wait: Duration) -> anyhow::Result<()> {
        let Some((process, message)) = fleet.next(wait)? else {
            // Journals come all the time.
            return if wait < HANGS { Ok(()) } else { Err(anyhow::anyhow!("the workers are silent")) };
        };
        if fleet.is_killed(process) {
            return Ok(());
        }
        match message {
            Message::Journal { until, ops, events } => {
                self.rested += usize::from(until == u64::MAX);
                self.ops[process] = ops.max(self.ops[process]);
                self.judge.journal(process, until, events);
            }
            Message::Recovered { took, tried } => {
                if took > self.recovery.0 {
                    self.recovery =
                        (took, format!("{tried}, by process {process} after a {}", self.interruptions.name()));
                }
                self.interruptions.recovered(self.ops.iter().sum());
            }
            Message::Ended(summary) => self.summaries.push(*summary),
            Message::Ready | Message::Cold(_) | Message::Crowd(_) | Message::Trouble(_) => {}
        }
        Ok(())
    }
}
