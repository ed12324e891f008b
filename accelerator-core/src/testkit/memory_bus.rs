//! A bus between the nodes of a test, without a server, a task or a clock.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream};

use super::lock;
use crate::error::{StoreError, StoreErrorKind, StoreResult};
use crate::traits::bus::{BusEvent, BusLimits, GapCause, InvalidationBus};
use crate::wake::wake_all;

/// An [`InvalidationBus`] between caches of one process. Each cache that is to be a node of its own gets a handle by
/// [`node`](Self::node); clones are the same node.
///
/// It uses neither tasks nor time: a message is in the queues of its listeners when `publish` returns. What goes wrong on
/// the way to a node is told by [`cut`](Self::cut) and [`push`](Self::push), what goes wrong with a publish by a
/// [`Faulty`](super::Faulty) around it.
///
/// ```
/// use accelerator_core::testkit::{MemoryBus, block_on};
/// use accelerator_core::{BusEvent, GapCause, InvalidationBus};
/// use futures_util::StreamExt;
/// let one = MemoryBus::new();
/// let other = one.node();
/// block_on(async {
///     let mut heard = other.listen("topic");
///     assert_eq!(heard.next().await, Some(BusEvent::Listening));
///     one.publish("topic", "news".into()).await.unwrap();
///     assert_eq!(heard.next().await, Some(BusEvent::Message("news".into())));
///     other.cut(GapCause::Disconnected);
///     one.publish("topic", "lost".into()).await.unwrap();
///     other.mend();
///     assert_eq!(heard.next().await, Some(BusEvent::Gap(GapCause::Disconnected)));
///     assert_eq!(heard.next().await, Some(BusEvent::Listening));
/// });
/// ```
#[derive(Clone, Debug)]
pub struct MemoryBus {
    hub: Arc<Mutex<Hub>>,
    node: usize,
    limits: BusLimits,
}

/// What becomes of a message on its way to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// It arrives: in a script, this message is spared.
    Once,
    /// It does not arrive, and nobody is told: a defect of the bus.
    Never,
    /// It arrives twice.
    Twice,
    /// It arrives with [`release`](MemoryBus::release), after those that were published later.
    Late,
}

#[derive(Debug, Default)]
struct Hub {
    nodes: Vec<Node>,
    listeners: BTreeMap<u64, Listener>,
    next_listener: u64,
    published: Vec<(String, Bytes)>,
}

#[derive(Debug, Default)]
struct Node {
    cut: Option<GapCause>,
    script: VecDeque<Arrival>,
    always: Option<Arrival>,
    late: Vec<(String, Bytes)>,
}

#[derive(Debug)]
struct Listener {
    node: usize,
    topic: String,
    queue: VecDeque<BusEvent>,
    room: usize,
    waker: Option<Waker>,
}

impl Listener {
    fn hear(&mut self, message: &Bytes) {
        let waiting = self.queue.iter().filter(|event| matches!(event, BusEvent::Message(_))).count();
        if waiting < self.room {
            self.queue.push_back(BusEvent::Message(message.clone()));
        } else {
            self.lose(GapCause::Overflow);
            self.queue.push_back(BusEvent::Listening);
        }
    }

    /// Nothing is left but the gap.
    fn lose(&mut self, cause: GapCause) {
        self.queue.clear();
        self.queue.push_back(BusEvent::Gap(cause));
    }
}

impl Hub {
    /// Puts a message into the queues of a node.
    fn deliver(&mut self, node: usize, topic: &str, message: &Bytes) {
        if self.nodes[node].cut.is_none() {
            self.of(node).filter(|listener| listener.topic == topic).for_each(|listener| listener.hear(message));
        }
    }

    fn of(&mut self, node: usize) -> impl Iterator<Item = &mut Listener> {
        self.listeners.values_mut().filter(move |listener| listener.node == node)
    }

    fn wakers(&mut self) -> Vec<Waker> {
        let told = self.listeners.values_mut().filter(|listener| !listener.queue.is_empty());
        told.filter_map(|listener| listener.waker.take()).collect()
    }
}

impl MemoryBus {
    /// The first node of a new bus.
    #[must_use]
    pub fn new() -> Self {
        let hub = Hub { nodes: vec![Node::default()], ..Hub::default() };
        Self { hub: Arc::new(Mutex::new(hub)), node: 0, limits: BusLimits::default() }
    }

    /// With other limits, of this handle and those that are made from it.
    #[must_use]
    pub fn with_limits(mut self, limits: BusLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Another node at the same bus.
    #[must_use]
    pub fn node(&self) -> Self {
        let mut hub = lock(&self.hub);
        hub.nodes.push(Node::default());
        Self { node: hub.nodes.len() - 1, ..self.clone() }
    }

    /// Cuts this node off: its listeners are told of a gap, its publishes fail, and nothing reaches it, until
    /// [`mend`](Self::mend).
    pub fn cut(&self, cause: GapCause) {
        self.with(|hub, node| {
            hub.nodes[node].cut = Some(cause);
            hub.of(node).for_each(|listener| listener.lose(cause));
        });
    }

    /// Ends a cut: the listeners of this node are told that they listen again.
    pub fn mend(&self) {
        self.with(|hub, node| {
            if hub.nodes[node].cut.take().is_some() {
                hub.of(node).for_each(|listener| listener.queue.push_back(BusEvent::Listening));
            }
        });
    }

    /// A gap of this node alone, as one that is over at once.
    pub fn interrupt(&self, cause: GapCause) {
        self.cut(cause);
        self.mend();
    }

    /// What becomes of the next message to this node; calls queue up. All listeners of the node share it.
    pub fn push(&self, arrival: Arrival) {
        self.with(|hub, node| hub.nodes[node].script.push_back(arrival));
    }

    /// What becomes from now on of messages to this node for which the queue has nothing; `None` ends it.
    pub fn always(&self, arrival: Option<Arrival>) {
        self.with(|hub, node| hub.nodes[node].always = arrival);
    }

    /// Messages to this node that were [late](Arrival::Late) arrive now, in their order. Those that it would have got
    /// while it is cut off are lost.
    pub fn release(&self) {
        self.with(|hub, node| {
            for (topic, message) in std::mem::take(&mut hub.nodes[node].late) {
                hub.deliver(node, &topic, &message);
            }
        });
    }

    /// All that the bus took, of all nodes, with its topic.
    #[must_use]
    pub fn published(&self) -> Vec<(String, Bytes)> {
        lock(&self.hub).published.clone()
    }

    /// How many streams of this node have been polled, and not dropped.
    #[must_use]
    pub fn listeners(&self) -> usize {
        lock(&self.hub).of(self.node).count()
    }

    fn with<R>(&self, act: impl FnOnce(&mut Hub, usize) -> R) -> R {
        let mut hub = lock(&self.hub);
        let done = act(&mut hub, self.node);
        let wakers = hub.wakers();
        drop(hub);
        wake_all(wakers);
        done
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl InvalidationBus for MemoryBus {
    async fn publish(&self, topic: &str, message: Bytes) -> StoreResult<()> {
        if message.len() > self.limits.max_message_bytes {
            return Err(StoreError::new(StoreErrorKind::TooLarge, "the message is beyond the limit of the bus"));
        }
        self.with(|hub, publisher| {
            if let Some(cause) = hub.nodes[publisher].cut {
                let context = format!("this node is cut off: {}", cause.as_str());
                return Err(StoreError::new(StoreErrorKind::Unavailable, context));
            }
            hub.published.push((topic.to_owned(), message.clone()));
            for node in 0..hub.nodes.len() {
                let to = &mut hub.nodes[node];
                match to.script.pop_front().or(to.always).unwrap_or(Arrival::Once) {
                    Arrival::Once => hub.deliver(node, topic, &message),
                    Arrival::Never => {}
                    Arrival::Twice => {
                        hub.deliver(node, topic, &message);
                        hub.deliver(node, topic, &message);
                    }
                    Arrival::Late => to.late.push((topic.to_owned(), message.clone())),
                }
            }
            Ok(())
        })
    }

    fn listen(&self, topic: &str) -> BoxStream<'static, BusEvent> {
        Box::pin(Listening { bus: self.clone(), topic: topic.to_owned(), id: None })
    }

    fn limits(&self) -> BusLimits {
        self.limits
    }
}

/// A listener's stream. It is known to the bus from its first poll on.
struct Listening {
    bus: MemoryBus,
    topic: String,
    id: Option<u64>,
}

impl Listening {
    fn begin(&self, hub: &mut Hub) -> u64 {
        let first = hub.nodes[self.bus.node].cut.map_or(BusEvent::Listening, BusEvent::Gap);
        let listener = Listener {
            node: self.bus.node,
            topic: self.topic.clone(),
            queue: VecDeque::from([first]),
            room: self.bus.limits.max_waiting,
            waker: None,
        };
        hub.next_listener += 1;
        hub.listeners.insert(hub.next_listener, listener);
        hub.next_listener
    }
}

impl Stream for Listening {
    type Item = BusEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<BusEvent>> {
        let hub = Arc::clone(&self.bus.hub);
        let mut hub = lock(&hub);
        let id = self.id.unwrap_or_else(|| self.begin(&mut hub));
        self.id = Some(id);
        let listener = hub.listeners.get_mut(&id).expect("a listener is removed when its stream is dropped");
        match listener.queue.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => {
                let before = listener.waker.replace(cx.waker().clone());
                drop(hub);
                drop(before);
                Poll::Pending
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let gone = self.id.and_then(|id| lock(&self.bus.hub).listeners.remove(&id));
        drop(gone);
    }
}
