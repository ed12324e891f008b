//! The task that keeps a bus subscribed.
//!
//! 1 dial · 2 tell the server what is listened to · 3 hear, and ask for signs of life · 4 say that there is a gap, wait a
//! moment, and again

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use accelerator_core::{Backoff, GapCause, StoreError, StoreErrorKind};
use bytes::Bytes;
use redis::ServerError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use crate::bus::reply::{Replies, Reply};
use crate::bus::subscriber::Tenure;
use crate::bus::topics::Change;
use crate::commands::command::SUBSCRIBE;
use crate::connection::dial::Stream;
use crate::connection::reconnect::LONGEST_REFUSED_WAIT;
use crate::server_error::{self, Refusal};

/// The longest wait before the first retry.
const FIRST_WAIT: Duration = Duration::from_millis(25);
/// The longest wait between two tries: a server that is back is found again within this and a round trip.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// A connection that lived for so long was a good one.
const GOOD: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const AT_ONCE: usize = 16 << 10;
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Why a connection is over, or there is none.
enum End {
    NotConnected(StoreError),
    Closed,
    NoAnswer(Duration),
    Nonsense,
    Refused(StoreError),
}

impl End {
    fn cause(&self) -> GapCause {
        match self {
            Self::NotConnected(error) if error.kind() == StoreErrorKind::Unavailable => GapCause::Disconnected,
            Self::Closed => GapCause::Disconnected,
            Self::NoAnswer(_) => GapCause::NoAnswer,
            Self::NotConnected(_) | Self::Nonsense | Self::Refused(_) => GapCause::Refused,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(error) | Self::Refused(error) => write!(f, "{error}"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::NoAnswer(limit) => write!(f, "no answer to a PING within {limit:?}"),
            Self::Nonsense => f.write_str("the server doesn't speak Redis' protocol"),
        }
    }
}

/// What is sent and not answered; the server answers in order.
enum Sent {
    Subscribe { channel: Bytes, topic: u64 },
    Unsubscribe,
    Ping,
}

/// Connects and stays subscribed, until nobody listens.
pub(crate) async fn stay_subscribed(tenure: Tenure) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let dialer = &tenure.of.server.dialer;
        // 1
        if !tenure.lives(dialer.limit) {
            return;
        }
        let end = match dialer.dial_plain().await {
            Ok(stream) => {
                tracing::info!(server = %dialer.target, "the bus is connected to Redis");
                let since = Instant::now();
                let Some(end) = carry(&tenure, stream).await else { return };
                if since.elapsed() >= GOOD {
                    backoff.reset();
                }
                end
            }
            Err(error) => End::NotConnected(error),
        };
        // 4
        let cause = end.cause();
        tenure.of.warning.say(&dialer.target, "the bus hears nothing from Redis", &format!("{end:#}"));
        tenure.disconnected(cause);
        let longest = if cause == GapCause::Refused { LONGEST_REFUSED_WAIT } else { LONGEST_WAIT };
        let pause = backoff.pause_within(longest);
        if !tenure.lives(pause) {
            return;
        }
        tokio::time::sleep(pause).await;
        if tenure.is_over() {
            return;
        }
    }
}

/// Hears what the server says until the connection is over. None, if the task is.
async fn carry(tenure: &Tenure, stream: Stream) -> Option<End> {
    let subscriber = &tenure.of;
    let limits = subscriber.limits;
    let mut carried = Carried {
        tenure,
        stream,
        replies: Replies::new(limits.max_message_bytes),
        sent: VecDeque::new(),
        pong: None,
        retry: None,
        refusals: Backoff::new(LONGEST_WAIT, LONGEST_REFUSED_WAIT),
    };
    let mut next_ping = Instant::now() + limits.ping_interval;
    tenure.connected();
    loop {
        if !tenure.lives(limits.ping_interval + limits.ping_timeout) {
            return None;
        }
        // 2
        let now = Instant::now();
        if carried.retry.is_some_and(|at| at <= now) {
            carried.retry = None;
            tenure.with_topics(|topics| {
                topics.try_refused_again();
                Vec::new()
            });
        }
        let mut bytes = carried.write(tenure.changes()?);
        if carried.pong.is_none() && next_ping <= now {
            bytes.extend_from_slice(PING);
            carried.sent.push_back(Sent::Ping);
            carried.pong = Some(now + limits.ping_timeout);
            next_ping = now + limits.ping_interval;
        }
        if !bytes.is_empty() {
            match timeout(limits.ping_timeout, carried.stream.write_all(&bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Some(End::Closed),
                Err(_) => return Some(End::NoAnswer(limits.ping_timeout)),
            }
        }
        // 3
        let until = carried.pong.unwrap_or(next_ping).min(carried.retry.unwrap_or(next_ping));
        match carried.wait(until).await {
            Woken::Read(Ok(1..)) => {
                if let Err(end) = carried.hear() {
                    return Some(end);
                }
            }
            Woken::Read(_) => return Some(End::Closed),
            Woken::Changed => {}
            Woken::Time if carried.pong.is_some_and(|due| due <= Instant::now()) => {
                return Some(End::NoAnswer(limits.ping_timeout));
            }
            Woken::Time => {}
        }
    }
}

enum Woken {
    Read(io::Result<usize>),
    Changed,
    Time,
}

/// A connection, and what is under way on it.
struct Carried<'a> {
    tenure: &'a Tenure,
    stream: Stream,
    replies: Replies,
    sent: VecDeque<Sent>,
    /// Until when an answer to a PING is due.
    pong: Option<Instant>,
    /// When channels that were refused are tried again.
    retry: Option<Instant>,
    refusals: Backoff,
}

impl Carried<'_> {
    /// The commands for these changes: one for each channel, so that one which is refused stops no other.
    fn write(&mut self, changes: Vec<Change>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for change in changes {
            let (name, channel) = match &change {
                Change::Subscribe { channel, .. } => ("SUBSCRIBE", channel),
                Change::Unsubscribe { channel } => ("UNSUBSCRIBE", channel),
            };
            let mut cmd = redis::cmd(name);
            bytes.extend_from_slice(&cmd.arg(&channel[..]).get_packed_command());
            self.sent.push_back(match change {
                Change::Subscribe { channel, topic } => Sent::Subscribe { channel, topic },
                Change::Unsubscribe { .. } => Sent::Unsubscribe,
            });
        }
        bytes
    }

    /// Until the server has said something, topics have changed, or it is time. What was said comes first: it may be the
    /// answer that is due.
    async fn wait(&mut self, until: Instant) -> Woken {
        self.replies.buffer.reserve(AT_ONCE);
        let mut read = pin!(self.stream.read_buf(&mut self.replies.buffer));
        let mut changed = pin!(self.tenure.of.changed.notified());
        let mut time = pin!(sleep_until(until));
        poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(Woken::Read(read));
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Woken::Changed);
            }
            time.as_mut().poll(cx).map(|()| Woken::Time)
        })
        .await
    }

    /// Takes in all that is there.
    fn hear(&mut self) -> Result<(), End> {
        while let Some(reply) = self.replies.next().map_err(|_| End::Nonsense)? {
            match reply {
                Reply::Message { channel, message } => self.tenure.deliver(&channel, Some(&message)),
                Reply::TooLarge { channel } => self.tenure.deliver(&channel, None),
                answer => {
                    let sent = self.sent.pop_front().ok_or(End::Nonsense)?;
                    self.answered(sent, answer)?;
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, sent: Sent, answer: Reply) -> Result<(), End> {
        match (sent, answer) {
            (Sent::Subscribe { channel, topic }, Reply::Subscribed { channel: confirmed }) if channel == confirmed => {
                self.tenure.with_topics(|topics| topics.subscribed(&channel, topic));
            }
            (Sent::Unsubscribe, Reply::Unsubscribed | Reply::Refused(_)) => {}
            // Not everybody may ask, and an answer is an answer.
            (Sent::Ping, Reply::Pong | Reply::Refused(_)) => self.pong = None,
            (Sent::Subscribe { channel, topic }, Reply::Refused(said)) => self.refused(&channel, topic, &said)?,
            _ => return Err(End::Nonsense),
        }
        Ok(())
    }

    fn refused(&mut self, channel: &Bytes, topic: u64, said: &ServerError) -> Result<(), End> {
        let subscriber = &self.tenure.of;
        let target = &subscriber.server.dialer.target;
        let error = if target.is_betrayed_by(said) {
            server_error::error_in(SUBSCRIBE, said, "(its words repeat the password)")
        } else {
            server_error::error(SUBSCRIBE, said)
        };
        match server_error::class(said) {
            Refusal::Away => return Err(End::NotConnected(error)),
            Refusal::Login => return Err(End::Refused(error)),
            _ => {}
        }
        subscriber.warning.say(target, "the bus may not listen at Redis", &format!("{error:#}"));
        if self.retry.is_none() {
            self.retry = Some(Instant::now() + self.refusals.pause());
        }
        self.tenure.with_topics(|topics| topics.refused(channel, topic));
        Ok(())
    }
}
