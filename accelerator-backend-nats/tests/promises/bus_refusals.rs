//! A server that refuses is no reason to be silent: listeners are told, and the log, once.

use accelerator_core::testkit::server::{NatsServer, NatsServerBuilder};
use accelerator_core::{BusEvent, GapCause, InvalidationBus, StoreErrorKind};
use futures_util::{FutureExt, StreamExt};

use crate::secrets::Log;
use crate::support::{LEAST, bus, comes_true, gap, listening, message, next, pretend, until};

fn allowing(permissions: &str) -> NatsServerBuilder {
    NatsServer::builder().user("app", "hunter2", permissions)
}

fn url(server: &NatsServer) -> String {
    server.url_as("app", "hunter2")
}

#[tokio::test]
async fn without_the_right_to_listen_listeners_are_told_and_what_is_granted_counts() {
    let Some(server) = allowing("publish: \">\", subscribe: \"other\"").start() else { return };
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let bus = bus(url(&server)).subject_prefix("app").build().expect("a bus");
    let mut heard = bus.listen("t");
    assert_eq!(next(&mut heard).await, gap(GapCause::Refused));
    let mut late = bus.listen("t");
    assert_eq!(next(&mut late).await, gap(GapCause::Refused));
    server.reload(allowing(LEAST));
    for heard in [&mut heard, &mut late] {
        until(heard, &BusEvent::Listening).await;
    }
    comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
    until(&mut heard, &message("news")).await;
    let said = log.text();
    assert_eq!(said.matches("the bus may not listen at NATS").count(), 1, "{said}");
    assert!(said.contains("right to subscribe") && said.contains("\"app.bus.t\""), "{said}");
    assert!(said.contains(&server.addr()) && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_right_that_is_taken_back_is_a_gap_of_its_topic() {
    let Some(server) = allowing(LEAST).start() else { return };
    let bus = bus(url(&server)).subject_prefix("app").build().expect("a bus");
    let (mut shut, mut open) = (listening(&bus, "shut").await, listening(&bus, "open").await);
    server.reload(allowing("publish: \"app.bus.>\", subscribe: \"app.bus.open\""));
    until(&mut shut, &gap(GapCause::Refused)).await;
    comes_true("a publish", async || bus.publish("open", "news".into()).await.is_ok()).await;
    until(&mut open, &message("news")).await;
}

/// Each refusal has its topic, however many there are at once.
#[tokio::test]
async fn a_topic_that_is_refused_stops_no_other_and_none_is_taken_for_one() {
    for open in ["open-a", "open-b"] {
        let server = allowing(&format!("publish: \">\", subscribe: \"app.bus.{open}\"")).start();
        let Some(server) = server else { return };
        let bus = bus(url(&server)).subject_prefix("app").build().expect("a bus");
        let mut shut: Vec<_> = (0..500).map(|n| bus.listen(&format!("shut-{n}"))).collect();
        let mut heard = bus.listen(open);
        shut.extend((500..1000).map(|n| bus.listen(&format!("shut-{n}"))));
        until(&mut heard, &BusEvent::Listening).await;
        for shut in &mut shut {
            assert_eq!(next(shut).await, gap(GapCause::Refused));
        }
        assert!(shut.iter_mut().all(|shut| shut.next().now_or_never().is_none()), "and nothing else");
        bus.publish(open, "news".into()).await.expect("publish");
        assert_eq!(next(&mut heard).await, message("news"), "and no gap");
    }
}

/// The server's words name no subject here.
#[tokio::test]
async fn a_topic_beyond_what_the_server_takes_is_refused_alone() {
    let Some(server) = NatsServer::builder().config("max_subscriptions: 2").start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    let (mut a, mut b) = (listening(&bus, "a").await, listening(&bus, "b").await);
    let mut c = bus.listen("c");
    assert_eq!(next(&mut c).await, gap(GapCause::Refused));
    for (topic, heard) in [("a", &mut a), ("b", &mut b)] {
        bus.publish(topic, "news".into()).await.expect("publish");
        assert_eq!(next(heard).await, message("news"), "and no gap");
    }
    drop(a);
    until(&mut c, &BusEvent::Listening).await;
}

#[tokio::test]
async fn without_the_right_to_publish_the_error_names_it_and_the_log_says_it_once() {
    let Some(server) = allowing("publish: \"app.bus.open\", subscribe: \">\"").start() else { return };
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let bus = bus(url(&server)).subject_prefix("app").build().expect("a bus");
    let (mut heard, mut open) = (listening(&bus, "t").await, listening(&bus, "open").await);
    for _ in 0..1000 {
        // Together with one that is taken.
        let both = futures_util::future::join(bus.publish("t", "lost".into()), bus.publish("open", "news".into()));
        let (refused, taken) = both.await;
        let error = refused.expect_err("no right");
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        assert!(error.to_string().contains("right to publish"), "{error}");
        taken.expect("publish");
        assert_eq!(next(&mut open).await, message("news"));
    }
    assert_eq!(log.text().matches("NATS takes no messages of the bus").count(), 1, "{}", log.text());
    server.reload(allowing(LEAST));
    comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
    until(&mut heard, &message("news")).await;
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_that_is_said_without_it() {
    let Some(server) = NatsServer::builder().user("app", "other", LEAST).start() else { return };
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let bus = bus(url(&server)).subject_prefix("app").build().expect("a bus");
    let mut heard = bus.listen("t");
    assert_eq!(next(&mut heard).await, gap(GapCause::Refused));
    let error = bus.publish("t", "news".into()).await.expect_err("no login");
    assert_eq!(error.kind(), StoreErrorKind::Rejected);
    server.reload(allowing(LEAST));
    assert_eq!(next(&mut heard).await, BusEvent::Listening);
    let said = format!("{} {bus:?} {error} {error:?}", log.text());
    assert!(said.contains("Authorization Violation") && said.contains("credentials in the URL"), "{said}");
    assert!(said.contains(&server.addr()) && !said.contains("hunter2"), "{said}");
    assert_eq!(log.text().matches("the bus hears nothing from NATS").count(), 1, "{}", log.text());
}

#[tokio::test]
async fn a_login_is_a_user_or_a_token() {
    let Some(server) = NatsServer::builder().config("authorization { token: \"s3:cret\" }").start() else { return };
    let url = |login: &str| server.url().replace("//", &format!("//{login}@"));
    for (login, is_right) in [("s3%3Acret", true), ("s3", false), ("s3:cret", false)] {
        let bus = bus(url(login)).build().expect("a bus");
        let event = next(&mut bus.listen("t")).await;
        assert_eq!(event == BusEvent::Listening, is_right, "{login}: {event:?}");
    }
}

#[tokio::test]
async fn what_is_not_a_nats_is_a_refusal() {
    for says in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"220 mail.example ESMTP\r\n",
        b"PONG\r\n",
        b"INFO {\"max_payload\":1024}\r\nMSG a 1 0\r\n\r\n",
        b"INFO {\"max_payload\":1024}\r\nPONG\r\nPONG\r\n",
        b"INFO {}\r\n",
    ] {
        let bus = bus(pretend(says)).build().expect("a bus");
        let mut heard = bus.listen("t");
        assert_eq!(next(&mut heard).await, gap(GapCause::Refused), "{}", String::from_utf8_lossy(says));
    }
}
