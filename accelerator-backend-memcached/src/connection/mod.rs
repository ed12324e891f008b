//! One connection: requests out, replies in, and whether it is still fit for the next exchange.

mod handshake;
pub(crate) mod pool;
pub(crate) mod reconnect;
pub(crate) mod server;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::panic::catch_unwind;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};

use crate::commands::command::Command;
use crate::commands::hold;
use crate::commands::reply::{self, Reply};
use crate::error::Fault;

/// How much is read at once, and how much is written ahead.
const CHUNK: usize = 8 << 10;
/// The same for a batch.
const BATCH: usize = 32 << 10;
/// Buffers above this size go after the exchange that needed them.
const KEPT: usize = 64 << 10;

/// A connection that was idle for longer isn't used again: something on the way may have forgotten it silently.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// A connection to one server process.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Connections are numbered in the order in which they were made; zero before it is known.
    pub(crate) id: u64,
    /// Counts how often the server's name had changed its meaning.
    pub(crate) era: u64,
    /// Where it leads.
    pub(crate) peer: SocketAddr,
    /// When it was last used.
    pub(crate) used: Instant,
    stream: TcpStream,
    /// The runtime that hears of the socket.
    home: Id,
    incoming: BytesMut,
    outgoing: Vec<u8>,
    /// Number of the next request. A reply that was left behind never fits a later one.
    next: u32,
    /// Whether every request was answered, and nothing else was.
    in_step: bool,
    /// How far the last exchange has come.
    at: Progress,
}

/// How far an exchange has come, counted in its commands.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The number of the first request.
    first: u32,
    encoded: usize,
    answered: usize,
    /// Bytes of what is encoded last.
    sent: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Box<Self>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(Self {
            id: 0,
            era: 0,
            peer: address,
            used: Instant::now(),
            stream,
            home: Handle::current().id(),
            incoming: BytesMut::new(),
            outgoing: Vec::new(),
            next: 0,
            in_step: true,
            at: Progress::default(),
        }))
    }

    /// The connection in the current runtime: the one that it was made in may stand still, and would hear of no reply.
    /// `None`: it is of no use there.
    pub(crate) fn here(self: Box<Self>) -> Option<Box<Self>> {
        let home = Handle::try_current().ok()?.id();
        if home == self.home {
            return Some(self);
        }
        let this = *self;
        let stream = this.stream.into_std().ok()?;
        // The new runtime has not heard of the socket yet, so it is asked: anything but silence is the end of it.
        let silent = matches!(stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        // A runtime without I/O says so by a panic.
        let stream = catch_unwind(|| TcpStream::from_std(stream)).ok()?.ok()?;
        silent.then(|| Box::new(Self { stream, home, ..this }))
    }

    /// Whether another exchange may begin here. Between exchanges a connection is silent: bytes, an error or its end mean
    /// that it is of no use. Costs no system call; what happened a moment ago may be missed.
    pub(crate) fn is_fit(&self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let silent = match self.stream.poll_read_ready(&mut nobody) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => {
                matches!(self.stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // The runtime that it was made on is gone.
            Poll::Ready(Err(_)) => false,
        };
        self.in_step && silent && !self.is_old()
    }

    /// Whether it was idle for too long.
    pub(crate) fn is_old(&self) -> bool {
        self.used.elapsed() >= LONGEST_IDLE
    }

    /// Whether the last exchange went to its end.
    pub(crate) fn is_in_step(&self) -> bool {
        self.in_step
    }

    /// Sends all commands in one pipeline and gives each reply to `answer` as it comes. After an error, the commands
    /// without a reply may or may not have been carried out.
    ///
    /// Dropped half way, the connection is out of step and must not be used again.
    pub(crate) async fn exchange(
        &mut self,
        prefix: &str,
        commands: &[Command<'_>],
        limit: usize,
        mut answer: impl FnMut(Reply) + Send,
    ) -> Result<(), Fault> {
        self.in_step = false;
        // One key is asked for with its holds.
        let chunk = if commands.len() > 2 { BATCH } else { CHUNK };
        self.incoming.reserve(chunk);
        self.at = Progress { first: self.next, ..Progress::default() };
        self.next = self.next.wrapping_add(commands.len() as u32);
        self.outgoing.clear();
        while self.at.answered < commands.len() {
            if self.at.sent == self.outgoing.len() && self.at.encoded < commands.len() {
                self.outgoing.clear();
                self.at.sent = 0;
                while self.at.encoded < commands.len() && self.outgoing.len() < chunk {
                    let opaque = self.at.first.wrapping_add(self.at.encoded as u32);
                    commands[self.at.encoded].write(prefix, opaque, &mut self.outgoing);
                    self.at.encoded += 1;
                }
            }
            let limit_of = |at: usize| match commands.get(at) {
                Some(Command::Hold { .. }) => limit.max(hold::LONGEST),
                _ => limit,
            };
            self.step(limit_of, commands.len(), &mut answer).await?;
        }
        self.settle()
    }

    /// Sends what is encoded, as far as the server takes it; or waits for replies, and gives them to `answer`.
    async fn step(
        &mut self,
        limit_of: impl Fn(usize) -> usize,
        all: usize,
        answer: &mut (impl FnMut(Reply) + Send),
    ) -> Result<(), Fault> {
        if self.at.sent < self.outgoing.len() {
            match self.stream.try_write(&self.outgoing[self.at.sent..]) {
                Ok(written) => {
                    self.at.sent += written;
                    // Unless the server has taken all, what it answers is read before more is written: a server
                    // that can't get rid of its replies takes no more requests.
                    if self.at.sent == self.outgoing.len() && self.at.encoded < all {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(lost(error)),
            }
        }
        if self.at.sent < self.outgoing.len() {
            self.receive_or_send().await?;
        } else {
            self.receive().await?;
        }
        while self.at.answered < all {
            let opaque = self.at.first.wrapping_add(self.at.answered as u32);
            let Some(reply) = reply::next(&mut self.incoming, opaque, limit_of(self.at.answered))? else { break };
            self.at.answered += 1;
            answer(reply);
        }
        Ok(())
    }

    /// The commands of the last exchange that were sent, in part or whole, and have no reply.
    pub(crate) fn unanswered(&self) -> Range<usize> {
        self.at.answered..self.at.encoded
    }

    /// Goes on with an exchange that was given up: the replies to [`unanswered`](Self::unanswered). What was not encoded is
    /// not sent any more.
    pub(crate) async fn drain(&mut self, limit: usize, mut answer: impl FnMut(Reply) + Send) -> Result<(), Fault> {
        let all = self.at.encoded;
        while self.at.answered < all {
            self.step(|_| limit.max(hold::LONGEST), all, &mut answer).await?;
        }
        self.settle()
    }

    /// Asks for the version, and whether meta commands are understood: the line that answers each.
    pub(crate) async fn greet(&mut self) -> Result<(String, String), Fault> {
        self.in_step = false;
        self.stream.write_all(b"version\r\nmn\r\n").await.map_err(lost)?;
        let answers = (self.line().await?, self.line().await?);
        self.settle()?;
        Ok(answers)
    }

    async fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(line) = reply::line(&self.incoming)? {
                let text = self.incoming.split_to(line.whole);
                return Ok(String::from_utf8_lossy(&text[..line.length]).into_owned());
            }
            self.receive().await?;
        }
    }

    /// Reads what comes.
    async fn receive(&mut self) -> Result<(), Fault> {
        self.make_room();
        let read = self.stream.read_buf(&mut self.incoming).await;
        read.map_err(lost).and_then(some)
    }

    /// Waits until something can be read or written, and reads what is there.
    async fn receive_or_send(&mut self) -> Result<(), Fault> {
        self.stream.ready(Interest::READABLE | Interest::WRITABLE).await.map_err(lost)?;
        self.make_room();
        match self.stream.try_read_buf(&mut self.incoming) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            read => read.map_err(lost).and_then(some),
        }
    }

    fn make_room(&mut self) {
        if self.incoming.capacity() - self.incoming.len() < reply::ROOM {
            self.incoming.reserve(CHUNK);
        }
    }

    /// The end of an exchange.
    fn settle(&mut self) -> Result<(), Fault> {
        if !self.incoming.is_empty() {
            return Err(Fault::protocol("it answered what nobody asked"));
        }
        if self.outgoing.capacity() > KEPT {
            self.outgoing = Vec::new();
        }
        if self.incoming.capacity() > KEPT {
            self.incoming = BytesMut::new();
        }
        self.in_step = true;
        Ok(())
    }
}

fn some(bytes: usize) -> Result<(), Fault> {
    if bytes == 0 { Err(Fault::unavailable("it closed the connection")) } else { Ok(()) }
}

fn lost(error: io::Error) -> Fault {
    Fault::io("the connection was lost", error)
}
