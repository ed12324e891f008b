//! Where everything stands.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::plan::{Faults, Kind, Plan};
use super::promises::Broken;
use crate::level::bus::message::Room;
use crate::level::bus::origins::Origins;
use crate::level::bus::outbox::{Outbox, What};
use crate::level::bus::pending::{News, Next, Pending};
use crate::level::time::policy::RECOVERY_OVERHEAD;

pub(crate) const KEY: &str = "k";
pub(crate) const OTHER_KEY: &str = "x";
pub(crate) const AREA: &str = "a";

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When everything happens.
pub(crate) fn now() -> Instant {
    *BEGAN + Duration::from_secs(31)
}

/// Long enough after that for a node that listens since to have heard of all.
pub(crate) fn later() -> Instant {
    now() + Duration::from_secs(31)
}

pub(crate) fn room() -> Room {
    Room::new(1024, AREA)
}

/// An entry of L1 that a reader may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) version: u8,
    /// It lives `suspect_ttl`.
    pub(crate) short: bool,
}

/// A load or a backfill in progress: what it has read and is going to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Load {
    pub(crate) version: u8,
    pub(crate) from_l2: bool,
    /// L2 takes it.
    pub(crate) lease: bool,
    /// L1 takes it: nothing was purged or forgotten since it began.
    pub(crate) valid: bool,
}

/// Whether a later call has had its turn in L2 before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Overtaken {
    No,
    ByWrite,
    ByGap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Its turn in L2 is to come.
    Called,
    /// The bus is to answer.
    Telling,
}

/// A write in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) kind: Kind,
    /// Of the source, which was changed before. It names the call, too.
    pub(crate) version: u8,
    pub(crate) stage: Stage,
    pub(crate) valid: bool,
    pub(crate) overtaken: Overtaken,
    /// What L2 confirmed: readers of L2 find nothing older than this.
    pub(crate) confirmed: u8,
}

/// What the task that listens is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ear {
    Hears,
    /// In the middle of a gap.
    Cut,
    Deaf,
    /// It has asked the bus to listen again, where that is a step of its own.
    Asks,
    /// In the middle of `Listening`.
    Wakes,
}

/// On its way to a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Item {
    Gap,
    /// What L2 had confirmed when the bus began to listen.
    Listening(u8),
    Message {
        bytes: Bytes,
        number: u64,
        /// With this message and all before it, other nodes were told of this version.
        said: u8,
    },
}

/// A message that the bus has yet to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Publishing {
    pub(crate) again: bool,
    pub(crate) taken: bool,
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) l1: Option<Entry>,
    pub(crate) loads: Vec<Load>,
    pub(crate) writes: Vec<Write>,
    /// How many writes of the plan were called.
    pub(crate) called: u8,
    /// L2 did not confirm this version: it is read past, and the delete is sent again.
    pub(crate) unconfirmed: Option<u8>,
    /// What is stored lives `suspect_ttl`.
    pub(crate) short: bool,
    pub(crate) ear: Ear,
    /// The bus sends it what is published.
    pub(crate) subscribed: bool,
    pub(crate) queue: Vec<Item>,
    pub(crate) origins: Option<Origins>,
    /// The largest number of the other node since it listens; in the hash, it stands for `origins`.
    pub(crate) heard: Option<u64>,
    /// The first number of it since then; for `origins`, too.
    pub(crate) first: Option<u64>,
    /// It listens for so long that it has heard of all.
    pub(crate) is_settled: bool,
    pub(crate) outbox: Outbox<u8>,
    /// It is to say hello; in the hash, as the outbox doesn't show it.
    pub(crate) greets: bool,
    pub(crate) publishing: Option<Publishing>,
    /// The number that it has said last.
    pub(crate) number: u64,
    /// How many numbers it has used again.
    pub(crate) again: u64,

    // What is known of all this from outside.
    /// Readers may not have anything older.
    pub(crate) floor: u8,
    /// What the other node had said when it was heard first, before this one was settled.
    pub(crate) unheard: u8,
    /// The versions that the three parts of the outbox tell.
    pub(crate) fresh: u8,
    pub(crate) sending: u8,
    pub(crate) failed: u8,
    /// Told, heard or not; taken by the bus; to be taken at last.
    pub(crate) said: u8,
    pub(crate) taken: u8,
    pub(crate) owes: u8,
}

#[derive(Clone)]
pub(crate) struct State {
    pub(crate) source: u8,
    pub(crate) l2: Option<u8>,
    /// Readers of L2 find nothing older, nor will they.
    pub(crate) confirmed: u8,
    /// Shared with the states before, as far as they are the same.
    pub(crate) nodes: [Arc<Node>; 2],
    pub(crate) faults: Faults,
    pub(crate) broken: Option<Broken>,
}

impl Node {
    fn new(plan: &Plan, is_first: bool) -> Self {
        let most = if plan.is_full { RECOVERY_OVERHEAD + 1 } else { 1 << 20 };
        let mut outbox = Outbox::new(most);
        if plan.is_full && is_first {
            outbox.failed.add(News::Keys(vec![OTHER_KEY.into()]), room());
        }
        let mut origins = Origins::new(*BEGAN);
        let knows = !plan.first_is_new || is_first;
        if knows {
            origins.hear(u64::from(!is_first), 0, true, *BEGAN);
        }
        Self {
            l1: None,
            loads: Vec::new(),
            writes: Vec::new(),
            called: 0,
            unconfirmed: None,
            short: false,
            ear: Ear::Hears,
            subscribed: true,
            queue: Vec::new(),
            origins: Some(origins),
            heard: knows.then_some(0),
            first: knows.then_some(0),
            is_settled: true,
            outbox,
            greets: false,
            publishing: None,
            number: 0,
            again: 0,
            floor: 0,
            unheard: 0,
            fresh: 0,
            sending: 0,
            failed: 0,
            said: 0,
            taken: 0,
            owes: 0,
        }
    }

    /// As `Local::purge`: all that is in progress is refused.
    pub(crate) fn purge(&mut self) {
        self.l1 = None;
        self.refuse();
    }

    /// As `Local::forget_all`, which raises the generation.
    pub(crate) fn forget(&mut self) {
        self.purge();
    }

    pub(crate) fn refuse(&mut self) {
        self.loads.iter_mut().for_each(|load| load.valid = false);
        self.writes.iter_mut().for_each(|write| write.valid = false);
    }

    /// As a `clear` does: what was called before is not written any more.
    pub(crate) fn overtake_all(&mut self) {
        let open = self.writes.iter_mut().filter(|write| write.overtaken == Overtaken::No);
        open.for_each(|write| write.overtaken = Overtaken::ByGap);
    }

    pub(crate) fn raise_floor(&mut self, to: u8) {
        self.floor = self.floor.max(to);
    }
}

impl State {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            source: 0,
            l2: plan.has_l2.then_some(0),
            confirmed: 0,
            nodes: [Arc::new(Node::new(plan, true)), Arc::new(Node::new(plan, false))],
            faults: plan.faults,
            broken: None,
        }
    }

    pub(crate) fn node(&mut self, n: usize) -> &mut Node {
        Arc::make_mut(&mut self.nodes[n])
    }

    /// The other node has yet to hear the last number, and it isn't on its way.
    pub(crate) fn owes_hello(&self, n: usize) -> bool {
        let (node, other) = (&self.nodes[n], &self.nodes[1 - n]);
        let number = node.number - node.again;
        let is_last = |item: &Item| matches!(item, Item::Message { number: last, .. } if *last == number);
        other.heard.unwrap_or(0) < number && !other.queue.iter().any(is_last)
    }

    /// L2 has changed: who was to fill it is refused there.
    pub(crate) fn end_leases(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.loads.iter().any(|load| load.lease)) {
            Arc::make_mut(node).loads.iter_mut().for_each(|load| load.lease = false);
        }
    }
}

fn hash_pending<H: Hasher>(pending: &Pending, hasher: &mut H) {
    match pending.next(room()) {
        None => 0_u8.hash(hasher),
        Some(Next::Clear(clear)) => (1_u8, clear as u8).hash(hasher),
        Some(Next::Keys(keys)) => keys.hash(hasher),
    }
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.l1, &self.loads, &self.writes, self.called, self.unconfirmed, self.short).hash(hasher);
        (self.ear, self.subscribed, &self.queue, self.heard, self.first, self.is_settled, self.origins.is_some())
            .hash(hasher);
        for pending in [&self.outbox.fresh.pending, &self.outbox.sending.pending, &self.outbox.failed] {
            hash_pending(pending, hasher);
        }
        (&self.outbox.fresh.waits, &self.outbox.sending.waits).hash(hasher);
        (self.greets, self.publishing, self.number, self.again).hash(hasher);
        (self.floor, self.unheard, self.fresh, self.sending, self.failed, self.said, self.taken, self.owes)
            .hash(hasher);
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.source, self.l2, self.confirmed, &self.nodes, self.faults, self.broken).hash(hasher);
    }
}

/// Which list of the outbox a message is of.
pub(crate) fn what(again: bool) -> What {
    if again { What::Failed } else { What::Sending }
}
