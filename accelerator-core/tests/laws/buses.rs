//! The bus in memory does what its script says, with a runtime and without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use accelerator_core::testkit::{Arrival, Fault, Faulty, MemoryBus, Op, Then, block_on};
use accelerator_core::{BoxStream, BusEvent, BusLimits, Bytes, GapCause, InvalidationBus, StoreErrorKind};
use futures_util::{FutureExt, StreamExt};

const TOPIC: &str = "topic";

async fn publish(bus: &impl InvalidationBus, message: &'static str) {
    bus.publish(TOPIC, message.into()).await.expect("publish");
}

fn message(text: &'static str) -> BusEvent {
    BusEvent::Message(Bytes::from_static(text.as_bytes()))
}

/// All that waits.
fn waiting(heard: &mut BoxStream<'static, BusEvent>) -> Vec<BusEvent> {
    std::iter::from_fn(|| heard.next().now_or_never().flatten()).collect()
}

fn listening(bus: &MemoryBus) -> BoxStream<'static, BusEvent> {
    let mut heard = bus.listen(TOPIC);
    assert_eq!(waiting(&mut heard), [BusEvent::Listening]);
    heard
}

#[test]
fn messages_meet_what_the_script_of_their_node_says() {
    let one = MemoryBus::new();
    let other = one.node();
    let (mut near, mut far) = (listening(&one), listening(&other));
    block_on(async {
        for arrival in [Arrival::Once, Arrival::Never, Arrival::Twice, Arrival::Late] {
            other.push(arrival);
        }
        for text in ["once", "never", "twice", "late", "after"] {
            publish(&one, text).await;
        }
        assert_eq!(waiting(&mut far), ["once", "twice", "twice", "after"].map(message));
        other.release();
        assert_eq!(waiting(&mut far), ["late"].map(message));
        assert_eq!(waiting(&mut near), ["once", "never", "twice", "late", "after"].map(message), "of another node");
        other.always(Some(Arrival::Never));
        publish(&one, "deaf").await;
        other.always(None);
        publish(&other, "not").await;
    });
    assert_eq!(waiting(&mut far), ["not"].map(message));
    assert_eq!(one.published().len(), 7);
    assert_eq!(one.published()[0], (TOPIC.to_owned(), Bytes::from_static(b"once")));
}

#[test]
fn a_node_that_is_cut_off_hears_and_says_nothing() {
    let one = MemoryBus::new();
    let other = one.node();
    let (mut near, mut far) = (listening(&one), listening(&other));
    block_on(async {
        publish(&one, "waits").await;
        other.cut(GapCause::NoAnswer);
        publish(&one, "lost").await;
        let refused = other.publish(TOPIC, "not taken".into()).await.expect_err("cut off");
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    });
    assert_eq!(waiting(&mut far), [BusEvent::Gap(GapCause::NoAnswer)], "what waited is lost too");
    let mut late = other.listen(TOPIC);
    assert_eq!(waiting(&mut late), [BusEvent::Gap(GapCause::NoAnswer)]);
    other.mend();
    block_on(publish(&one, "again"));
    for heard in [&mut far, &mut late] {
        assert_eq!(waiting(heard), [BusEvent::Listening, message("again")]);
    }
    assert_eq!(waiting(&mut near), ["waits", "lost", "again"].map(message));
}

#[test]
fn a_full_queue_loses_all_and_says_so() {
    let bus = MemoryBus::new().with_limits(BusLimits::default().max_waiting(3));
    let mut heard = listening(&bus);
    block_on(async {
        for text in ["a", "b", "c"] {
            publish(&bus, text).await;
        }
        assert_eq!(waiting(&mut heard), ["a", "b", "c"].map(message));
        for text in ["a", "b", "c", "one more", "after"] {
            publish(&bus, text).await;
        }
    });
    assert_eq!(waiting(&mut heard), [BusEvent::Gap(GapCause::Overflow), BusEvent::Listening, message("after")]);
}

#[test]
fn listeners_are_known_from_their_first_poll_to_their_end() {
    let bus = MemoryBus::new();
    let heard = bus.listen(TOPIC);
    assert_eq!(bus.listeners(), 0, "nothing has begun");
    drop(heard);
    let heard = listening(&bus);
    assert_eq!((bus.listeners(), bus.clone().listeners(), bus.node().listeners()), (1, 1, 0));
    drop(heard);
    assert_eq!(bus.listeners(), 0);
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_listener_is_woken_without_a_runtime() {
    let bus = MemoryBus::new();
    let mut heard = listening(&bus);
    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(heard.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    publish(&bus, "news").now_or_never().expect("a publish waits for nothing");
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(heard.poll_next_unpin(&mut Context::from_waker(&waker)), Poll::Ready(Some(message("news"))));
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_publish_does_what_it_says() {
    let bus = Faulty::new(MemoryBus::new());
    let mut heard = listening(bus.inner());
    let unavailable = StoreErrorKind::Unavailable;
    let publish = |text: &'static str| bus.publish(TOPIC, text.into());

    bus.push(Fault::Error(unavailable));
    assert_eq!(publish("a").await.expect_err("a fault").kind(), unavailable);
    bus.push_for(Op::Publish, Fault::Hang);
    assert!(tokio::time::timeout(Duration::from_secs(60), publish("b")).await.is_err());
    assert_eq!(waiting(&mut heard), [], "neither is published");

    bus.push(Fault::LostReply(Then::Error(unavailable)));
    assert_eq!(publish("c").await.expect_err("a fault").kind(), unavailable);
    bus.push(Fault::LostReply(Then::Hang));
    assert!(tokio::time::timeout(Duration::from_secs(60), publish("d")).await.is_err());
    bus.push(Fault::Garbage(Bytes::from_static(b"?")));
    publish("e").await.expect("publish");
    assert_eq!(waiting(&mut heard), ["c", "d", "?"].map(message));

    let start = tokio::time::Instant::now();
    bus.push(Fault::Delay(Duration::from_secs(3)));
    publish("f").await.expect("publish");
    assert!(start.elapsed() >= Duration::from_secs(3));
    bus.push(Fault::at([0], Fault::Error(unavailable)));
    publish("g").await.expect_err("a batch of one");
    bus.push(Fault::at([1], Fault::Error(unavailable)));
    publish("h").await.expect("another position");
    let gate = bus.gate(Op::Publish);
    let mut held = publish("i");
    assert!((&mut held).now_or_never().is_none());
    assert_eq!(waiting(&mut heard), ["f", "h"].map(message));
    gate.open();
    held.await.expect("publish");
    assert_eq!(waiting(&mut heard), ["i"].map(message));
    assert_eq!(bus.calls(Op::Publish), 9);
    assert_eq!(bus.log()[0].keys, [TOPIC]);
}
