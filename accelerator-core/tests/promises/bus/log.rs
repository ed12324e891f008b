//! What is said where a bus silently does nothing.

use accelerator_core::testkit::{Arrival, MemoryBus, settle};
use accelerator_core::{BusState, GapCause};

use crate::common::{World, ok, secs};
use crate::log::{Line, Log};

/// How many lines about this bus say `what`.
fn lines(log: &Log, what: &str) -> usize {
    let all = log.lines();
    assert!(all.iter().all(|line| line["level"] == "WARN"), "{all:?}");
    let says = |line: &&Line| line["area"] == "t" && line.values().any(|value| value.contains(what));
    all.iter().filter(says).count()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_hear_itself_says_so_once() {
    for why in ["nothing", "no connection", "no right to publish", "a deaf bus"] {
        let log = Log::of("accelerator::bus");
        let _here = tracing::subscriber::set_default(log.clone());
        let (w, bus) = (World::new(), MemoryBus::new());
        let silent = super::Doored::new(&bus);
        match why {
            "no connection" => bus.cut(GapCause::Disconnected),
            "a deaf bus" => bus.always(Some(Arrival::Never)),
            _ => {}
        }
        let cache = match why {
            "no right to publish" => ok(w.l1().bus(ListenOnly(silent.inner))),
            _ => ok(w.l1().bus(bus.clone())),
        };
        settle().await;
        w.clock.advance(secs(4)).await;
        assert_eq!(lines(&log, "does not hear"), 0, "{why}");
        w.clock.advance(secs(2)).await;
        w.clock.advance(secs(60)).await;
        let health = cache.bus_health().expect("a bus");
        assert_eq!(lines(&log, "does not hear"), usize::from(why != "nothing"), "{why}");
        assert_eq!(health.hears_itself, why == "nothing", "{why}: {health:?}");
        let state = if why == "no connection" { BusState::Suspect } else { BusState::Up };
        assert_eq!((health.state, health.up_for.is_some()), (state, state == BusState::Up), "{why}");
    }
}

/// A server whose user may listen and not publish.
struct ListenOnly(MemoryBus);

#[accelerator_core::async_trait]
impl accelerator_core::InvalidationBus for ListenOnly {
    async fn publish(&self, _: &str, _: accelerator_core::Bytes) -> accelerator_core::StoreResult<()> {
        use accelerator_core::{StoreError, StoreErrorKind};
        Err(StoreError::new(StoreErrorKind::Rejected, "no right to publish"))
    }

    fn listen(&self, topic: &str) -> accelerator_core::BoxStream<'static, accelerator_core::BusEvent> {
        self.0.listen(topic)
    }
}

#[tokio::test(start_paused = true)]
async fn gaps_are_said_by_area_and_cause_once_a_minute() {
    let log = Log::of("accelerator::bus");
    let _here = tracing::subscriber::set_default(log.clone());
    let (w, bus) = (World::new(), MemoryBus::new());
    let cache = ok(w.l1().bus(bus.clone()));
    settle().await;
    for _ in 0..5 {
        bus.interrupt(GapCause::NoAnswer);
        settle().await;
        bus.interrupt(GapCause::Overflow);
        settle().await;
        w.clock.advance(secs(1)).await;
    }
    assert_eq!((lines(&log, "no_answer"), lines(&log, "overflow")), (1, 1), "{:?}", log.lines());
    w.clock.advance(secs(60)).await;
    bus.interrupt(GapCause::NoAnswer);
    settle().await;
    assert_eq!((lines(&log, "no_answer"), log.lines().len()), (2, 3));
    assert_eq!((cache.stats().gaps.no_answer, cache.stats().gaps.overflow), (6, 5));
}
