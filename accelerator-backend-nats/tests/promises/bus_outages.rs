//! Whatever becomes of server and connection, listeners are told of a gap, and then that they listen again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use accelerator_backend_nats::NatsBusBuilder;
use accelerator_core::testkit::server::NatsServer;
use accelerator_core::{BoxStream, BusEvent, GapCause, InvalidationBus, StoreErrorKind};

use crate::support::{Proxy, bus, comes_true, gap, listening, message, next, until};

/// A builder that asks for signs of life all the time.
fn watchful(url: String) -> NatsBusBuilder {
    let limit = Duration::from_millis(500);
    bus(url).ping_interval(Duration::from_millis(50)).ping_timeout(limit).connect_timeout(limit)
}

/// The stream hears what is published from now on.
async fn hears(bus: &impl InvalidationBus, heard: &mut BoxStream<'static, BusEvent>) {
    comes_true("a publish", async || bus.publish("t", "again".into()).await.is_ok()).await;
    until(heard, &message("again")).await;
}

#[tokio::test]
async fn a_connection_that_ends_is_a_gap_of_all_topics() {
    let Some(server) = NatsServer::start() else { return };
    let proxy = Proxy::before(server.addr());
    let bus = bus(proxy.url("")).build().expect("a bus");
    let (mut heard, mut other) = (listening(&bus, "t").await, listening(&bus, "u").await);
    for _ in 0..3 {
        assert_eq!(proxy.cut(), 1);
        for heard in [&mut heard, &mut other] {
            assert_eq!(next(heard).await, gap(GapCause::Disconnected));
            assert_eq!(next(heard).await, BusEvent::Listening);
        }
        hears(&bus, &mut heard).await;
    }
}

#[tokio::test]
async fn a_server_that_stands_still_is_a_gap() {
    let Some(server) = NatsServer::start() else { return };
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
    let Some(server) = NatsServer::start() else { return };
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
    let Some(server) = NatsServer::start() else { return };
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

#[tokio::test]
async fn a_connection_whose_other_end_has_gone_is_a_gap() {
    let Some(server) = NatsServer::start() else { return };
    let proxy = Proxy::before(server.addr());
    let bus = watchful(proxy.url("")).build().expect("a bus");
    let mut heard = listening(&bus, "t").await;
    proxy.swallows.store(true, Ordering::SeqCst);
    assert_eq!(next(&mut heard).await, gap(GapCause::NoAnswer));
    assert_eq!(next(&mut heard).await, gap(GapCause::Disconnected), "no new one comes through");
    proxy.swallows.store(false, Ordering::SeqCst);
    assert_eq!(next(&mut heard).await, BusEvent::Listening);
}

#[tokio::test]
async fn a_publish_ends_in_time_where_the_server_stands_still() {
    let Some(server) = NatsServer::start() else { return };
    let bus = bus(server.url()).publish_timeout(Duration::from_millis(50)).build().expect("a bus");
    comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
    server.stop();
    let error = bus.publish("t", "lost".into()).await.expect_err("no answer");
    assert_eq!(error.kind(), StoreErrorKind::Timeout, "{error}");
    server.cont();
    comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
}
