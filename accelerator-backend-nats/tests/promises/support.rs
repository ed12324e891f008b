//! What the tests share.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use accelerator_backend_nats::{NatsBus, NatsBusBuilder};
use accelerator_core::{BoxStream, BusEvent, Bytes, GapCause, InvalidationBus};
use futures_util::StreamExt;

/// Long enough for a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// What the guide calls the least that a user must be allowed, with the prefix `app`.
pub(crate) const LEAST: &str = "publish: \"app.bus.>\", subscribe: \"app.bus.>\"";

/// A builder whose time limits a busy machine can't exceed.
pub(crate) fn bus(url: impl Into<String>) -> NatsBusBuilder {
    let builder = NatsBus::builder().url(url).connect_timeout(PATIENCE).publish_timeout(PATIENCE);
    builder.ping_timeout(PATIENCE)
}

/// A stream that hears.
pub(crate) async fn listening(bus: &impl InvalidationBus, topic: &str) -> BoxStream<'static, BusEvent> {
    let mut heard = bus.listen(topic);
    until(&mut heard, &BusEvent::Listening).await;
    heard
}

pub(crate) async fn next(heard: &mut BoxStream<'static, BusEvent>) -> BusEvent {
    let next = tokio::time::timeout(PATIENCE, heard.next()).await;
    next.expect("an event").expect("a stream that goes on")
}

/// Goes on to this event, whatever comes before.
pub(crate) async fn until(heard: &mut BoxStream<'static, BusEvent>, event: &BusEvent) {
    while next(heard).await != *event {}
}

pub(crate) fn gap(cause: GapCause) -> BusEvent {
    BusEvent::Gap(cause)
}

pub(crate) fn message(text: &'static str) -> BusEvent {
    BusEvent::Message(Bytes::from_static(text.as_bytes()))
}

pub(crate) fn topic() -> String {
    format!("test.{:016x}", fastrand::u64(..))
}

/// Waits for what is due, by asking.
pub(crate) async fn comes_true(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !ask().await {
        assert!(start.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Says this to a server past the bus, and waits until it has taken it; what it answered.
pub(crate) fn raw(addr: &str, login: &str, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).expect("a connection of one's own");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let connect = format!("CONNECT {{\"verbose\":false,\"headers\":true{login}}}\r\n");
    stream.write_all(&[connect.as_bytes(), said, b"PING\r\n"].concat()).expect("a connection that stands");
    let lines = BufReader::new(stream).lines().map(|line| line.expect("an answer"));
    lines.skip(1).take_while(|line| line != "PONG").collect::<Vec<_>>().join("\n")
}

/// A message of a stranger.
pub(crate) fn publish(addr: &str, subject: &str, payload: &[u8]) {
    let said = [format!("PUB {subject} {}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat();
    assert_eq!(raw(addr, "", &said), "");
}

/// How many clients the server has, with the one that asks.
pub(crate) fn clients(monitor: u16) -> usize {
    let mut stream = TcpStream::connect(("127.0.0.1", monitor)).expect("the port for monitoring");
    stream.write_all(b"GET /varz HTTP/1.0\r\n\r\n").expect("a question");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("an answer");
    let (_, behind) = said.split_once("\"connections\": ").expect("a number of connections");
    behind.split(',').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The URL of what says this to everybody, and again for all that it is told.
pub(crate) fn pretend(says: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("nats://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            while client.write_all(says).is_ok() && client.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
        }
    });
    url
}

/// A proxy that can cut its connections, or swallow: then they stand, and nothing comes through any more.
pub(crate) struct Proxy {
    pub(crate) addr: String,
    pub(crate) swallows: Arc<AtomicBool>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(crate) fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address").to_string();
        let (swallows, clients) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let proxy = Self { addr, swallows: Arc::clone(&swallows), clients: Arc::clone(&clients) };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                let clones = (client.try_clone().expect("a handle"), upstream.try_clone().expect("a handle"));
                clients.lock().expect("no panic").push(client.try_clone().expect("a handle"));
                // A connection that begins in better times is none of those that are swallowed.
                let born_in = swallows.load(Ordering::SeqCst);
                for (from, to) in [(client, upstream), (clones.1, clones.0)] {
                    let swallows = Arc::clone(&swallows);
                    thread::spawn(move || carry(from, to, &swallows, born_in));
                }
            }
        });
        proxy
    }

    pub(crate) fn url(&self, login: &str) -> String {
        format!("nats://{login}{}", self.addr)
    }

    /// Ends all connections. How many there were.
    pub(crate) fn cut(&self) -> usize {
        let cut = std::mem::take(&mut *self.clients.lock().expect("no panic"));
        cut.iter().filter(|client| client.shutdown(Shutdown::Both).is_ok()).count()
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, swallows: &AtomicBool, born_in: bool) {
    let (mut buffer, mut lost) = ([0; 4096], born_in);
    while let Ok(1..) = from.read(&mut buffer).map(|length| {
        lost |= swallows.load(Ordering::SeqCst);
        if !lost && to.write_all(&buffer[..length]).is_err() { 0 } else { length }
    }) {}
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
