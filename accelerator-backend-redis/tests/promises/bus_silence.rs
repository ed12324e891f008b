//! A bus that does nothing is not silent about it.

use accelerator_core::testkit::server::RedisServer;

use crate::bus::bus;
use crate::silent::{TOPIC, a_stranger_publishes, may_not_listen, may_not_publish, no_server};
use crate::support::raw;

fn user(rules: &str) -> Option<(RedisServer, String)> {
    let rules = format!("resetchannels &bus.* -@all +ping {rules}");
    let server = RedisServer::builder().acl_user("app", "hunter2", &rules).start()?;
    let url = server.url_as("app", "hunter2");
    Some((server, url))
}

#[tokio::test]
async fn a_wrong_url_is_said() {
    let Some(server) = RedisServer::start() else { return };
    server.kill();
    let bus = bus(server.url()).build().expect("a bus");
    no_server(bus, &["hears nothing from Redis", &server.addr(), "no connection"]).await;
}

#[tokio::test]
async fn a_user_who_may_not_publish_is_said() {
    let Some((server, url)) = user("+subscribe +unsubscribe") else { return };
    let bus = bus(url).build().expect("a bus");
    may_not_publish(bus, &["Redis takes no messages", &server.addr(), "+publish"]).await;
}

#[tokio::test]
async fn a_user_who_may_not_listen_is_said() {
    let Some((server, url)) = user("+publish") else { return };
    let bus = bus(url).build().expect("a bus");
    may_not_listen(bus, &["may not listen at Redis", &server.addr(), "+subscribe"]).await;
}

#[tokio::test]
async fn a_topic_that_another_program_uses_is_said() {
    let Some(server) = RedisServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    a_stranger_publishes(bus, |word| {
        let channel = format!("bus.0.{TOPIC}");
        let word = String::from_utf8_lossy(word);
        let command = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n{word}", channel.len(), word.len());
        assert_eq!(raw(&server.addr(), &command), ":1");
    })
    .await;
}
