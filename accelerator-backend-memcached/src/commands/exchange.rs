//! From commands to replies: over which connection, for how long, and for batches over which servers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accelerator_core::{Outcomes, StoreErrorKind, StoreResult};
use futures_util::future::join_all;
use tokio::runtime::Handle;

use crate::commands::command::{Command, OfHold, check_key};
use crate::commands::given_up::Asked;
use crate::commands::hold::is_held;
use crate::commands::reply::Reply;
use crate::connection::pool::Which;
use crate::connection::server::Server;
use crate::error::Fault;
use crate::route;
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
        let end = self.exchange_each(server, which, commands, |reply, of| {
            witnesses = of;
            replies.push(reply);
        });
        let end = end.await;
        Outcome { witnesses, replies, end }
    }

    /// The same, with each reply given to `each` as it comes, with the connections over which its CAS number means
    /// something.
    pub(crate) async fn exchange_each(
        &self,
        server: &Arc<Server>,
        which: Which,
        commands: &[Command<'_>],
        mut each: impl FnMut(Reply, Which) + Send,
    ) -> End {
        let mut is_silent = true;
        let run = async {
            let (prefix, limit) = (&self.settings.key_prefix, self.settings.max_value_bytes);
            loop {
                let lent = match which {
                    Which::Any => Some(server.checkout().await?),
                    which => server.borrow(which).await?,
                };
                let Some(lent) = lent else { return Ok(End::NoWitness) };
                let (witnesses, was_idle) = (lent.witnesses(), lent.was_idle());
                let mut asked = Asked::new(lent, commands, &self.settings);
                let Some(connection) = asked.connection() else { return Ok(End::NoWitness) };
                let heard = |reply| {
                    is_silent = false;
                    each(reply, witnesses);
                };
                let exchanged = connection.exchange(prefix, commands, limit, heard).await;
                drop(asked.ends());
                match exchanged {
                    Ok(()) => return Ok(End::Whole),
                    // It had ended while it was idle, and nobody had noticed. What isn't bound to connections can be said
                    // twice: reads, deletes and writes alike.
                    Err(why) if why.is_absence() && was_idle && is_silent && which == Which::Any => {}
                    Err(why) => return Err(why),
                }
            }
        };
        self.timed(run).await.unwrap_or_else(End::Broken)
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

    /// [`one_and_hold`](Self::one_and_hold) for many. `both` makes the outcome at a position, and what is known of its
    /// age, of what was meant and of whether the key is held; `None`: it is the caller's to put into `out`.
    pub(crate) async fn many_and_hold<T: Send, U: Send>(
        &self,
        commands: Vec<Command<'_>>,
        out: &mut Outcomes<U>,
        meaning: impl Fn(usize, Reply, &Server, Which) -> Result<T, Fault> + Sync,
        both: impl Fn(usize, T, bool) -> Option<(StoreResult<U>, Option<Duration>)> + Sync,
    ) {
        let mut pairs = Vec::with_capacity(2 * commands.len());
        for command in commands {
            pairs.extend([command, Command::Hold { key: command.key(), what: OfHold::Look }]);
        }
        let halves: Mutex<Vec<Option<T>>> = Mutex::new((0..pairs.len() / 2).map(|_| None).collect());
        let half = |at: usize| halves.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at).and_then(Option::take);
        let out = Shared::new(out);
        let put = |at: usize, part: StoreResult<Part<T>>| match part {
            Ok(Part::Of(of)) => {
                if let Some(place) = halves.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at / 2) {
                    *place = Some(of);
                }
            }
            Ok(Part::Held(held)) => {
                if let Some((outcome, age)) = half(at / 2).and_then(|of| both(at / 2, of, held)) {
                    out.put_aged(at / 2, outcome, age);
                }
            }
            Err(why) => out.put(at / 2, Err(why)),
        };
        let part = |at: usize, reply: Reply, server: &Server, witnesses| {
            Ok(match at % 2 {
                0 => Part::Of(meaning(at / 2, reply, server, witnesses)?),
                _ => Part::Held(is_held(&reply)?),
            })
        };
        self.many_to(pairs, put, part).await;
    }

    /// Many commands: one pipeline per server, all at once. `meaning` reads the reply to the command at a position; what it
    /// says is put into `out` at once, so that a server that hangs keeps no other one's answers back.
    pub(crate) async fn many<T: Send>(
        &self,
        commands: Vec<Command<'_>>,
        out: &mut Outcomes<T>,
        meaning: impl Fn(usize, Reply, &Server, Which) -> Result<T, Fault> + Sync,
    ) {
        let out = Shared::new(out);
        self.many_to(commands, |position, outcome| out.put(position, outcome), meaning).await;
    }

    /// [`many`](Self::many), with each outcome given to `put`.
    async fn many_to<T>(
        &self,
        commands: Vec<Command<'_>>,
        put: impl Fn(usize, StoreResult<T>) + Sync,
        meaning: impl Fn(usize, Reply, &Server, Which) -> Result<T, Fault> + Sync,
    ) {
        let mut shares: Vec<Share<'_>> = self.all.iter().map(|_| Share::default()).collect();
        for (position, command) in commands.into_iter().enumerate() {
            match self.check_key(command.key()) {
                Ok(()) => shares[self.place(command.key())].push(position, command),
                Err(error) => put(position, Err(error)),
            }
        }
        let (put, meaning) = (&put, &meaning);
        let runs = self.all.iter().zip(shares).filter(|(_, share)| !share.commands.is_empty());
        let runs = runs.map(|(server, share)| async move {
            let mut positions = share.positions.into_iter();
            let end = self.exchange_each(server, Which::Any, &share.commands, |reply, witnesses| {
                if let Some(position) = positions.next() {
                    put(position, meaning(position, reply, server, witnesses).map_err(|why| why.of(&server.name)));
                }
            });
            let end = end.await;
            positions.for_each(|position| put(position, Err(end.why().of(&server.name))));
        });
        join_all(runs).await;
    }
}

/// Outcomes into which several servers' answers are put.
pub(crate) struct Shared<'a, T>(Mutex<&'a mut Outcomes<T>>);

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(out: &'a mut Outcomes<T>) -> Self {
        Self(Mutex::new(out))
    }

    pub(crate) fn put(&self, position: usize, outcome: StoreResult<T>) {
        self.put_aged(position, outcome, None);
    }

    fn put_aged(&self, position: usize, outcome: StoreResult<T>, age: Option<Duration>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put_aged(position, outcome, age);
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
