//! Buses with one defect each, and the laws that name it.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use accelerator_core::testkit::MemoryBus;
use accelerator_core::testkit::laws::{Outage, bus::failures};
use accelerator_core::{
    BoxStream, BusEvent, BusLimits, Bytes, GapCause, InvalidationBus, StoreError, StoreErrorKind, StoreResult,
    async_trait,
};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::Semaphore;

/// What may be wrong with a bus.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    Sound,
    FirstListenerTakesAll,
    NewestFirst,
    ListensLater,
    KeepsTheLastMessage,
    IgnoresCase,
    CutsTopics,
    ReadsStars,
    TrimsTopics,
    CutsLargeMessages,
    CutsTooLargeMessages,
    RefusesTooLargeAsWrong,
    TakesMessagesForText,
    SkipsNothing,
    WantsListeners,
    NeverFull,
    LosesInSilence,
    OneEndEndsTheTopic,
    ListensOncePerTopic,
    DroppedPublishKeepsItsPlace,
    CutInSilence,
    CutForEver,
    EndsWhereItIsCut,
    DeafAfterTheCut,
}

use Defect::*;

struct Broken {
    defect: Defect,
    inner: MemoryBus,
    shared: Arc<Mutex<Shared>>,
    place: Semaphore,
}

#[derive(Default)]
struct Shared {
    listeners: HashSet<String>,
    last: HashMap<String, Bytes>,
    ends: HashMap<String, usize>,
}

impl Broken {
    fn new(defect: Defect) -> Self {
        let mut inner = MemoryBus::new();
        if defect == NeverFull {
            inner = inner.with_limits(BusLimits::default().max_waiting(usize::MAX));
        }
        if matches!(defect, CutsLargeMessages | CutsTooLargeMessages) {
            inner = inner.with_limits(BusLimits::default().max_message_bytes(1 << 20));
        }
        Self { defect, inner, shared: Arc::default(), place: Semaphore::new(1) }
    }

    fn topic(&self, topic: &str) -> String {
        match self.defect {
            IgnoresCase => topic.to_lowercase(),
            CutsTopics => topic.chars().take(255).collect(),
            ReadsStars => topic.replace('*', "a"),
            TrimsTopics => topic.trim().to_owned(),
            _ => topic.to_owned(),
        }
    }
}

#[async_trait]
impl InvalidationBus for Broken {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        let topic = self.topic(topic);
        let most = self.limits().max_message_bytes;
        let message = match self.defect {
            CutsLargeMessages => message.slice(..message.len().min(most - 1)),
            CutsTooLargeMessages => message.slice(..message.len().min(most)),
            TakesMessagesForText => String::from_utf8_lossy(&message).into_owned().into(),
            SkipsNothing if message.is_empty() => return Ok(()),
            RefusesTooLargeAsWrong if message.len() > most => {
                return Err(StoreError::new(StoreErrorKind::Protocol, "too large"));
            }
            WantsListeners if self.inner.listeners() == 0 => {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "nobody is there"));
            }
            _ => message,
        };
        if self.defect == DroppedPublishKeepsItsPlace {
            self.place.acquire().await.expect("an open semaphore").forget();
            tokio::task::yield_now().await;
            self.place.add_permits(1);
        }
        self.shared.lock().expect("no panic").last.insert(topic.clone(), message.clone());
        self.inner.publish(&topic, message).await
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        let topic = self.topic(topic);
        let mut shared = self.shared.lock().expect("no panic");
        let first = shared.listeners.insert(topic.clone());
        let inner = self.inner.listen(&topic);
        let message = |event: &BusEvent| matches!(event, BusEvent::Message(_));
        let gap = |event: &BusEvent| matches!(event, BusEvent::Gap(_));
        let deaf = move |deaf: bool| {
            move |event: &BusEvent| std::future::ready(!deaf || !matches!(event, BusEvent::Message(_)))
        };
        match self.defect {
            FirstListenerTakesAll => inner.filter(deaf(!first)).boxed(),
            ListensOncePerTopic => inner.filter(deaf(!first)).boxed(),
            NewestFirst => NewestFirstOf(inner, Vec::new()).boxed(),
            ListensLater => futures_util::stream::iter([BusEvent::Listening]).chain(inner.skip(1)).boxed(),
            KeepsTheLastMessage => {
                let last = shared.last.get(&topic).cloned().map(BusEvent::Message);
                futures_util::stream::iter(last).chain(inner).boxed()
            }
            LosesInSilence | CutInSilence => {
                let only = self.defect == LosesInSilence;
                let mut hidden = false;
                let told = move |event: BusEvent| {
                    let hide = match event {
                        BusEvent::Gap(cause) => (cause == GapCause::Overflow) == only,
                        BusEvent::Listening => hidden,
                        _ => false,
                    };
                    hidden = hide && gap(&event);
                    std::future::ready((!hide).then_some(event))
                };
                inner.filter_map(told).boxed()
            }
            OneEndEndsTheTopic => {
                let seen = shared.ends.get(&topic).copied().unwrap_or_default();
                let (of, named) = (Arc::clone(&self.shared), topic.clone());
                let alive = move |event: &BusEvent| {
                    let now = of.lock().expect("no panic").ends.get(&named).copied().unwrap_or_default();
                    std::future::ready(now == seen || !message(event))
                };
                Ending(inner.filter(alive).boxed(), Arc::clone(&self.shared), topic).boxed()
            }
            CutForEver => {
                let mut cut = false;
                let held = move |event: BusEvent| {
                    let before = cut;
                    cut |= event == BusEvent::Gap(GapCause::Disconnected);
                    std::future::ready((!before).then_some(event))
                };
                inner.filter_map(held).boxed()
            }
            EndsWhereItIsCut => {
                let mut cut = false;
                let open = move |event: &BusEvent| {
                    let before = cut;
                    cut |= *event == BusEvent::Gap(GapCause::Disconnected);
                    std::future::ready(!before)
                };
                inner.take_while(open).boxed()
            }
            DeafAfterTheCut => {
                let mut cut = false;
                let heard = move |event: &BusEvent| {
                    cut |= *event == BusEvent::Gap(GapCause::Disconnected);
                    std::future::ready(!cut || !message(event))
                };
                inner.filter(heard).boxed()
            }
            _ => inner,
        }
    }

    fn limits(&self) -> BusLimits {
        BusLimits::default()
    }
}

/// Of what waits, the newest comes first.
struct NewestFirstOf(BoxStream<'static, BusEvent>, Vec<BusEvent>);

impl Stream for NewestFirstOf {
    type Item = BusEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BusEvent>> {
        while let Some(event) = self.0.next().now_or_never() {
            self.1.extend(event);
        }
        match self.1.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.0.poll_next_unpin(cx),
        }
    }
}

/// Notes its end.
struct Ending(BoxStream<'static, BusEvent>, Arc<Mutex<Shared>>, String);

impl Stream for Ending {
    type Item = BusEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BusEvent>> {
        self.0.poll_next_unpin(cx)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        *self.1.lock().expect("no panic").ends.entry(self.2.clone()).or_default() += 1;
    }
}

/// The laws that a bus with this defect breaks.
fn caught(defect: Defect) -> Vec<&'static str> {
    failures(|| {
        let bus = Broken::new(defect);
        let wire = bus.inner.clone();
        (bus, Outage::by(move || wire.interrupt(GapCause::Disconnected)))
    })
}

#[test]
fn each_defect_of_a_bus_is_named_by_the_laws_it_breaks() {
    let cut = ["a_listener_that_is_cut_off_is_told_of_a_gap", "a_listener_that_was_cut_off_listens_again"];
    let expected: &[(Defect, &[&str])] = &[
        (Sound, &[]),
        (IgnoresCase, &["topics_are_kept_apart"]),
        (CutsTopics, &["topics_are_kept_apart"]),
        (ReadsStars, &["topics_are_kept_apart"]),
        (TrimsTopics, &["topics_are_kept_apart"]),
        (
            CutsLargeMessages,
            &["messages_of_the_largest_size_arrive", "messages_beyond_the_limit_are_refused_or_arrive_whole"],
        ),
        (CutsTooLargeMessages, &["messages_beyond_the_limit_are_refused_or_arrive_whole"]),
        (RefusesTooLargeAsWrong, &["messages_beyond_the_limit_are_refused_or_arrive_whole"]),
        (SkipsNothing, &["any_bytes_are_a_message"]),
        (NeverFull, &["a_slow_listener_is_told_of_a_gap"]),
        (LosesInSilence, &["a_slow_listener_is_told_of_a_gap"]),
        (OneEndEndsTheTopic, &["a_listener_that_ends_ends_no_other"]),
        (DroppedPublishKeepsItsPlace, &["a_dropped_publish_leaves_the_bus_usable"]),
        (CutInSilence, &cut),
        (CutForEver, &cut),
        (EndsWhereItIsCut, &cut),
        (DeafAfterTheCut, &["a_listener_that_was_cut_off_listens_again"]),
    ];
    for (defect, laws) in expected {
        assert_eq!(caught(*defect), *laws, "{defect:?}");
    }
    // These break much of what a bus is for; the law that names the defect is among those that fail.
    let expected = [
        (FirstListenerTakesAll, "every_listener_gets_every_message"),
        (NewestFirst, "messages_of_a_publisher_arrive_in_order"),
        (ListensLater, "listening_comes_before_the_first_message"),
        (KeepsTheLastMessage, "listening_comes_before_the_first_message"),
        (TakesMessagesForText, "any_bytes_are_a_message"),
        (WantsListeners, "a_message_that_nobody_waits_for_is_no_error"),
        (ListensOncePerTopic, "a_topic_may_be_listened_to_again"),
    ];
    for (defect, law) in expected {
        let caught = caught(defect);
        assert!(caught.contains(&law), "{defect:?}: {caught:?}");
    }
}
