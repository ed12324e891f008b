//! A proxy that counts round trips.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::ports;
use super::pump::{Counts, relay};

/// How long a client has to be silent until it is taken to wait for its answer.
const QUIET: Duration = Duration::from_millis(5);

/// A proxy of 127.0.0.1 in front of a server, which counts round trips: how often a client had to wait for the server.
///
/// ```no_run
/// # async fn example() {
/// use accelerator_core::testkit::server::{CountingProxy, RedisServer};
/// let Some(server) = RedisServer::start() else { return };
/// let proxy = CountingProxy::start(server.addr()).await;
/// let url = format!("redis://{}", proxy.addr());
/// // let store = RedisStore::builder().url(url) .. and one read, to have a connection: that may be a round trip too
/// proxy.reset();
/// // store.mget(&["a", "b"]).await;
/// assert_eq!(proxy.round_trips(), 1);
/// # }
/// ```
///
/// A round trip is what a client sends until it is silent, together with the answer. So a pipeline is one, also where it
/// leaves in several segments and the server answers the first before the last is sent: the proxy keeps an answer back
/// until the client has been silent for 5 ms (100 ms at most), and whatever it sends until then, it sends without having
/// seen the answer. Bytes that are never answered count nothing, nor does what a server says unasked. Each connection
/// is counted by itself.
///
/// Count one operation at a time. What several tasks ask at once over one connection is a pipeline to all who look at
/// the wire, and is counted as one. For measuring time this is the wrong tool.
///
/// It runs on a thread of its own, whatever runtime (or paused time) the test has, and ends when it is dropped: its
/// connections break then.
pub struct CountingProxy {
    port: u16,
    counts: Arc<Counts>,
    running: Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl CountingProxy {
    /// Starts a proxy in front of `upstream` (`host:port`), which is dialed anew for every connection: it may be down
    /// now, and restart later.
    ///
    /// # Cancel safety
    ///
    /// It awaits nothing.
    pub async fn start(upstream: impl Into<String>) -> Self {
        Self::start_patient(upstream, QUIET).await
    }

    /// The same, with another time of silence instead of the 5 ms. The longest wait is twenty times that.
    ///
    /// # Cancel safety
    ///
    /// It awaits nothing.
    pub async fn start_patient(upstream: impl Into<String>, quiet: Duration) -> Self {
        let (listener, port) = ports::listen();
        let counts = Arc::new(Counts {
            quiet,
            round_trips: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rate: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = serve(listener, upstream.into(), Arc::clone(&counts));
        let thread = thread::spawn(move || {
            if let Either::Left((error, _)) = super::super::block_on(select(pin!(serving), stopped)) {
                panic!("the proxy can't listen: {error}");
            }
        });
        Self { port, counts, running: Some((stop, thread)) }
    }

    /// Where clients connect: `127.0.0.1:PORT`.
    #[must_use]
    pub fn addr(&self) -> String {
        ports::addr(self.port).to_string()
    }

    /// Round trips since the start or the last [`reset`](CountingProxy::reset). One is counted before its answer
    /// arrives: who has the answer finds it counted.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        self.counts.round_trips.load(Ordering::SeqCst)
    }

    /// Bytes in both directions since the start or the last [`reset`](CountingProxy::reset).
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }

    /// From now on each direction of a connection carries so many bytes per second; zero: as many as come. 125,000,000 are
    /// a line of 1 Gbit/s.
    pub fn throttle(&self, bytes_per_second: u32) {
        self.counts.rate.store(u64::from(bytes_per_second), Ordering::SeqCst);
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        self.counts.round_trips.store(0, Ordering::SeqCst);
        self.counts.bytes.store(0, Ordering::SeqCst);
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for CountingProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountingProxy")
            .field("addr", &self.addr())
            .field("round_trips", &self.round_trips())
            .field("bytes", &self.bytes())
            .finish()
    }
}

/// Takes connections for ever, or says why it can't.
async fn serve(listener: std::net::TcpListener, upstream: String, counts: Arc<Counts>) -> io::Error {
    let listening = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
    let listener = match listening {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (upstream, counts) = (upstream.clone(), Arc::clone(&counts));
                // A connection that breaks is the client's or the server's matter: both see it.
                tokio::spawn(async move { relay(client, &upstream, &counts).await.unwrap_or_default() });
            }
            // Of that one connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return error,
        }
    }
}
