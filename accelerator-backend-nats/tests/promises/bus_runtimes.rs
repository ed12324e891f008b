//! A bus may stand in a `static` and outlive runtimes.

use std::time::Duration;

use accelerator_core::testkit::server::NatsServer;
use accelerator_core::{BusEvent, GapCause, InvalidationBus, StoreErrorKind};
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::{Builder, Runtime};

use crate::support::{bus, comes_true, gap, listening, message, next, until};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_runtime_may_end_and_the_next_that_polls_takes_over() {
    let Some(server) = NatsServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus, without a runtime");
    let mut heard = bus.listen("t");
    for _ in 0..3 {
        let runtime = runtime();
        runtime.block_on(async {
            until(&mut heard, &BusEvent::Listening).await;
            comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
            assert_eq!(next(&mut heard).await, message("news"));
        });
        drop(runtime);
        assert_eq!(heard.next().now_or_never(), Some(Some(gap(GapCause::Disconnected))));
    }
}

#[test]
fn a_runtime_that_is_not_run_any_more_is_left() {
    let Some(server) = NatsServer::start() else { return };
    let (asleep, awake) = (runtime(), runtime());
    let limit = Duration::from_millis(100);
    let bus = bus(server.url()).ping_interval(limit).ping_timeout(limit).build().expect("a bus");
    let mut heard = asleep.block_on(listening(&bus, "t"));
    // From here on nobody runs the runtime that carries the connection, though it lives.
    awake.block_on(async {
        until(&mut heard, &BusEvent::Listening).await;
        comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()).await;
        until(&mut heard, &message("news")).await;
    });
    drop(asleep);
    awake.block_on(async {
        comes_true("a publish", async || bus.publish("t", "more".into()).await.is_ok()).await;
        until(&mut heard, &message("more")).await;
    });
}

#[test]
fn who_only_publishes_leaves_a_runtime_that_is_not_run_any_more() {
    let Some(server) = NatsServer::start() else { return };
    let (asleep, awake) = (runtime(), runtime());
    let limit = Duration::from_millis(100);
    let bus = bus(server.url()).ping_interval(limit).ping_timeout(limit).publish_timeout(limit).build().expect("a bus");
    asleep.block_on(comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()));
    awake.block_on(comes_true("a publish", async || bus.publish("t", "news".into()).await.is_ok()));
    drop(asleep);
}

#[test]
fn without_a_runtime_listeners_are_told_of_a_gap_and_publishing_is_an_error() {
    let Some(server) = NatsServer::start() else { return };
    let bus = bus(server.url()).build().expect("a bus");
    let mut heard = bus.listen("t");
    assert_eq!(heard.next().now_or_never(), Some(Some(gap(GapCause::Disconnected))));
    assert_eq!(heard.next().now_or_never(), None, "once");
    let error = bus.publish("t", "news".into()).now_or_never().expect("an answer").expect_err("no runtime");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("runtime"), "{error}");
    runtime().block_on(async { until(&mut heard, &BusEvent::Listening).await });
}
