//! Who listens to what, and what waits for them: what the streams of a bus and the task of its connection share.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::task::Waker;

use accelerator_core::{BusEvent, GapCause};
use bytes::Bytes;

/// Bytes of messages that wait for one listener at most.
const WAITING_BYTES: usize = 4 << 20;

/// The topics that are listened to, by the names of their channels.
#[derive(Default)]
pub(crate) struct Topics {
    topics: HashMap<Bytes, Topic>,
    listeners: HashMap<u64, Listener>,
    last_id: u64,
    /// Channels to subscribe to, or to leave.
    changes: Vec<Change>,
    /// Why nobody hears anything; while a first try is under way, nothing yet.
    down: Option<GapCause>,
}

struct Topic {
    /// Of this time that somebody listens to it: the answer to an earlier subscription is not for the next.
    id: u64,
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
    channel: Bytes,
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
    Subscribe { channel: Bytes, topic: u64 },
    Unsubscribe { channel: Bytes },
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
    pub(crate) fn add(&mut self, channel: &Bytes) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let topic = self.topics.entry(channel.clone()).or_insert_with(|| {
            self.changes.push(Change::Subscribe { channel: channel.clone(), topic: id });
            Topic { id, phase: Phase::Wanted, listeners: Vec::new() }
        });
        topic.listeners.push(id);
        let first = match topic.phase {
            Phase::Listening => Some(BusEvent::Listening),
            Phase::Refused => Some(BusEvent::Gap(GapCause::Refused)),
            Phase::Wanted => self.down.map(BusEvent::Gap),
        };
        let (queue, told) = (first.iter().cloned().collect(), first);
        let listener = Listener { channel: channel.clone(), queue, messages: 0, bytes: 0, told, waker: None };
        self.listeners.insert(id, listener);
        id
    }

    /// A listener goes; its waker, to be dropped outside of the lock.
    pub(crate) fn remove(&mut self, id: u64) -> Option<Waker> {
        let listener = self.listeners.remove(&id)?;
        if let Some(topic) = self.topics.get_mut(&listener.channel) {
            topic.listeners.retain(|one| *one != id);
            if topic.listeners.is_empty() {
                self.topics.remove(&listener.channel);
                self.changes.push(Change::Unsubscribe { channel: listener.channel });
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
        for (channel, topic) in &mut self.topics {
            topic.phase = Phase::Wanted;
            self.changes.push(Change::Subscribe { channel: channel.clone(), topic: topic.id });
        }
    }

    /// There is no connection: nobody hears anything.
    pub(crate) fn disconnected(&mut self, cause: GapCause) -> Vec<Waker> {
        self.down = Some(cause);
        self.topics.values_mut().for_each(|topic| topic.phase = Phase::Wanted);
        let told = self.listeners.values_mut().filter_map(|listener| listener.tell(BusEvent::Gap(cause)));
        told.collect()
    }

    /// The server has confirmed a subscription.
    pub(crate) fn subscribed(&mut self, channel: &Bytes, id: u64) -> Vec<Waker> {
        self.down = None;
        self.tell(channel, id, Phase::Listening, &BusEvent::Listening)
    }

    /// The server has refused one.
    pub(crate) fn refused(&mut self, channel: &Bytes, id: u64) -> Vec<Waker> {
        self.tell(channel, id, Phase::Refused, &BusEvent::Gap(GapCause::Refused))
    }

    fn tell(&mut self, channel: &Bytes, id: u64, phase: Phase, event: &BusEvent) -> Vec<Waker> {
        let Some(topic) = self.topics.get_mut(channel).filter(|topic| topic.id == id) else { return Vec::new() };
        topic.phase = phase;
        let listeners = &mut self.listeners;
        let told = topic.listeners.iter().filter_map(|id| listeners.get_mut(id)?.tell(event.clone()));
        told.collect()
    }

    /// What was refused is to be tried again.
    pub(crate) fn try_refused_again(&mut self) {
        for (channel, topic) in self.topics.iter_mut().filter(|(_, topic)| topic.phase == Phase::Refused) {
            self.changes.push(Change::Subscribe { channel: channel.clone(), topic: topic.id });
        }
    }

    /// A message for those who listen to the channel; `None`: one that nobody keeps.
    pub(crate) fn deliver(&mut self, channel: &Bytes, message: Option<&Bytes>, most: usize) -> Vec<Waker> {
        // Before the confirmation it is the message of an earlier subscription, which nobody waits for any more.
        let topic = self.topics.get(channel).filter(|topic| topic.phase == Phase::Listening);
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
