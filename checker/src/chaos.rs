//! Interruptions of the server, spread over a run.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::breaks::Breaks;
use crate::server::Server;
use crate::time;

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chaos {
    pub(crate) restarts: u64,
    pub(crate) stops: u64,
    /// Those who listen to the bus lose their connections.
    pub(crate) kills: u64,
}

impl FromStr for Chaos {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("takes restart=N,stop=N,kill=N with numbers up to 1000000, not {text:?}");
        let mut chaos = Self::default();
        for part in text.split(',') {
            let (name, number) = part.split_once('=').ok_or_else(wrong)?;
            let field = match name {
                "restart" => &mut chaos.restarts,
                "stop" => &mut chaos.stops,
                "kill" => &mut chaos.kills,
                _ => return Err(wrong()),
            };
            *field = number.parse().ok().filter(|n| *n <= 1_000_000).ok_or_else(wrong)?;
        }
        Ok(chaos)
    }
}

/// The server did not start again, and has said why.
const GONE: &str = "the server is gone";

#[derive(Clone, Copy, Debug)]
enum Kind {
    Restart,
    Stop,
    /// `CLIENT KILL TYPE pubsub`.
    Kill,
}

/// The interruptions of one run: at most one at a time, the next one when all workers have recovered.
pub(crate) struct Interruptions {
    kinds: Vec<Kind>,
    done: usize,
    /// So many operations are made before each, and after the last one.
    calm: u64,
    orders: Sender<(Kind, Duration)>,
    over: Receiver<u64>,
    state: State,
    breaks: Arc<Breaks>,
    /// Of the stops, some last longer than anybody waits for an answer.
    long: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All is well, since so many operations.
    Calm(u64),
    /// The server is away.
    Away,
    /// It is back; so many workers have not recovered.
    Recovering(usize),
}

impl Interruptions {
    /// In a run of `length` operations, those not counted that are made while the server is away: they are many, and see
    /// little.
    pub(crate) fn new(chaos: Chaos, length: u64, random: &mut fastrand::Rng, server: Arc<Server>) -> Self {
        let mut kinds = vec![Kind::Restart; chaos.restarts as usize];
        kinds.resize(kinds.len() + chaos.stops as usize, Kind::Stop);
        kinds.resize(kinds.len() + chaos.kills as usize, Kind::Kill);
        random.shuffle(&mut kinds);
        let (orders, queue) = channel();
        let (tell, over) = channel();
        std::thread::spawn(move || interrupt(&server, &queue, &tell));
        let calm = length / (kinds.len() as u64 + 1);
        let breaks = Arc::default();
        Self { kinds, done: 0, calm, orders, over, state: State::Calm(0), breaks, long: false }
    }

    /// Of a bus, which notices by itself that its server does not answer.
    pub(crate) fn of_a_bus(self) -> (Self, Arc<Breaks>) {
        let breaks = self.breaks.clone();
        (Self { long: true, ..self }, breaks)
    }

    /// Whether all are over, and the run is.
    pub(crate) fn are_over(&self, ops: u64) -> bool {
        self.done == self.kinds.len() && self.is_due(ops)
    }

    /// Whether the server is there, and everybody has noticed.
    pub(crate) fn is_calm(&self) -> bool {
        matches!(self.state, State::Calm(_))
    }

    fn is_due(&self, ops: u64) -> bool {
        matches!(self.state, State::Calm(since) if ops >= since + self.calm)
    }

    /// Begins the next one where it is due. Answers when one was over.
    pub(crate) fn tick(&mut self, ops: u64, workers: usize, random: &mut fastrand::Rng) -> anyhow::Result<Option<u64>> {
        if self.is_due(ops) {
            let Some(kind) = self.kinds.get(self.done) else { return Ok(None) };
            let pause = match kind {
                Kind::Restart => random.u64(..300),
                Kind::Stop if self.long && random.u32(..3) == 0 => random.u64(2500..4500),
                Kind::Stop => random.u64(20..1200),
                Kind::Kill => 0,
            };
            self.breaks.begin();
            self.orders.send((*kind, Duration::from_millis(pause))).context(GONE)?;
            self.state = State::Away;
        }
        if self.state != State::Away {
            return Ok(None);
        }
        match self.over.try_recv() {
            Ok(at) => {
                self.breaks.back(at);
                self.state = State::Recovering(workers);
                Ok(Some(at))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!(GONE),
        }
    }

    /// What the last one was.
    pub(crate) fn name(&self) -> &'static str {
        match self.kinds.get(self.done) {
            Some(Kind::Restart) => "restart",
            Some(Kind::Stop) => "stop",
            Some(Kind::Kill) => "kill",
            None => "begin",
        }
    }

    /// A worker has recovered, when so many operations were made.
    pub(crate) fn recovered(&mut self, ops: u64) {
        if let State::Recovering(left) = self.state {
            self.state = if left > 1 { State::Recovering(left - 1) } else { State::Calm(ops) };
            if left <= 1 {
                self.done += 1;
                self.breaks.end();
            }
        }
    }
}

fn interrupt(server: &Server, orders: &Receiver<(Kind, Duration)>, over: &Sender<u64>) {
    for (kind, pause) in orders {
        match kind {
            Kind::Restart => {
                server.kill();
                std::thread::sleep(pause);
                server.restart();
            }
            Kind::Stop => {
                server.stop();
                std::thread::sleep(pause);
                server.cont();
            }
            Kind::Kill => {
                if let Err(error) = server.cut_listeners() {
                    eprintln!("the server cuts nobody off: {error}");
                    return;
                }
            }
        }
        if over.send(time::now()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chaos_is_read_in_any_order_and_in_part() {
        let of = |restarts, stops, kills| Ok(Chaos { restarts, stops, kills });
        assert_eq!("restart=200,stop=50".parse(), of(200, 50, 0));
        assert_eq!("stop=3,restart=1,kill=7".parse(), of(1, 3, 7));
        assert_eq!("stop=3".parse(), of(0, 3, 0));
        for wrong in ["", "restart", "restart=", "restart=-1", "crash=1", "restart=1;stop=2", "stop=9999999999"] {
            assert!(wrong.parse::<Chaos>().is_err(), "{wrong}");
        }
    }
}
