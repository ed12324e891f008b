//! What is said where a bus silently does nothing.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use accelerator_core::testkit::{Arrival, MemoryBus, settle};
use accelerator_core::{BusState, GapCause};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::common::{World, lock, ok, secs};

/// The lines about the bus.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "accelerator::bus"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{field}={value:?} "));
            }
        }
        assert_eq!(*event.metadata().level(), Level::WARN);
        let mut text = Text(String::new());
        event.record(&mut text);
        lock(&self.0).push(text.0);
        self.1.fetch_add(1, SeqCst);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Lines {
    fn of(&self, what: &str) -> usize {
        lock(&self.0).iter().filter(|line| line.contains(what) && line.contains("area=t")).count()
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_hear_itself_says_so_once() {
    for why in ["nothing", "no connection", "no right to publish", "a deaf bus"] {
        let lines = Lines::default();
        let _here = tracing::subscriber::set_default(lines.clone());
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
        assert_eq!(lines.of("does not hear"), 0, "{why}");
        w.clock.advance(secs(2)).await;
        w.clock.advance(secs(60)).await;
        let health = cache.bus_health().expect("a bus");
        assert_eq!(lines.of("does not hear"), usize::from(why != "nothing"), "{why}");
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
    let lines = Lines::default();
    let _here = tracing::subscriber::set_default(lines.clone());
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
    assert_eq!((lines.of("no_answer"), lines.of("overflow")), (1, 1), "{:?}", lock(&lines.0));
    w.clock.advance(secs(60)).await;
    bus.interrupt(GapCause::NoAnswer);
    settle().await;
    assert_eq!((lines.of("no_answer"), lines.1.load(SeqCst)), (2, 3));
    assert_eq!((cache.stats().gaps.no_answer, cache.stats().gaps.overflow), (6, 5));
}
