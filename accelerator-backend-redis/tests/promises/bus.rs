//! The laws of a bus, and what the one on Redis promises beside them.

use std::sync::LazyLock;
use std::time::Duration;

use accelerator_backend_redis::{RedisBus, RedisBusBuilder};
use accelerator_core::testkit::server::{RedisServer, redis_url};
use accelerator_core::{
    BoxStream, BusEvent, BusLimits, Bytes, ErrorKind, GapCause, InvalidationBus, StoreResult, async_trait, bus_laws,
};
use futures_util::StreamExt;

use crate::support::{PATIENCE, comes_true, info, key, raw, raw_lines, store};

/// What the guide calls the least that a user must be allowed.
pub(crate) const BUS_ACL: &str = "resetchannels &app:* -@all +subscribe +unsubscribe +publish +ping";

/// A builder whose time limits a busy machine can't exceed.
pub(crate) fn bus(url: impl Into<String>) -> RedisBusBuilder {
    let builder = RedisBus::builder().url(url).connect_timeout(PATIENCE).publish_timeout(PATIENCE);
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

/// A bus as a user of its own, whose connections can be cut off without those of others.
struct OfOneUser {
    bus: RedisBus,
    server: &'static RedisServer,
    user: String,
}

impl OfOneUser {
    fn new() -> Option<Self> {
        static SERVER: LazyLock<Option<RedisServer>> = LazyLock::new(RedisServer::start);
        let (server, user) = (SERVER.as_ref()?, key());
        assert_eq!(raw(&server.addr(), &format!("ACL SETUSER {user} on >word {BUS_ACL}")), "+OK");
        let bus = bus(server.url_as(&user, "word")).key_prefix("app:").build().expect("a bus");
        Some(Self { bus, server, user })
    }

    fn interrupt(&self) {
        assert!(raw(&self.server.addr(), &format!("CLIENT KILL USER {}", self.user)) != ":0", "nobody was there");
    }
}

#[async_trait]
impl InvalidationBus for OfOneUser {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        self.bus.publish(topic, message).await
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        self.bus.listen(topic)
    }

    fn limits(&self) -> BusLimits {
        self.bus.limits()
    }
}

bus_laws!(
    redis_bus,
    {
        let Some(bus) = OfOneUser::new() else { return };
        bus
    },
    interrupt = |bus: &OfOneUser| bus.interrupt()
);

bus_laws!(bus_beside_a_store, {
    let Some(url) = redis_url() else { return };
    store(url).await.bus()
});

fn subscribers(server: &RedisServer) -> usize {
    raw_lines(&server.addr(), "CLIENT LIST TYPE pubsub\r\nQUIT", usize::MAX).matches("id=").count()
}

#[tokio::test]
async fn a_thousand_topics_take_one_connection_to_hear_and_one_to_publish() {
    let Some(server) = RedisServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    assert_eq!(info(&server.addr(), "connected_clients"), "1", "nothing is begun before it is needed");
    let mut streams = Vec::new();
    for n in 0..1000 {
        streams.push(bus.clone().listen(&format!("topic.{n}")));
    }
    for heard in &mut streams {
        until(heard, &BusEvent::Listening).await;
    }
    for (n, heard) in streams.iter_mut().enumerate() {
        bus.clone().publish(&format!("topic.{n}"), "news".into()).await.expect("publish");
        assert_eq!(next(heard).await, message("news"));
    }
    assert_eq!(subscribers(&server), 1);
    assert_eq!(info(&server.addr(), "connected_clients"), "3", "with the one that asks");
    drop(streams);
    let left = async || info(&server.addr(), "connected_clients") == "2";
    comes_true("the end of a connection on which nobody listens", left).await;
}

#[tokio::test]
async fn a_bus_of_a_store_publishes_over_its_connection() {
    let Some(server) = RedisServer::start() else { return };
    let bus = store(server.url()).await.bus();
    let mut heard = listening(&bus, "t").await;
    bus.publish("t", "news".into()).await.expect("publish");
    assert_eq!(next(&mut heard).await, message("news"));
    assert_eq!(info(&server.addr(), "connected_clients"), "3", "with the one that asks");
}

#[tokio::test]
async fn databases_and_prefixes_are_part_of_the_channel() {
    let Some(server) = RedisServer::start() else { return };
    let url = server.url();
    let buses = [
        bus(&url).build(),
        bus(format!("{url}/1")).build(),
        bus(&url).key_prefix("app:").build(),
        bus(format!("{url}/12")).key_prefix("app:").build(),
    ]
    .map(|bus| bus.expect("a bus"));
    let mut heard = Vec::new();
    for bus in &buses {
        heard.push(listening(bus, "t").await);
    }
    for (n, bus) in buses.iter().enumerate() {
        bus.publish("t", n.to_string().into()).await.expect("publish");
        bus.publish("t", "end".into()).await.expect("publish");
        assert_eq!(next(&mut heard[n]).await, BusEvent::Message(n.to_string().into()));
        assert_eq!(next(&mut heard[n]).await, message("end"));
    }
    let channels = raw_lines(&server.addr(), "PUBSUB CHANNELS *\r\nQUIT", usize::MAX);
    for channel in ["bus.0.t", "bus.1.t", "app:bus.0.t", "app:bus.12.t"] {
        assert!(channels.lines().any(|line| line == channel), "{channel}: {channels}");
    }
}

#[tokio::test]
async fn a_listener_that_takes_nothing_has_room_for_so_many_bytes() {
    let Some(url) = redis_url() else { return };
    let (bus, topic) = (bus(url).build().expect("a bus"), key());
    let (mut slow, mut fast) = (listening(&bus, &topic).await, listening(&bus, &topic).await);
    let large = Bytes::from(vec![7; bus.limits().max_message_bytes]);
    for _ in 0..65 {
        bus.publish(&topic, large.clone()).await.expect("publish");
        assert_eq!(next(&mut fast).await, BusEvent::Message(large.clone()));
    }
    assert_eq!(next(&mut slow).await, gap(GapCause::Overflow));
    assert_eq!(next(&mut slow).await, BusEvent::Listening);
}

#[tokio::test]
async fn a_message_of_a_stranger_that_is_too_large_is_a_gap_of_its_topic() {
    let Some(server) = RedisServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    let (mut heard, mut other) = (listening(&bus, "t").await, listening(&bus, "u").await);
    for length in [65_537, 3_000_000] {
        raw(&server.addr(), &format!("*3\r\n$7\r\nPUBLISH\r\n$7\r\nbus.0.t\r\n${length}\r\n{}", "\r".repeat(length)));
        bus.publish("t", "next".into()).await.expect("publish");
        assert_eq!(next(&mut heard).await, gap(GapCause::Overflow));
        assert_eq!(next(&mut heard).await, BusEvent::Listening);
        assert_eq!(next(&mut heard).await, message("next"));
    }
    bus.publish("u", "news".into()).await.expect("publish");
    assert_eq!(next(&mut other).await, message("news"));
}

#[test]
fn a_builder_of_a_bus_says_what_it_refuses_and_what_it_accepts() {
    let (none, much) = (Duration::ZERO, Duration::from_secs(61));
    for (builder, says) in [
        (RedisBus::builder(), "url = (not set): redis://"),
        (bus("http://u:secret@h"), "url = (not shown): bad scheme; accepted is redis://"),
        (bus("redis://h").key_prefix("a b"), "key_prefix = \"a b\": up to 256 bytes"),
        (bus("redis://h").connect_timeout(none), "connect_timeout = 0ns: 10ms to 60s"),
        (bus("redis://h").publish_timeout(none), "publish_timeout = 0ns: 10ms to 60s"),
        (bus("redis://h").ping_interval(much), "ping_interval = 61s: 10ms to 60s"),
        (bus("redis://h").ping_timeout(none), "ping_timeout = 0ns: 10ms to 60s"),
    ] {
        let shown = format!("{builder:?}");
        let error = builder.build().expect_err("a wrong setting");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().starts_with(says), "{error}");
        assert!(!format!("{error:?}{shown}").contains("secret"), "{error:?}");
    }
}
