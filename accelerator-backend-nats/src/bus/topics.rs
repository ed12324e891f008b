//! Who listens to what, and what waits for them: what the streams of a bus and the task of its connection share.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::task::Waker;

use accelerator_core::{BusEvent, GapCause};
use bytes::Bytes;

/// Bytes of messages that wait for one listener at most.
const WAITING_BYTES: usize = 4 << 20;

/// The topics that are listened to.
#[derive(Default)]
pub(crate) struct Topics {
    /// By the numbers of their subscriptions.
    topics: HashMap<u64, Topic>,
    subscriptions: HashMap<Bytes, u64>,
    listeners: HashMap<u64, Listener>,
    last_id: u64,
    /// Subjects to subscribe to, or to leave.
    changes: Vec<Change>,
    /// Why nobody hears anything; while a first try is under way, nothing yet.
    down: Option<GapCause>,
}

/// What one subscription is for. Who listens to its subject again after all have gone has another: the answer to an earlier
/// one is not for the next.
struct Topic {
    subject: Bytes,
    phase: Phase,
    listeners: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Wanted,
    Listening,
    Refused,
}

struct Listener {
    topic: u64,
    queue: VecDeque<BusEvent>,
    /// Of the messages in the queue.
    messages: usize,
    bytes: usize,
    /// What it was told last of its state.
    told: Option<BusEvent>,
    waker: Option<Waker>,
}

/// What the server has to be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Subscribe { subject: Bytes, topic: u64 },
    Unsubscribe { topic: u64 },
}

impl Listener {
    fn tell(&mut self, event: BusEvent) -> Option<Waker> {
        if self.told.as_ref() == Some(&event) {
            return None;
        }
        if matches!(event, BusEvent::Gap(_)) {
            self.queue.clear();
            (self.messages, self.bytes) = (0, 0);
        }
        self.told = Some(event.clone());
        self.queue.push_back(event);
        self.waker.take()
    }

    fn hear(&mut self, message: Bytes, most: usize) -> Option<Waker> {
        self.messages += 1;
        self.bytes += message.len();
        if self.messages > most || self.bytes > WAITING_BYTES {
            return self.lose();
        }
        self.queue.push_back(BusEvent::Message(message));
        self.waker.take()
    }

    /// It loses what waits, and goes on listening.
    fn lose(&mut self) -> Option<Waker> {
        self.told = None;
        let waker = self.tell(BusEvent::Gap(GapCause::Overflow));
        self.tell(BusEvent::Listening);
        waker
    }

    fn next(&mut self) -> Option<BusEvent> {
        let event = self.queue.pop_front()?;
        if let BusEvent::Message(message) = &event {
            self.messages -= 1;
            self.bytes -= message.len();
        }
        Some(event)
    }
}

impl Topics {
    /// One more listener; its id.
    pub(crate) fn add(&mut self, subject: &Bytes) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let topic = *self.subscriptions.entry(subject.clone()).or_insert(id);
        if topic == id {
            self.changes.push(Change::Subscribe { subject: subject.clone(), topic });
        }
        let known = self.topics.entry(topic).or_insert_with(|| Topic {
            subject: subject.clone(),
            phase: Phase::Wanted,
            listeners: Vec::new(),
        });
        known.listeners.push(id);
        let first = match known.phase {
            Phase::Listening => Some(BusEvent::Listening),
            Phase::Refused => Some(BusEvent::Gap(GapCause::Refused)),
            Phase::Wanted => self.down.map(BusEvent::Gap),
        };
        let (queue, told) = (first.iter().cloned().collect(), first);
        let listener = Listener { topic, queue, messages: 0, bytes: 0, told, waker: None };
        self.listeners.insert(id, listener);
        id
    }

    /// A listener goes; its waker, to be dropped outside of the lock.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Waker> {
        let listener = self.listeners.remove(&id)?;
        if let Some(topic) = self.topics.get_mut(&listener.topic) {
            topic.listeners.retain(|one| *one != id);
            if topic.listeners.is_empty() {
                self.subscriptions.remove(&topic.subject);
                self.topics.remove(&listener.topic);
                self.changes.push(Change::Unsubscribe { topic: listener.topic });
            }
        }
        listener.waker
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// What waits for a listener, or it waits with this waker. The one that it had is to be dropped outside of the lock.
    pub(crate) fn poll(&mut self, id: u64, waker: &Waker) -> Result<BusEvent, Option<Waker>> {
        let Some(listener) = self.listeners.get_mut(&id) else { return Err(None) };
        match listener.next() {
            Some(event) => Ok(event),
            None => Err(listener.waker.replace(waker.clone())),
        }
    }

    /// What has changed since the server was told last.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        mem::take(&mut self.changes)
    }

    /// There is a new connection: everything is to be subscribed to.
    pub(crate) fn connected(&mut self) {
        self.changes.clear();
        for (&id, topic) in &mut self.topics {
            topic.phase = Phase::Wanted;
            self.changes.push(Change::Subscribe { subject: topic.subject.clone(), topic: id });
        }
    }

    /// There is no connection: nobody hears anything.
    pub(crate) fn disconnected(&mut self, cause: GapCause) -> Vec<Waker> {
        self.down = Some(cause);
        self.topics.values_mut().for_each(|topic| topic.phase = Phase::Wanted);
        let told = self.listeners.values_mut().filter_map(|listener| listener.tell(BusEvent::Gap(cause)));
        told.collect()
    }

    /// The server has taken a subscription.
    pub(crate) fn subscribed(&mut self, topic: u64) -> Vec<Waker> {
        self.down = None;
        self.tell(topic, Phase::Listening, &BusEvent::Listening)
    }

    /// The server has refused one, or taken it back.
    pub(crate) fn refused(&mut self, topic: u64) -> Vec<Waker> {
        self.tell(topic, Phase::Refused, &BusEvent::Gap(GapCause::Refused))
    }

    /// The subscription to this subject.
    pub(crate) fn subscription(&self, subject: &str) -> Option<u64> {
        self.subscriptions.get(subject.as_bytes()).copied()
    }

    fn tell(&mut self, topic: u64, phase: Phase, event: &BusEvent) -> Vec<Waker> {
        let Some(topic) = self.topics.get_mut(&topic) else { return Vec::new() };
        topic.phase = phase;
        let listeners = &mut self.listeners;
        let told = topic.listeners.iter().filter_map(|id| listeners.get_mut(id)?.tell(event.clone()));
        told.collect()
    }

    /// What was refused is to be tried again.
    pub(crate) fn try_refused_again(&mut self) {
        for (&id, topic) in self.topics.iter_mut().filter(|(_, topic)| topic.phase == Phase::Refused) {
            self.changes.push(Change::Subscribe { subject: topic.subject.clone(), topic: id });
        }
    }

    /// A message of a subscription; `None`: one that nobody keeps.
    pub(crate) fn deliver(&mut self, topic: u64, message: Option<&Bytes>, most: usize) -> Vec<Waker> {
        // Before it is told that it listens it may have missed an earlier one.
        let topic = self.topics.get(&topic).filter(|topic| topic.phase == Phase::Listening);
        let Some(topic) = topic else { return Vec::new() };
        let listeners = &mut self.listeners;
        let told = topic.listeners.iter().filter_map(|id| {
            let listener = listeners.get_mut(id)?;
            match message {
                Some(message) => listener.hear(message.clone(), most),
                None => listener.lose(),
            }
        });
        told.collect()
    }
}
