//! The task that keeps a bus connected.
//!
//! 1 dial · 2 tell the server what is listened to and what is published, and ask it for a sign of life after each · 3 hear;
//! a sign of life says that all before it was taken · 4 say that there is a gap, wait a moment, and again

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use accelerator_core::{Backoff, GapCause, StoreError, StoreErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use crate::bus::publishes::Publish;
use crate::bus::subscriber::Tenure;
use crate::bus::topics::Change;
use crate::connection::dial::{Connected, Stream};
use crate::connection::reply::{PING, PONG, Replies, Reply};
use crate::server_error::{self, Refusal};

/// The longest wait before the first retry.
const FIRST_WAIT: Duration = Duration::from_millis(25);
/// The longest wait between two tries: a server that is back is found again within this and a round trip.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// The same where the server refuses: it writes such tries down.
const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(5);
/// A connection that lived for so long was a good one.
const GOOD: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const AT_ONCE: usize = 16 << 10;
/// From so many unanswered questions on nothing more is asked.
const MOST_ASKED: usize = 1024;

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

    /// As what a publish fails that was on its way.
    fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotConnected(error) | Self::Refused(error) => error.kind(),
            Self::Closed | Self::NoAnswer(_) => StoreErrorKind::Unavailable,
            Self::Nonsense => StoreErrorKind::Protocol,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(error) | Self::Refused(error) => write!(f, "{error}"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::NoAnswer(limit) => write!(f, "no answer to a PING within {limit:?}"),
            Self::Nonsense => f.write_str("the server doesn't speak the protocol of NATS"),
        }
    }
}

/// What was sent before a PING; the server answers in order.
enum Asked {
    Subscribe { topic: u64, refused: bool },
    Publish(Vec<Publish>),
    SignOfLife,
}

/// Connects and stays connected, until nobody needs it.
pub(crate) async fn stay_connected(tenure: Tenure) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        let dialer = &tenure.of.dialer;
        // 1
        if !tenure.lives(dialer.limit) {
            return;
        }
        let end = match dialer.dial().await {
            Ok(connected) => {
                tracing::info!(server = %dialer.target, "the bus is connected to NATS");
                let since = Instant::now();
                let Some(end) = carry(&tenure, connected).await else { return };
                if since.elapsed() >= GOOD {
                    backoff.reset();
                }
                end
            }
            Err(error) => End::NotConnected(error),
        };
        // 4
        let (cause, why) = (end.cause(), format!("{end:#}"));
        tenure.of.warning.say(&dialer.target, "the bus hears nothing from NATS", &why);
        tenure.disconnected(cause, end.kind(), &why);
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
async fn carry(tenure: &Tenure, connected: Connected) -> Option<End> {
    let limits = tenure.of.limits;
    let Connected { stream, replies, max_payload } = connected;
    let mut carried = Carried {
        tenure,
        stream,
        replies,
        max_payload,
        asked: VecDeque::new(),
        next_ping: Instant::now() + limits.ping_interval,
        pings_heard: 0,
        retry: None,
        refusals: Backoff::new(LONGEST_WAIT, LONGEST_REFUSED_WAIT),
    };
    tenure.connected();
    // What came with the greeting.
    if let Err(end) = carried.hear() {
        return Some(end);
    }
    loop {
        if !tenure.lives(limits.ping_interval + limits.ping_timeout) {
            return None;
        }
        // 2
        let bytes = carried.ask()?;
        if !bytes.is_empty() {
            match timeout(limits.ping_timeout, carried.stream.write_all(&bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Some(End::Closed),
                Err(_) => return Some(End::NoAnswer(limits.ping_timeout)),
            }
        }
        // 3
        match carried.wait().await {
            Woken::Read(Ok(1..)) => {
                if let Err(end) = carried.hear() {
                    return Some(end);
                }
            }
            Woken::Read(_) => return Some(End::Closed),
            Woken::Changed => {}
            Woken::Time if carried.asked.front().is_some_and(|(due, _)| *due <= Instant::now()) => {
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
    /// The largest message that the server takes.
    max_payload: usize,
    /// With the time by when the answer is due.
    asked: VecDeque<(Instant, Asked)>,
    next_ping: Instant,
    /// Of the server, which are to be answered.
    pings_heard: usize,
    /// When subjects that were refused are tried again.
    retry: Option<Instant>,
    refusals: Backoff,
}

impl Carried<'_> {
    /// What is to be written now. None, if the task is over.
    fn ask(&mut self) -> Option<Vec<u8>> {
        let now = Instant::now();
        let mut bytes = PONG.repeat(std::mem::take(&mut self.pings_heard));
        if self.retry.is_some_and(|at| at <= now) {
            self.retry = None;
            self.tenure.act(|topics| topics.try_refused_again());
        }
        if self.asked.len() >= MOST_ASKED {
            return (!self.tenure.is_over()).then_some(bytes);
        }
        let (changes, publishes) = self.tenure.work()?;
        for change in changes {
            match change {
                Change::Subscribe { subject, topic } => {
                    bytes.extend_from_slice(b"SUB ");
                    bytes.extend_from_slice(&subject);
                    bytes.extend_from_slice(format!(" {topic}\r\n").as_bytes());
                    // A PING for each: so what is refused has its subject, whatever the server's words are.
                    self.ping(&mut bytes, now, Asked::Subscribe { topic, refused: false });
                }
                Change::Unsubscribe { topic } => bytes.extend_from_slice(format!("UNSUB {topic}\r\n").as_bytes()),
            }
        }
        let publishes: Vec<_> = publishes.into_iter().filter_map(|publish| self.taken(publish)).collect();
        for Publish { subject, message, .. } in &publishes {
            bytes.extend_from_slice(b"PUB ");
            bytes.extend_from_slice(subject);
            bytes.extend_from_slice(format!(" {}\r\n", message.len()).as_bytes());
            bytes.extend_from_slice(message);
            bytes.extend_from_slice(b"\r\n");
        }
        if !publishes.is_empty() {
            self.ping(&mut bytes, now, Asked::Publish(publishes));
        } else if self.next_ping <= now {
            self.ping(&mut bytes, now, Asked::SignOfLife);
        }
        Some(bytes)
    }

    /// What can be published. Who doesn't wait any more is left out.
    fn taken(&self, publish: Publish) -> Option<Publish> {
        let most = self.max_payload;
        if publish.message.len() <= most {
            return (!publish.answer.is_closed()).then_some(publish);
        }
        // The server would end the connection.
        let context =
            format!("publish: the server takes at most {most} bytes (max_payload): set max_message_bytes to that");
        let _ = publish.answer.send(Err(StoreError::new(StoreErrorKind::TooLarge, context)));
        None
    }

    fn ping(&mut self, bytes: &mut Vec<u8>, now: Instant, asked: Asked) {
        let limits = self.tenure.of.limits;
        bytes.extend_from_slice(PING);
        self.asked.push_back((now + limits.ping_timeout, asked));
        self.next_ping = now + limits.ping_interval;
    }

    /// Until the server has said something, there is something to tell it, or it is time. What was said comes first: it may
    /// be the answer that is due.
    async fn wait(&mut self) -> Woken {
        let mut until = self.asked.front().map_or(self.next_ping, |(due, _)| *due);
        until = until.min(self.retry.unwrap_or(until));
        // What didn't go at once, goes now.
        let more = self.asked.len() < MOST_ASKED && self.tenure.has_more();
        self.replies.buffer.reserve(AT_ONCE);
        let mut read = pin!(self.stream.read_buf(&mut self.replies.buffer));
        let mut changed = pin!(self.tenure.of.changed.notified());
        let mut time = pin!(sleep_until(until));
        poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(Woken::Read(read));
            }
            if more || changed.as_mut().poll(cx).is_ready() {
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
                Reply::Message { subscription, message } => self.tenure.deliver(subscription, Some(&message)),
                Reply::TooLarge { subscription } => self.tenure.deliver(subscription, None),
                Reply::Pong => self.answered()?,
                Reply::Ping => self.pings_heard += 1,
                Reply::Info(info) => self.max_payload = info.max_payload,
                Reply::Refused(said) => self.refused(&said)?,
                Reply::Okay => {}
            }
        }
        Ok(())
    }

    /// What was asked first is done.
    fn answered(&mut self) -> Result<(), End> {
        let (_, asked) = self.asked.pop_front().ok_or(End::Nonsense)?;
        match asked {
            Asked::Subscribe { topic, refused: false } => self.tenure.with_topics(|topics| topics.subscribed(topic)),
            Asked::Publish(publishes) => {
                for publish in publishes {
                    // Nobody may wait any more.
                    let _ = publish.answer.send(Ok(()));
                }
            }
            Asked::Subscribe { refused: true, .. } | Asked::SignOfLife => {}
        }
        Ok(())
    }

    /// The server refuses something; what, say its words, and what was asked before.
    fn refused(&mut self, said: &str) -> Result<(), End> {
        let dialer = &self.tenure.of.dialer;
        match server_error::class(said) {
            Refusal::Away => return Err(End::NotConnected(dialer.refused("listen", said))),
            Refusal::Login => return Err(End::Refused(dialer.refused("listen", said))),
            Refusal::Listen(subject) => {
                // It may be one that was taken, and isn't any more.
                let topic = self.tenure.act(|topics| topics.subscription(subject)).flatten();
                self.may_not_listen(topic, said);
            }
            Refusal::Publish(subject) => self.may_not_publish(Some(subject.as_bytes()), said),
            Refusal::Other => match self.asked.front() {
                Some((_, Asked::Subscribe { topic, .. })) => {
                    let topic = *topic;
                    self.may_not_listen(Some(topic), said);
                }
                Some((_, Asked::Publish(_))) => self.may_not_publish(None, said),
                _ => return Err(End::Refused(dialer.refused("listen", said))),
            },
        }
        Ok(())
    }

    fn may_not_listen(&mut self, topic: Option<u64>, said: &str) {
        let subscriber = &self.tenure.of;
        let error = subscriber.dialer.refused("listen", said);
        subscriber.warning.say(&subscriber.dialer.target, "the bus may not listen at NATS", &format!("{error:#}"));
        if self.retry.is_none() {
            self.retry = Some(Instant::now() + self.refusals.pause());
        }
        let Some(refused_topic) = topic else { return };
        if let Some((_, Asked::Subscribe { topic, refused })) = self.asked.front_mut() {
            *refused |= *topic == refused_topic;
        }
        self.tenure.with_topics(|topics| topics.refused(refused_topic));
    }

    /// Fails those on their way to this subject, or all.
    fn may_not_publish(&mut self, subject: Option<&[u8]>, said: &str) {
        let Some((_, Asked::Publish(publishes))) = self.asked.front_mut() else { return };
        let subscriber = &self.tenure.of;
        let error = || subscriber.dialer.refused("publish", said);
        let why = format!("{:#}", error());
        subscriber.publish_warning.say(&subscriber.dialer.target, "NATS takes no messages of the bus", &why);
        let refused = |publish: &mut Publish| subject.is_none_or(|subject| publish.subject == subject);
        for publish in publishes.extract_if(.., refused) {
            // Nobody may wait any more.
            let _ = publish.answer.send(Err(error()));
        }
    }
}
