//! The bus as a cache uses it: what this node writes is told to the others, and what they write is taken out of its L1.
//!
//! `write` and `remote` announce what has changed (`publish`), the task of `listen` hears of what others announce and hands
//! it to `apply`. The room calls `local` for the fence and the clock, and knows of no L2 but what a `clear` marks there.
//!
//! ```text
//! suspect   entries that are stored live `suspect_ttl` at most
//!    │ Listening: generation + 1, then full lives
//!    ▼
//!   up      a message purges its keys under the fence; a number that skips one: generation + 1
//!    │ a gap of the bus: short lives, then generation + 1
//!    └────► suspect
//! ```
//! A hit looks at nothing but the generation, as it does without a bus.

pub(crate) mod announce;
pub(crate) mod apply;
pub(crate) mod health;
pub(crate) mod listen;
pub(crate) mod message;
pub(crate) mod origins;
pub(crate) mod outbox;
pub(crate) mod pending;
pub(crate) mod publish;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::cache::BusHealth;
use crate::error::StoreResult;
use crate::level::bounds::{Key, Value};
use crate::level::bus::health::Health;
use crate::level::bus::message::Room;
use crate::level::bus::outbox::Outbox;
use crate::level::local::Local;
use crate::level::stats::bus_figures::BusFigures;
use crate::level::time::background::Background;
use crate::level::wire::cleared::Cleared;
use crate::sync::{Mutex, lock};
use crate::time::millis;
use crate::traits::bus::InvalidationBus;
use crate::traits::l2::L2Store;
use crate::traits::l2::head::{Head, Kind};

/// Told what became of a call's keys.
pub(crate) type Waits = oneshot::Sender<StoreResult<()>>;

/// How keys become text and come back.
pub(crate) struct KeyText<K> {
    pub(crate) encode: fn(&K, &mut String),
    pub(crate) decode: fn(&str) -> Option<K>,
}

/// What a `clear` marks in L2.
pub(crate) struct ClearsL2 {
    pub(crate) store: Arc<dyn L2Store>,
    pub(crate) cleared: Arc<Cleared>,
}

/// What the builder was given.
pub(crate) struct BusParts<K> {
    pub(crate) bus: Arc<dyn InvalidationBus>,
    pub(crate) text: KeyText<K>,
    pub(crate) suspect_ttl: Duration,
    /// The most that keys which are to be told may take in memory.
    pub(crate) most_bytes: usize,
    pub(crate) l2: Option<ClearsL2>,
}

/// One cache at its bus. Dropped with the last handle, it ends the task that listens.
pub(crate) struct Bus<K, V> {
    pub(crate) local: Arc<Local<K, V>>,
    bus: Arc<dyn InvalidationBus>,
    text: KeyText<K>,
    l2: Option<ClearsL2>,
    /// L2 publishes for it, behind a write and in one round trip with it.
    is_of_l2: bool,
    area: Box<str>,
    topic: Box<str>,
    room: Room,
    /// Which cache this is, to itself and to others.
    origin: u64,
    suspect_ttl: u64,
    outbox: Mutex<Outbox<Waits>>,
    /// The task that publishes.
    publishing: Background,
    wakes_publisher: Arc<Notify>,
    health: Mutex<Health>,
    /// The task that listens.
    listening: Background,
    /// Until then nobody need look after it, in milliseconds since `began`.
    tended_until: AtomicU64,
    began: Instant,
    /// `true`: the task that listens is to end. It ends, too, where this is dropped.
    closing: watch::Sender<bool>,
}

impl<K: Key, V: Value> Bus<K, V> {
    /// Suspect until the bus says that it listens.
    pub(crate) fn new(local: Arc<Local<K, V>>, area: &str, parts: BusParts<K>) -> Self {
        local.counters.with_bus();
        let suspect_ttl = millis(parts.suspect_ttl);
        local.policy.bound_l1(suspect_ttl);
        let room = Room::new(parts.bus.limits().max_message_bytes, area);
        let is_of_l2 = parts.l2.as_ref().is_some_and(|l2| l2.store.publishes_for(&*parts.bus));
        Self {
            local,
            bus: parts.bus,
            text: parts.text,
            l2: parts.l2,
            is_of_l2,
            area: area.into(),
            // Versions are told in messages: nodes of two versions have to hear of each other.
            topic: format!("accelerator:{area}").into(),
            room,
            // As random as a nonce: two nodes with one number would take each other's messages for their own.
            origin: Head::random(Kind::Value).nonce,
            suspect_ttl,
            outbox: Mutex::new(Outbox::new(parts.most_bytes)),
            publishing: Background::default(),
            wakes_publisher: Arc::default(),
            health: Mutex::new(Health::default()),
            listening: Background::default(),
            tended_until: AtomicU64::new(0),
            began: Instant::now(),
            closing: watch::Sender::new(false),
        }
    }

    fn figures(&self) -> &BusFigures {
        self.local.counters.with_bus()
    }

    /// What a user is told of it.
    pub(crate) fn health(&self) -> BusHealth {
        let unpublished = self.unpublished();
        lock(&self.health).say(self.figures(), unpublished, Instant::now())
    }
}
