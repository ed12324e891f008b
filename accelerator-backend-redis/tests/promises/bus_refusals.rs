//! A server that refuses is no reason to be silent: listeners are told, and the log, once.

use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{BusEvent, GapCause, InvalidationBus, StoreErrorKind};

use crate::bus::{BUS_ACL, bus, gap, listening, message, next, until};
use crate::secrets::Log;
use crate::support::{comes_true, pretend, raw};

fn user(server: &RedisServer, rules: &str) -> String {
    assert_eq!(raw(&server.addr(), &format!("ACL SETUSER app reset on >hunter2 {rules}")), "+OK");
    server.url_as("app", "hunter2")
}

#[tokio::test]
async fn without_the_right_to_listen_listeners_are_told_and_what_is_granted_counts() {
    let Some(server) = RedisServer::start() else { return };
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let url = user(&server, "resetchannels -@all +publish +ping");
    let bus = bus(url).key_prefix("app:").build().expect("a bus");
    let mut heard = bus.listen("t");
    assert_eq!(next(&mut heard).await, gap(GapCause::Refused));
    let mut late = bus.listen("t");
    assert_eq!(next(&mut late).await, gap(GapCause::Refused));
    user(&server, BUS_ACL);
    for heard in [&mut heard, &mut late] {
        until(heard, &BusEvent::Listening).await;
    }
    bus.publish("t", "news".into()).await.expect("publish");
    assert_eq!(next(&mut heard).await, message("news"));
    let said = log.text();
    assert_eq!(said.matches("the bus may not listen at Redis").count(), 1, "{said}");
    assert!(said.contains("+subscribe") && said.contains(&server.addr()) && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_topic_that_is_refused_stops_no_other() {
    let Some(server) = RedisServer::start() else { return };
    let url = user(&server, "resetchannels &bus.0.open -@all +subscribe +unsubscribe +publish +ping");
    let bus = bus(url).build().expect("a bus");
    let mut open = listening(&bus, "open").await;
    let mut shut = bus.listen("shut");
    assert_eq!(next(&mut shut).await, gap(GapCause::Refused));
    bus.publish("open", "news".into()).await.expect("publish");
    assert_eq!(next(&mut open).await, message("news"), "and no gap");
}

#[tokio::test]
async fn without_the_right_to_publish_the_error_names_it_and_the_log_says_it_once() {
    let Some(server) = RedisServer::start() else { return };
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let url = user(&server, "resetchannels &bus.* -@all +subscribe +unsubscribe +ping");
    let bus = bus(url).build().expect("a bus");
    let mut heard = listening(&bus, "t").await;
    for _ in 0..3 {
        let error = bus.publish("t", "news".into()).await.expect_err("no right");
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        assert!(error.to_string().contains("+publish"), "{error}");
    }
    assert_eq!(log.text().matches("Redis takes no messages of the bus").count(), 1, "{}", log.text());
    user(&server, BUS_ACL.replace("app:", "bus.").as_str());
    comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
    until(&mut heard, &message("news")).await;
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_that_is_said_without_it() {
    let Some(server) = RedisServer::start() else { return };
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let bus = bus(server.url_as("app", "hunter2")).build().expect("a bus");
    let mut heard = bus.listen("t");
    assert_eq!(next(&mut heard).await, gap(GapCause::Refused));
    let error = bus.publish("t", "news".into()).await.expect_err("no login");
    user(&server, "resetchannels &bus.* -@all +subscribe +unsubscribe +publish +ping");
    assert_eq!(next(&mut heard).await, BusEvent::Listening);
    let said = format!("{} {bus:?} {error} {error:?}", log.text());
    assert!(said.contains("WRONGPASS") && said.contains(&server.addr()) && !said.contains("hunter2"), "{said}");
    assert_eq!(log.text().matches("the bus hears nothing from Redis").count(), 1, "{}", log.text());
}

#[tokio::test]
async fn what_is_not_a_redis_is_a_refusal() {
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"*2\r\n$4\r\nnews\r\n$0\r\n\r\n", b"+OK\r\n"] {
        let bus = bus(pretend(answer)).build().expect("a bus");
        let mut heard = bus.listen("t");
        assert_eq!(next(&mut heard).await, gap(GapCause::Refused), "{}", String::from_utf8_lossy(answer));
    }
}
