//! From an address to a connection that has answered once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, Pipeline, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::ServerClock;
use crate::command::Op;
use crate::refusal::{self, Refusal};
use crate::target::Target;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// Commands that wait for the connection's attention. More than callers at once in most services: waiting for room
/// costs more than the room.
const QUEUE: usize = 1024;
/// The longest greeting that is read.
const LONGEST_GREETING: usize = 16 << 10;

/// Bytes in both directions.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

type Stream = Box<dyn Duplex>;

/// A connection that has been greeted, and what carries its bytes while it is polled.
pub(crate) struct Connected {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// All that is needed to connect.
pub(crate) struct Dialer {
    pub(crate) target: Target,
    pub(crate) limit: Duration,
    /// Bytes that the server has sent, over all connections.
    pub(crate) received: Arc<AtomicU64>,
    /// What the greetings say of the server's time.
    pub(crate) clock: ServerClock,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

impl Dialer {
    /// Connects, logs in, and waits for a first answer: a server that only accepts may be stopped.
    pub(crate) async fn dial(&self) -> StoreResult<Connected> {
        let connected = async {
            let mut stream = self.open().await?;
            self.greet(&mut stream).await?;
            self.hand_over(stream).await
        };
        match tokio::time::timeout(self.limit, connected).await {
            Ok(result) => result,
            Err(_) => Err(self.failed(&format!("no answer within connect_timeout = {:?}", self.limit))),
        }
    }

    async fn open(&self) -> StoreResult<Stream> {
        let opened = match &self.target.addr {
            ConnectionAddr::Tcp(host, port) => self.tcp(host, *port).await,
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                tokio::net::UnixStream::connect(path).await.map(|stream| Box::new(stream) as Stream)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        };
        opened.map_err(|error| self.failed("no connection").with_source(error))
    }

    async fn tcp(&self, host: &str, port: u16) -> io::Result<Stream> {
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Ok(Box::new(tls.wrap(host, tcp).await?));
        }
        Ok(Box::new(tcp))
    }

    /// Logs in, asks for the time, and for a sign of life, in one round trip.
    ///
    /// Read by hand: a server that takes no more clients says so and closes before it is asked anything.
    async fn greet(&self, stream: &mut Stream) -> StoreResult<()> {
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
        match (step, refusal::class(&answer)) {
            // Nobody needs the right to PING, and not every proxy knows it: an answer is an answer.
            (Step::Time | Step::Life, Refusal::Right | Refusal::Other | Refusal::Syntax) => Ok(()),
            (step, _) if self.target.is_betrayed_by(&answer) => {
                Err(refusal::error_in(step.op(), &answer, "(its words repeat the password)"))
            }
            (step, _) => Err(refusal::error(step.op(), &answer)),
        }
    }

    /// The client's connection on a stream that was greeted. No time limits: callers have theirs, and a timer per call
    /// costs more than a look now and then.
    async fn hand_over(&self, stream: Stream) -> StoreResult<Connected> {
        let login = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let counted = Counted { stream, received: Arc::clone(&self.received) };
        let opened = MultiplexedConnection::new_with_config(&login, counted, config).await;
        let (connection, driver) = opened.map_err(|error| self.failed("no connection").with_source(error))?;
        Ok(Connected { connection, driver: Box::pin(driver) })
    }

    fn failed(&self, what: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, format!("{}: {what}", self.target))
    }
}

/// A stream that counts what it receives: a long answer is a sign of life before it is whole.
struct Counted {
    stream: Stream,
    received: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let more = buffer.filled().len().saturating_sub(before);
        if more > 0 {
            self.received.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
