//! Whatever becomes of server and connection, listeners are told of a gap, and then that they listen again.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use accelerator_backend_redis::RedisBusBuilder;
use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{BoxStream, BusEvent, GapCause, InvalidationBus, StoreErrorKind};

use crate::bus::{bus, gap, listening, message, next, until};
use crate::support::{comes_true, raw};

/// A builder that asks for signs of life all the time.
fn watchful(url: String) -> RedisBusBuilder {
    let limit = Duration::from_millis(500);
    bus(url).ping_interval(Duration::from_millis(50)).ping_timeout(limit).connect_timeout(limit)
}

/// The stream hears what is published from now on.
async fn hears(bus: &impl InvalidationBus, heard: &mut BoxStream<'static, BusEvent>) {
    comes_true("a publish", async || bus.publish("t", "again".into()).await.is_ok()).await;
    until(heard, &message("again")).await;
}

#[tokio::test]
async fn a_connection_that_the_server_ends_is_a_gap_of_all_topics() {
    let Some(server) = RedisServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    let (mut heard, mut other) = (listening(&bus, "t").await, listening(&bus, "u").await);
    for _ in 0..3 {
        assert_eq!(raw(&server.addr(), "CLIENT KILL TYPE pubsub"), ":1");
        for heard in [&mut heard, &mut other] {
            assert_eq!(next(heard).await, gap(GapCause::Disconnected));
            assert_eq!(next(heard).await, BusEvent::Listening);
        }
        hears(&bus, &mut heard).await;
    }
}

#[tokio::test]
async fn a_server_that_stands_still_is_a_gap() {
    let Some(server) = RedisServer::start() else { return };
    let bus = watchful(server.url()).build().expect("a bus");
    let mut heard = listening(&bus, "t").await;
    server.stop();
    assert_eq!(next(&mut heard).await, gap(GapCause::NoAnswer));
    server.cont();
    until(&mut heard, &BusEvent::Listening).await;
    hears(&bus, &mut heard).await;
}

#[tokio::test]
async fn a_restart_is_a_gap_and_the_bus_comes_back_by_itself() {
    let Some(server) = RedisServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    let mut heard = listening(&bus, "t").await;
    server.kill();
    assert_eq!(next(&mut heard).await, gap(GapCause::Disconnected));
    let error = bus.publish("t", "lost".into()).await.expect_err("no server");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    server.restart();
    assert_eq!(next(&mut heard).await, BusEvent::Listening);
    hears(&bus, &mut heard).await;
}

#[tokio::test]
async fn a_listener_without_a_server_is_told_so_once() {
    let Some(server) = RedisServer::start() else { return };
    server.kill();
    let bus = bus(server.url()).build().expect("a bus");
    let mut heard = bus.listen("t");
    assert_eq!(next(&mut heard).await, gap(GapCause::Disconnected));
    let mut late = bus.listen("u");
    assert_eq!(next(&mut late).await, gap(GapCause::Disconnected), "it doesn't wait for the next try");
    let more = tokio::time::timeout(Duration::from_millis(300), next(&mut heard)).await;
    assert!(more.is_err(), "nothing has changed: {more:?}");
    server.restart();
    for heard in [&mut heard, &mut late] {
        assert_eq!(next(heard).await, BusEvent::Listening);
    }
}

/// A proxy that can swallow: connections stand, and nothing comes through any more.
struct Swallowing {
    addr: String,
    swallows: Arc<AtomicBool>,
}

impl Swallowing {
    fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address").to_string();
        let swallows = Arc::new(AtomicBool::new(false));
        let swallowing = Arc::clone(&swallows);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(&server) else { continue };
                let clones = (client.try_clone().expect("a handle"), upstream.try_clone().expect("a handle"));
                // A connection that begins in better times is none of those that are swallowed.
                let born_in = swallowing.load(Ordering::SeqCst);
                for (from, to) in [(client, upstream), (clones.1, clones.0)] {
                    let swallowing = Arc::clone(&swallowing);
                    thread::spawn(move || carry(from, to, &swallowing, born_in));
                }
            }
        });
        Self { addr, swallows }
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

#[tokio::test]
async fn a_connection_whose_other_end_has_gone_is_a_gap() {
    let Some(server) = RedisServer::start() else { return };
    let proxy = Swallowing::before(server.addr());
    let bus = watchful(format!("redis://{}", proxy.addr)).build().expect("a bus");
    let mut heard = listening(&bus, "t").await;
    proxy.swallows.store(true, Ordering::SeqCst);
    assert_eq!(next(&mut heard).await, gap(GapCause::NoAnswer));
    assert_eq!(next(&mut heard).await, gap(GapCause::Disconnected), "no new one comes through");
    proxy.swallows.store(false, Ordering::SeqCst);
    assert_eq!(next(&mut heard).await, BusEvent::Listening);
}

#[tokio::test]
async fn a_publish_ends_in_time_where_the_server_stands_still() {
    let Some(server) = RedisServer::start() else { return };
    let bus = bus(server.url()).publish_timeout(Duration::from_millis(50)).build().expect("a bus");
    comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
    server.stop();
    let error = bus.publish("t", "lost".into()).await.expect_err("no answer");
    assert_eq!(error.kind(), StoreErrorKind::Timeout, "{error}");
    server.cont();
    comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
}
