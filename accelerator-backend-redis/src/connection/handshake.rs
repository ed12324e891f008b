//! The first words on a new connection: login, database, the server's time, and a sign of life, in one round trip.

use std::io;
use std::time::Instant;

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use redis::{Cmd, Pipeline, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::commands::command::Op;
use crate::connection::dial::{Dialer, Stream};
use crate::server_error::{self, Refusal};

/// The longest greeting that is read.
const LONGEST_GREETING: usize = 16 << 10;

impl Dialer {
    /// Logs in, asks for the time, and for a sign of life, in one round trip.
    ///
    /// Read by hand: a server that takes no more clients says so and closes before it is asked anything.
    pub(super) async fn greet(&self, stream: &mut Stream) -> StoreResult<()> {
        let steps = self.steps();
        let mut greeting = Pipeline::with_capacity(steps.len());
        for (_, cmd) in &steps {
            greeting.add_command(cmd.clone());
        }
        let (asked, mut time) = (Instant::now(), None);
        let lost = |error: io::Error| self.failed("the connection ended in the greeting").with_source(error);
        let written = stream.write_all(&greeting.get_packed_pipeline()).await;
        let mut heard = Vec::new();
        for (step, _) in steps {
            // What the server had to say counts more than that it didn't listen.
            match line(stream, &mut heard).await {
                Ok(answer) if step == Step::Time => match told(stream, &mut heard, &answer).await.map_err(lost)? {
                    Told::Time(unix_ms) => time = Some(unix_ms),
                    // Whoever may not ask for it, or asks a server that has none, does without.
                    Told::Refused => self.judge(step, &answer)?,
                    // One answer to all: a sign of life.
                    Told::Else => {
                        self.judge(Step::Life, &answer)?;
                        break;
                    }
                },
                Ok(answer) => self.judge(step, &answer)?,
                Err(error) => return Err(lost(written.err().unwrap_or(error))),
            }
        }
        self.clock.note(time, asked);
        Ok(())
    }

    fn steps(&self) -> Vec<(Step, Cmd)> {
        let login = &self.target.login;
        let mut steps = Vec::with_capacity(4);
        if let Some(password) = login.password() {
            let mut auth = redis::cmd("AUTH");
            login.username().map(|user| auth.arg(user));
            auth.arg(password);
            steps.push((Step::Login, auth));
        }
        if login.db() != 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(login.db());
            steps.push((Step::Database, select));
        }
        steps.push((Step::Time, redis::cmd("TIME")));
        steps.push((Step::Life, redis::cmd("PING")));
        steps
    }

    fn judge(&self, step: Step, answer: &[u8]) -> StoreResult<()> {
        let answer = match redis::parse_redis_value(answer) {
            Ok(Value::ServerError(said)) => said,
            Ok(_) => return Ok(()),
            Err(_) => {
                let context = format!("{}: the server doesn't speak Redis' protocol", self.target);
                return Err(StoreError::new(StoreErrorKind::Protocol, context));
            }
        };
        match (step, server_error::class(&answer)) {
            // Nobody needs the right to PING, and not every proxy knows it: an answer is an answer.
            (Step::Time | Step::Life, Refusal::Right | Refusal::Other | Refusal::Syntax) => Ok(()),
            (step, _) if self.target.is_betrayed_by(&answer) => {
                Err(server_error::error_in(step.op(), &answer, "(its words repeat the password)"))
            }
            (step, _) => Err(server_error::error(step.op(), &answer)),
        }
    }
}

/// A part of the greeting.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Login,
    Database,
    Time,
    Life,
}

impl Step {
    fn op(self) -> Op {
        match self {
            Self::Login => Op { name: "connect", rights: "to be on and to have this password" },
            Self::Database => Op { name: "connect", rights: "+select" },
            Self::Time => Op { name: "connect", rights: "+time" },
            Self::Life => Op { name: "connect", rights: "+ping" },
        }
    }
}

/// What a server said when it was asked for its time.
enum Told {
    /// In Unix milliseconds.
    Time(u64),
    Refused,
    Else,
}

/// The rest of an answer that begins with the line `first`: two strings, seconds and microseconds.
async fn told(stream: &mut Stream, heard: &mut Vec<u8>, first: &[u8]) -> io::Result<Told> {
    if first.starts_with(b"-") {
        return Ok(Told::Refused);
    }
    if first != b"*2\r\n" {
        return Ok(Told::Else);
    }
    let mut numbers = [0_u64; 2];
    for number in &mut numbers {
        let _length = line(stream, heard).await?;
        let digits = line(stream, heard).await?;
        let digits = std::str::from_utf8(&digits).ok().and_then(|digits| digits.trim_end().parse().ok());
        *number = digits.ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(Told::Time(numbers[0].saturating_mul(1000).saturating_add(numbers[1] / 1000)))
}

/// The next line, with its end. All answers to a greeting are lines.
async fn line(stream: &mut Stream, heard: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    loop {
        if let Some(end) = heard.windows(2).position(|pair| pair == b"\r\n") {
            return Ok(heard.drain(..end + 2).collect());
        }
        if heard.len() > LONGEST_GREETING {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(heard).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
