//! The laws of a bus, and what the one on NATS promises beside them.

use std::sync::LazyLock;
use std::time::Duration;

use accelerator_backend_nats::NatsBus;
use accelerator_core::testkit::server::{NatsServer, nats_url};
use accelerator_core::{
    BoxStream, BusEvent, BusLimits, Bytes, ErrorKind, GapCause, InvalidationBus, StoreErrorKind, StoreResult,
    async_trait, bus_laws,
};

use crate::support::{
    LEAST, Proxy, bus, clients, comes_true, gap, listening, message, next, publish, raw, topic, until,
};

/// A bus as a user with the least of rights, whose connections can be cut off.
struct Interrupted {
    bus: NatsBus,
    proxy: Proxy,
}

impl Interrupted {
    fn new() -> Option<Self> {
        static SERVER: LazyLock<Option<NatsServer>> =
            LazyLock::new(|| NatsServer::builder().user("app", "word", LEAST).start());
        let proxy = Proxy::before(SERVER.as_ref()?.addr());
        let bus = bus(proxy.url("app:word@")).subject_prefix("app").build().expect("a bus");
        Some(Self { bus, proxy })
    }

    fn interrupt(&self) {
        assert!(self.proxy.cut() > 0, "nobody was there");
    }
}

#[async_trait]
impl InvalidationBus for Interrupted {
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
    nats_bus,
    {
        let Some(bus) = Interrupted::new() else { return };
        bus
    },
    interrupt = |bus: &Interrupted| bus.interrupt()
);

/// A server that tells how many clients it has, and the port where it does.
fn monitored() -> Option<(NatsServer, u16)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    Some((NatsServer::builder().config(&format!("http: \"127.0.0.1:{port}\"")).start()?, port))
}

#[tokio::test]
async fn a_thousand_topics_take_one_connection_for_all() {
    let Some((server, monitor)) = monitored() else { return };
    comes_true("the end of who asked whether it is ready", async || clients(monitor) == 0).await;
    let bus = bus(server.url()).build().expect("a bus");
    assert_eq!(clients(monitor), 0, "nothing is begun before it is needed");
    let mut streams = Vec::new();
    for n in 0..1000 {
        streams.push(bus.clone().listen(&format!("topic.{n}")));
    }
    for heard in &mut streams {
        until(heard, &BusEvent::Listening).await;
    }
    assert_eq!(clients(monitor), 1);
    for (n, heard) in streams.iter_mut().enumerate() {
        bus.clone().publish(&format!("topic.{n}"), "news".into()).await.expect("publish");
        assert_eq!(next(heard).await, message("news"));
    }
    assert_eq!(clients(monitor), 1);
    drop(streams);
    bus.publish("t", "news".into()).await.expect("publish");
    assert_eq!(clients(monitor), 1, "a handle that publishes keeps it");
    drop(bus);
    comes_true("the end of a connection that nobody needs", async || clients(monitor) == 0).await;
}

#[tokio::test]
async fn a_connection_on_which_nobody_listens_or_publishes_ends() {
    let Some((server, monitor)) = monitored() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    for _ in 0..3 {
        drop(listening(&bus, "t").await);
        comes_true("the end of the connection", async || clients(monitor) == 0).await;
    }
}

#[tokio::test]
async fn prefixes_are_part_of_the_subject() {
    let Some(server) = NatsServer::start() else { return };
    let buses = ["accelerator", "shop", "shop.prod"];
    let buses = buses.map(|prefix| bus(server.url()).subject_prefix(prefix).build().expect("a bus"));
    let mut heard = Vec::new();
    for bus in &buses {
        heard.push(listening(bus, "a.b c").await);
    }
    for (n, bus) in buses.iter().enumerate() {
        bus.publish("a.b c", n.to_string().into()).await.expect("publish");
        bus.publish("a.b c", "end".into()).await.expect("publish");
        assert_eq!(next(&mut heard[n]).await, BusEvent::Message(n.to_string().into()));
        assert_eq!(next(&mut heard[n]).await, message("end"));
    }
    publish(&server.addr(), "shop.prod.bus.a%2Eb%20c", b"news");
    assert_eq!(next(&mut heard[2]).await, message("news"));
}

#[tokio::test]
async fn a_listener_that_takes_nothing_has_room_for_so_many_bytes() {
    let Some(url) = nats_url() else { return };
    let (bus, topic) = (bus(url).build().expect("a bus"), topic());
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
async fn messages_of_strangers_have_no_headers_and_too_large_ones_are_a_gap_of_their_topic() {
    let Some(server) = NatsServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    let (mut heard, mut other) = (listening(&bus, "t").await, listening(&bus, "u").await);
    let with_headers = b"HPUB accelerator.bus.t reply.to 18 22\r\nNATS/1.0\r\nA: b\r\n\r\nnews\r\n";
    assert_eq!(raw(&server.addr(), "", with_headers), "");
    assert_eq!(next(&mut heard).await, message("news"));
    for length in [65_537, 1_000_000] {
        publish(&server.addr(), "accelerator.bus.t", &vec![b'\r'; length]);
        bus.publish("t", "next".into()).await.expect("publish");
        assert_eq!(next(&mut heard).await, gap(GapCause::Overflow));
        assert_eq!(next(&mut heard).await, BusEvent::Listening);
        assert_eq!(next(&mut heard).await, message("next"));
    }
    bus.publish("u", "news".into()).await.expect("publish");
    assert_eq!(next(&mut other).await, message("news"));
}

#[tokio::test]
async fn what_the_server_has_no_room_for_is_an_error_and_ends_nothing() {
    let Some(server) = NatsServer::builder().config("max_payload: 2048").start() else { return };
    let bus_of = |builder: accelerator_backend_nats::NatsBusBuilder| builder.build().expect("a bus");
    let small = bus_of(bus(server.url()));
    let mut heard = listening(&small, "t").await;
    let error = small.publish("t", vec![7; 2049].into()).await.expect_err("too large");
    assert_eq!(error.kind(), StoreErrorKind::TooLarge);
    assert!(error.to_string().contains("2048") && error.to_string().contains("max_message_bytes"), "{error}");
    small.publish("t", vec![7; 2048].into()).await.expect("publish");
    assert_eq!(next(&mut heard).await, BusEvent::Message(vec![7; 2048].into()), "and no gap");
    let fitting = bus_of(bus(server.url()).max_message_bytes(2048));
    assert_eq!(fitting.limits().max_message_bytes, 2048);
    let error = fitting.publish("t", vec![7; 2049].into()).await.expect_err("too large");
    assert_eq!(error.kind(), StoreErrorKind::TooLarge);
}

#[tokio::test]
async fn publishes_at_once_are_all_answered_in_order() {
    let Some(server) = NatsServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    let mut heard = listening(&bus, "t").await;
    // More than is written at once.
    let publishes = (0..1000_u32).map(|n| bus.publish("t", [&n.to_be_bytes()[..], &[0; 2000]].concat().into()));
    let hearing = async {
        for n in 0..1000_u32 {
            let BusEvent::Message(message) = next(&mut heard).await else { unreachable!("a gap before {n}") };
            assert_eq!(message[..4], n.to_be_bytes());
        }
    };
    let (answers, ()) = futures_util::future::join(futures_util::future::join_all(publishes), hearing).await;
    assert!(answers.iter().all(Result::is_ok));
}

#[test]
fn a_builder_says_what_it_refuses_and_what_it_accepts() {
    let (none, much) = (Duration::ZERO, Duration::from_secs(61));
    for (builder, says) in [
        (NatsBus::builder(), "url = (not set): nats://"),
        (bus("http://u:secret@h"), "url = (not shown): bad scheme; accepted is nats://"),
        (bus("nats://h").subject_prefix("a b"), "subject_prefix = \"a b\": up to 256 bytes"),
        (bus("nats://h").subject_prefix("a.>"), "subject_prefix = \"a.>\": up to 256 bytes"),
        (bus("nats://h").subject_prefix("a".repeat(257)), "subject_prefix = "),
        (bus("nats://h").connect_timeout(none), "connect_timeout = 0ns: 10ms to 60s"),
        (bus("nats://h").publish_timeout(none), "publish_timeout = 0ns: 10ms to 60s"),
        (bus("nats://h").ping_interval(much), "ping_interval = 61s: 10ms to 60s"),
        (bus("nats://h").ping_timeout(none), "ping_timeout = 0ns: 10ms to 60s"),
        (bus("nats://h").max_message_bytes(1023), "max_message_bytes = 1023: 1024 to 1048576 bytes"),
    ] {
        let shown = format!("{builder:?}");
        let error = builder.build().expect_err("a wrong setting");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().starts_with(says), "{error}");
        assert!(!format!("{error:?}{shown}").contains("secret"), "{error:?}");
    }
}
