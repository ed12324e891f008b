//! The laws of an [`InvalidationBus`]. Every law takes topics that nobody else has, so that one server can serve them all.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use super::bus_tools::{Heard, fresh_topic, number, publish};
use super::outage::Outage;
use crate::error::StoreErrorKind;
use crate::traits::bus::InvalidationBus;

#[doc(hidden)]
#[macro_export]
macro_rules! __bus_law_list {
    ($then:ident, $($arguments:tt)*) => {
        $crate::$then! { [
            every_listener_gets_every_message,
            messages_of_a_publisher_arrive_in_order,
            listening_comes_before_the_first_message,
            topics_are_kept_apart,
            messages_of_the_largest_size_arrive,
            messages_beyond_the_limit_are_refused_or_arrive_whole,
            any_bytes_are_a_message,
            a_message_that_nobody_waits_for_is_no_error,
            a_slow_listener_is_told_of_a_gap,
            a_listener_that_ends_ends_no_other,
            a_topic_may_be_listened_to_again,
            a_dropped_publish_leaves_the_bus_usable,
            a_listener_that_is_cut_off_is_told_of_a_gap,
            a_listener_that_was_cut_off_listens_again,
        ] $($arguments)* }
    };
}

/// The names of the laws that a bus breaks. Where nothing else happens, time passes at once.
pub fn failures<B: InvalidationBus>(make: impl Fn() -> (B, Outage<'static>)) -> Vec<&'static str> {
    super::broken(crate::__bus_law_list! { __bus_law_calls, make })
}

/// What is published while somebody listens reaches all who do.
pub async fn every_listener_gets_every_message<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let topic = fresh_topic();
    let mut listeners = Vec::new();
    for _ in 0..5 {
        listeners.push(Heard::at(bus, &topic).await);
    }
    for n in 0..20 {
        publish(bus, &topic, number(n)).await;
    }
    for heard in &mut listeners {
        for n in 0..20 {
            assert_eq!(heard.message().await, number(n));
        }
    }
}

/// Messages of calls that were awaited one after another arrive so; other publishers may come in between.
pub async fn messages_of_a_publisher_arrive_in_order<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    const EACH: usize = 200;
    let topic = &fresh_topic();
    let mut heard = Heard::at(bus, topic).await;
    let publisher = |first: usize| async move {
        for n in first..first + EACH {
            publish(bus, topic, number(n)).await;
            if n % 8 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let hearing = async {
        let mut next = [0, EACH];
        for _ in 0..2 * EACH {
            let message = heard.message().await;
            let at = next.iter().position(|next| message == number(*next));
            next[at.expect("the next message of one of the publishers")] += 1;
        }
    };
    futures_util::future::join3(publisher(0), publisher(EACH), hearing).await;
}

/// Before `Listening` comes nothing but gaps, whoever publishes, and from it on everything arrives.
pub async fn listening_comes_before_the_first_message<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let topic = &fresh_topic();
    for n in 0..20 {
        let early = async {
            for _ in 0..5 {
                publish(bus, topic, "early".into()).await;
                tokio::task::yield_now().await;
            }
        };
        let (mut heard, ()) = futures_util::future::join(Heard::at(bus, topic), early).await;
        publish(bus, topic, number(n)).await;
        loop {
            let message = heard.message().await;
            if message == number(n) {
                break;
            }
            assert_eq!(message, "early", "of this round or an earlier one");
        }
    }
}

/// A message reaches the listeners of its own topic alone, and every byte of a topic counts.
pub async fn topics_are_kept_apart<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let topic = fresh_topic();
    let tails = [
        "", ".", "..", ".a", ".A", ".*", "*", ".>", ">", "?", "a", "[a]", " a", "\ta", "\0", "\r\n", "\n", ":", "/",
        "%", "%2E", "~", "_", "=", "\\", "\"", "$", "é", "e\u{301}", "💡",
    ];
    let mut topics: Vec<String> = tails.iter().map(|tail| format!("{topic}{tail}")).collect();
    topics.extend(["x", "y"].map(|last| format!("{topic:-<511}{last}")));
    topics.extend(["x", "y"].map(|first| format!("{first}{topic}")));
    let mut listeners = Vec::new();
    for topic in &topics {
        listeners.push(Heard::at(bus, topic).await);
    }
    for (n, topic) in topics.iter().enumerate() {
        publish(bus, topic, number(n)).await;
    }
    for topic in &topics {
        publish(bus, topic, "end".into()).await;
    }
    for (n, heard) in listeners.iter_mut().enumerate() {
        assert_eq!(heard.message().await, number(n), "{:?}", topics[n]);
        assert_eq!(heard.message().await, "end", "{:?}", topics[n]);
    }
}

fn noise(length: usize) -> Bytes {
    (0..length).map(|_| fastrand::u8(..)).collect::<Vec<u8>>().into()
}

/// Messages of the size that the limits name arrive whole, and smaller ones.
pub async fn messages_of_the_largest_size_arrive<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let (topic, most) = (fresh_topic(), bus.limits().max_message_bytes);
    assert!(most >= 1024, "the cache sends messages of 1,024 bytes");
    let mut heard = Heard::at(bus, &topic).await;
    for length in [most, most - 1, most, 1, 1000] {
        let message = noise(length);
        publish(bus, &topic, message.clone()).await;
        assert!(heard.message().await == message, "a message of {length} bytes has changed");
    }
}

/// A message that is too large is refused as such and reaches nobody, or it arrives whole.
pub async fn messages_beyond_the_limit_are_refused_or_arrive_whole<B: InvalidationBus + ?Sized>(
    bus: &B,
    _: &Outage<'_>,
) {
    let topic = fresh_topic();
    let mut heard = Heard::at(bus, &topic).await;
    let large = noise(bus.limits().max_message_bytes + 1);
    match bus.publish(&topic, large.clone()).await {
        Ok(()) => assert!(heard.message().await == large, "a large message has changed"),
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::TooLarge, "{error}"),
    }
    publish(bus, &topic, "next".into()).await;
    assert_eq!(heard.message().await, "next");
}

/// A message is bytes: none, all there are, and what other programs publish.
pub async fn any_bytes_are_a_message<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let topic = fresh_topic();
    let mut heard = Heard::at(bus, &topic).await;
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let messages =
        [&all[..], b"", b"\0", b"\r\n", b"+OK\r\n", b"$3\r\nabc\r\n", b"MSG a 1 1\r\nb\r\n", b"\xFF\xFE", b" "];
    for message in messages {
        publish(bus, &topic, Bytes::copy_from_slice(message)).await;
        assert_eq!(heard.message().await, message);
    }
}

/// Whether anybody listens is not the publisher's matter.
pub async fn a_message_that_nobody_waits_for_is_no_error<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let topic = fresh_topic();
    publish(bus, &topic, "for nobody".into()).await;
    let mut heard = Heard::at(bus, &topic).await;
    publish(bus, &topic, "for one".into()).await;
    while heard.message().await != "for one" {}
}

/// A listener that takes nothing loses what waits and is told, in place of memory that grows; others lose nothing.
pub async fn a_slow_listener_is_told_of_a_gap<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    const AT_ONCE: usize = 32;
    let (topic, most) = (fresh_topic(), bus.limits().max_waiting);
    assert!(most >= 64, "the cache may be so slow");
    let (mut slow, mut fast) = (Heard::at(bus, &topic).await, Heard::at(bus, &topic).await);
    for round in 0..=2 * most / AT_ONCE {
        for n in 0..AT_ONCE {
            publish(bus, &topic, number(round * AT_ONCE + n)).await;
        }
        for n in 0..AT_ONCE {
            assert_eq!(fast.message().await, number(round * AT_ONCE + n), "of a listener that keeps up");
        }
    }
    let before = slow.until_gap().await;
    assert!(before <= most, "{before} messages have waited, and {most} are the most");
    slow.until_listening().await;
    publish(bus, &topic, "last".into()).await;
    slow.until(&"last".into()).await;
}

/// The other listeners of the topic, and those of other topics, go on.
pub async fn a_listener_that_ends_ends_no_other<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let (topic, other) = (fresh_topic(), fresh_topic());
    let mut stays = Heard::at(bus, &topic).await;
    let mut elsewhere = Heard::at(bus, &other).await;
    for n in 0..10 {
        let ends = Heard::at(bus, &topic).await;
        let alone = Heard::at(bus, &fresh_topic()).await;
        drop((ends, alone));
        // What the end of a listener sets off has time to happen.
        tokio::time::sleep(Duration::from_millis(2)).await;
        for (heard, topic) in [(&mut stays, &topic), (&mut elsewhere, &other)] {
            publish(bus, topic, number(n)).await;
            assert_eq!(heard.message().await, number(n));
        }
    }
}

/// When the last listener of a topic has gone, the next one is as the first.
pub async fn a_topic_may_be_listened_to_again<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let topic = fresh_topic();
    for n in 0..20 {
        let mut heard = Heard::at(bus, &topic).await;
        publish(bus, &topic, number(n)).await;
        assert_eq!(heard.message().await, number(n));
    }
}

/// A publish may be given up at any time: those that follow arrive, whole and in order.
pub async fn a_dropped_publish_leaves_the_bus_usable<B: InvalidationBus + ?Sized>(bus: &B, _: &Outage<'_>) {
    let topic = fresh_topic();
    let mut heard = Heard::at(bus, &topic).await;
    for n in 0..20 {
        drop(bus.publish(&topic, noise(1000)).now_or_never());
        publish(bus, &topic, number(n)).await;
        // Those that were given up may come, at any time.
        let mut message = heard.message().await;
        while message.len() == 1000 {
            message = heard.message().await;
        }
        assert_eq!(message, number(n));
    }
}

/// A listener that was cut off may have missed something, and hears of that.
pub async fn a_listener_that_is_cut_off_is_told_of_a_gap<B: InvalidationBus + ?Sized>(bus: &B, outage: &Outage<'_>) {
    let topics = [fresh_topic(), fresh_topic()];
    let mut listeners = [Heard::at(bus, &topics[0]).await, Heard::at(bus, &topics[1]).await];
    for round in 0..2 {
        if !outage.happens() {
            return;
        }
        for (topic, heard) in topics.iter().zip(&mut listeners) {
            assert_eq!(heard.until_gap().await, 0, "round {round}: nothing was published to {topic}");
            heard.until_listening().await;
        }
    }
}

/// A listener that was cut off comes back by itself, and hears everything again.
pub async fn a_listener_that_was_cut_off_listens_again<B: InvalidationBus + ?Sized>(bus: &B, outage: &Outage<'_>) {
    let topic = fresh_topic();
    let mut heard = Heard::at(bus, &topic).await;
    if !outage.happens() {
        return;
    }
    heard.until_gap().await;
    heard.until_listening().await;
    // The connection of publishes may have been cut off as well.
    let mut tries = 0;
    while let Err(error) = bus.publish(&topic, "again".into()).await {
        tries += 1;
        assert!(tries < 1000, "publishing works no more: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    heard.until(&"again".into()).await;
}
