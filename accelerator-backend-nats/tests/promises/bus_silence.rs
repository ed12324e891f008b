//! A bus that does nothing is not silent about it.

use accelerator_core::testkit::server::NatsServer;

use crate::silent::{TOPIC, a_stranger_publishes, may_not_listen, may_not_publish, no_server};
use crate::support::{bus, publish};

fn user(permissions: &str) -> Option<(NatsServer, String)> {
    let server = NatsServer::builder().user("app", "hunter2", permissions).start()?;
    let url = server.url_as("app", "hunter2");
    Some((server, url))
}

#[tokio::test]
async fn a_wrong_url_is_said() {
    let Some(server) = NatsServer::start() else { return };
    server.kill();
    let bus = bus(server.url()).build().expect("a bus");
    no_server(bus, &["hears nothing from NATS", &server.addr(), "no connection"]).await;
}

#[tokio::test]
async fn a_user_who_may_not_publish_is_said() {
    let Some((server, url)) = user("publish: \"other\", subscribe: \"accelerator.bus.>\"") else { return };
    let bus = bus(url).build().expect("a bus");
    may_not_publish(bus, &["NATS takes no messages", &server.addr(), "right to publish"]).await;
}

#[tokio::test]
async fn a_user_who_may_not_listen_is_said() {
    let Some((server, url)) = user("publish: \"accelerator.bus.>\", subscribe: \"other\"") else { return };
    let bus = bus(url).build().expect("a bus");
    may_not_listen(bus, &["may not listen at NATS", &server.addr(), "right to subscribe"]).await;
}

#[tokio::test]
async fn a_topic_that_another_program_uses_is_said() {
    let Some(server) = NatsServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    let subject = format!("accelerator.bus.{TOPIC}");
    a_stranger_publishes(bus, |word| publish(&server.addr(), &subject, word)).await;
}
