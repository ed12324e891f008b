//! From an address to a connection that has answered once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::connection::clock::ServerClock;
#[cfg(feature = "tls")]
use crate::connection::tls::Tls;
use crate::url::ServerUrl;

/// Commands that wait for the connection's attention. More than callers at once in most services: waiting for room
/// costs more than the room.
const QUEUE: usize = 1024;

/// Bytes in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

pub(crate) type Stream = Box<dyn Duplex>;

/// A connection that has been greeted, and what carries its bytes while it is polled.
pub(crate) struct Connected {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// All that is needed to connect.
pub(crate) struct Dialer {
    pub(crate) target: ServerUrl,
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
        self.within_limit(connected).await
    }

    /// Connects and logs in; what is said on it after that is the caller's.
    pub(crate) async fn dial_plain(&self) -> StoreResult<Stream> {
        let connected = async {
            let mut stream = self.open().await?;
            self.greet(&mut stream).await?;
            Ok(stream)
        };
        self.within_limit(connected).await
    }

    async fn within_limit<T>(&self, connected: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
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

    pub(super) fn failed(&self, what: &str) -> StoreError {
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
