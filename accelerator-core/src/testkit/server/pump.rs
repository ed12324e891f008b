//! One connection through the counting proxy: two pumps, so that neither side can block the other.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep_until};

use super::super::lock;

/// So many silences an answer waits at most: a client that never is silent must get it too.
const LONGEST: u32 = 20;
const BUFFER: usize = 64 << 10;

/// What a proxy counts, and the silence that ends a question.
pub(super) struct Counts {
    pub(super) quiet: Duration,
    pub(super) round_trips: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Bytes per second of each direction of a connection; zero: as fast as they come.
    pub(super) rate: AtomicU64,
}

/// How much later than its time a slow line may carry something, and make up for it.
const CATCH_UP: Duration = Duration::from_millis(20);

impl Counts {
    /// Waits until a line that was busy until `busy` has carried `n` more bytes.
    async fn carry(&self, busy: &mut Instant, n: usize) {
        let rate = self.rate.load(Ordering::SeqCst);
        if rate > 0 {
            let now = Instant::now();
            *busy = (*busy).max(now.checked_sub(CATCH_UP).unwrap_or(now))
                + Duration::from_secs(n as u64) / u32::try_from(rate).unwrap_or(u32::MAX);
            sleep_until(*busy).await;
        }
    }
}

/// When the client spoke last, if the server hasn't answered since.
type Asked = Mutex<Option<Instant>>;

/// Dials the server and carries bytes until both sides have ended, or either breaks.
pub(super) async fn relay(client: TcpStream, upstream: &str, counts: &Counts) -> io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let asked = Asked::default();
    let questions = ask(from_client, to_server, &asked, counts);
    let answers = answer(from_server, to_client, &asked, counts);
    try_join(questions, answers).await.map(|_| ())
}

/// Carries what the client says.
async fn ask(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: &Asked, counts: &Counts) -> io::Result<()> {
    let (mut buffer, mut busy) = (vec![0; BUFFER], Instant::now());
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        // Before it is passed on: the answer must find that there was a question.
        *lock(asked) = Some(Instant::now());
        counts.bytes.fetch_add(n as u64, Ordering::SeqCst);
        counts.carry(&mut busy, n).await;
        to.write_all(&buffer[..n]).await?;
    }
}

/// Carries what the server says; the beginning of an answer only when the client has been silent.
async fn answer(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, asked: &Asked, counts: &Counts) -> io::Result<()> {
    let (mut buffer, mut busy) = (vec![0; BUFFER], Instant::now());
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        if silence(asked, counts.quiet).await {
            counts.round_trips.fetch_add(1, Ordering::SeqCst);
        }
        counts.bytes.fetch_add(n as u64, Ordering::SeqCst);
        counts.carry(&mut busy, n).await;
        to.write_all(&buffer[..n]).await?;
    }
}

/// Waits for the end of the question, if there is one; tells whether there is.
async fn silence(asked: &Asked, quiet: Duration) -> bool {
    let latest = Instant::now() + quiet * LONGEST;
    loop {
        // Looked at and ended under one lock: what is said after it is the next question.
        let until = {
            let mut asked = lock(asked);
            let Some(last) = *asked else { return false };
            let (now, until) = (Instant::now(), last + quiet);
            if now >= until.min(latest) {
                *asked = None;
                return true;
            }
            until.min(latest)
        };
        sleep_until(until).await;
    }
}
