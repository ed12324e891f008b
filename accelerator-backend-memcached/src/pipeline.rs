//! From commands to replies: over which connection, for how long, and for batches over which servers.

use std::sync::Arc;

use accelerator_core::{StoreErrorKind, StoreResult};
use futures_util::future::join_all;
use tokio::runtime::Handle;

use crate::command::{Command, OfHold, check_key};
use crate::fault::Fault;
use crate::hold::is_held;
use crate::pool::Which;
use crate::reply::Reply;
use crate::route;
use crate::server::Server;
use crate::settings::Settings;

/// All servers, and how to speak to them.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) all: Vec<Arc<Server>>,
    pub(crate) settings: Arc<Settings>,
}

/// What an exchange gives, as far as it came.
pub(crate) struct Outcome {
    /// The connections over which CAS numbers of this exchange mean something.
    pub(crate) witnesses: Which,
    pub(crate) replies: Vec<Reply>,
    /// Why there are fewer replies than commands.
    pub(crate) end: End,
}

pub(crate) enum End {
    Whole,
    /// The connections that would have done are gone; nothing was sent.
    NoWitness,
    Broken(Fault),
}

impl Servers {
    /// The server that has `key`.
    pub(crate) fn of(&self, key: &str) -> &Arc<Server> {
        &self.all[self.place(key)]
    }

    fn place(&self, key: &str) -> usize {
        match self.all.len() {
            1 => 0,
            _ => route::place(self.all.iter().map(|server| server.hash), key),
        }
    }

    pub(crate) fn check_key(&self, key: &str) -> StoreResult<()> {
        check_key(&self.settings.key_prefix, key)
    }

    /// One pipeline to one server, over one of the connections that will do.
    pub(crate) async fn exchange(&self, server: &Arc<Server>, which: Which, commands: &[Command<'_>]) -> Outcome {
        let (mut witnesses, mut replies) = (which, Vec::with_capacity(commands.len()));
        let run = async {
            let (prefix, limit) = (&self.settings.key_prefix, self.settings.max_value_bytes);
            loop {
                let lent = match which {
                    Which::Any => Some(server.checkout().await?),
                    which => server.borrow(which).await?,
                };
                let Some(mut lent) = lent else { return Ok(End::NoWitness) };
                witnesses = lent.witnesses();
                match lent.connection().exchange(prefix, commands, limit, |reply| replies.push(reply)).await {
                    Ok(()) => return Ok(End::Whole),
                    // It had ended while it was idle, and nobody had noticed. What isn't bound to connections can be said
                    // twice: reads, deletes and writes alike.
                    Err(why) if why.is_absence() && lent.was_idle() && replies.is_empty() && which == Which::Any => {}
                    Err(why) => return Err(why),
                }
            }
        };
        let end = self.timed(run).await.unwrap_or_else(End::Broken);
        Outcome { witnesses, replies, end }
    }

    async fn timed<T>(&self, run: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        if Handle::try_current().is_err() {
            return Err(Fault::no_runtime());
        }
        let over = || Fault::new(StoreErrorKind::Timeout, "no answer within response_timeout");
        tokio::time::timeout(self.settings.response_timeout, run).await.unwrap_or_else(|_| Err(over()))
    }

    /// One command; `meaning` reads the reply.
    pub(crate) async fn one<T>(
        &self,
        command: Command<'_>,
        meaning: impl FnOnce(Reply, &Server, Which) -> Result<T, Fault>,
    ) -> StoreResult<T> {
        self.check_key(command.key())?;
        let server = self.of(command.key());
        let outcome = self.exchange(server, Which::Any, &[command]).await;
        let reply = outcome.replies.into_iter().next().ok_or_else(|| outcome.end.why());
        reply.and_then(|reply| meaning(reply, server, outcome.witnesses)).map_err(|why| why.of(&server.name))
    }

    /// One command, and behind it whether somebody holds its key.
    pub(crate) async fn one_and_hold<T>(
        &self,
        command: Command<'_>,
        meaning: impl FnOnce(Reply, &Server, Which) -> Result<T, Fault>,
    ) -> StoreResult<(T, bool)> {
        self.check_key(command.key())?;
        let server = self.of(command.key());
        let look = Command::Hold { key: command.key(), what: OfHold::Look };
        let outcome = self.exchange(server, Which::Any, &[command, look]).await;
        let (mut replies, end) = (outcome.replies.into_iter(), outcome.end);
        let mut next = || replies.next().ok_or_else(|| end.why());
        let meant = next().and_then(|reply| meaning(reply, server, outcome.witnesses));
        let both = meant.and_then(|meant| Ok((meant, is_held(&next()?)?)));
        both.map_err(|why| why.of(&server.name))
    }

    /// [`one_and_hold`](Self::one_and_hold) for many.
    pub(crate) async fn many_and_hold<T>(
        &self,
        commands: Vec<Command<'_>>,
        meaning: impl Fn(usize, Reply, &Server, Which) -> Result<T, Fault>,
    ) -> Vec<StoreResult<(T, bool)>> {
        let mut pairs = Vec::with_capacity(2 * commands.len());
        for command in commands {
            pairs.extend([command, Command::Hold { key: command.key(), what: OfHold::Look }]);
        }
        let answers = self.many(pairs, |at, reply, server, witnesses| {
            Ok(match at % 2 {
                0 => Part::Of(meaning(at / 2, reply, server, witnesses)?),
                _ => Part::Held(is_held(&reply)?),
            })
        });
        let (mut answers, mut out) = (answers.await.into_iter(), Vec::new());
        while let (Some(of), Some(held)) = (answers.next(), answers.next()) {
            out.push(match (of, held) {
                (Ok(Part::Of(of)), Ok(Part::Held(held))) => Ok((of, held)),
                (Err(why), _) | (_, Err(why)) => Err(why),
                _ => Err(Fault::protocol("no answer").of("(none)")),
            });
        }
        out
    }

    /// Many commands: one pipeline per server, all at once. `meaning` reads the reply to the command at a position.
    pub(crate) async fn many<T>(
        &self,
        commands: Vec<Command<'_>>,
        meaning: impl Fn(usize, Reply, &Server, Which) -> Result<T, Fault>,
    ) -> Vec<StoreResult<T>> {
        let mut out: Vec<Option<StoreResult<T>>> = Vec::with_capacity(commands.len());
        let mut shares: Vec<Share<'_>> = self.all.iter().map(|_| Share::default()).collect();
        for (position, command) in commands.into_iter().enumerate() {
            let checked = self.check_key(command.key());
            if checked.is_ok() {
                shares[self.place(command.key())].push(position, command);
            }
            out.push(checked.err().map(Err));
        }
        let runs = self.all.iter().zip(shares).filter(|(_, share)| !share.commands.is_empty());
        let runs = runs.map(|(server, share)| async move {
            let outcome = self.exchange(server, Which::Any, &share.commands).await;
            (server, share.positions, outcome)
        });
        for (server, positions, outcome) in join_all(runs).await {
            let mut replies = outcome.replies.into_iter();
            for position in positions {
                let meant = match replies.next() {
                    Some(reply) => meaning(position, reply, server, outcome.witnesses),
                    None => Err(outcome.end.why()),
                };
                out[position] = Some(meant.map_err(|why| why.of(&server.name)));
            }
        }
        let unanswered = || Err(Fault::protocol("no answer").of("(none)"));
        out.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }
}

/// The answers to a command and to the look at its holds.
enum Part<T> {
    Of(T),
    Held(bool),
}

impl End {
    /// Why a reply is missing.
    pub(crate) fn why(&self) -> Fault {
        match self {
            Self::Broken(why) => why.clone(),
            Self::Whole | Self::NoWitness => Fault::protocol("no answer"),
        }
    }
}

/// The part of a batch that one server has.
#[derive(Default)]
struct Share<'a> {
    positions: Vec<usize>,
    commands: Vec<Command<'a>>,
}

impl<'a> Share<'a> {
    fn push(&mut self, position: usize, command: Command<'a>) {
        self.positions.push(position);
        self.commands.push(command);
    }
}
