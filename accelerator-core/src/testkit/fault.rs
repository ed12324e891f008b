//! What can go wrong with a store, in words of a test script.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::gate::{Gate, Stop};
use crate::error::StoreErrorKind;

/// The kinds of operations of an [`L2Store`](crate::L2Store), and of an [`InvalidationBus`](crate::InvalidationBus). A batch is one operation of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Op {
    /// `get`, `mget`.
    Get,
    /// `set`, `mset`.
    Set,
    /// `del`, `mdel`.
    Del,
    /// `get_or_lease`, `mget_or_lease`.
    Lease,
    /// `fill`, `mfill`.
    Fill,
    /// `renew`, `mrenew`.
    Renew,
    /// `release`.
    Release,
    /// `hold`.
    Hold,
    /// `unhold`.
    Unhold,
    /// `publish` of a bus; its key is the topic.
    Publish,
}

/// One fault of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// None: in a script, this operation works.
    None,
    /// The operation isn't carried out and answers this error (a batch: in every position).
    Error(StoreErrorKind),
    /// The operation is carried out, so much later (by tokio's time).
    Delay(Duration),
    /// The operation isn't carried out and never answers.
    Hang,
    /// The operation is carried out, but its answer is lost. A lease that it was granted is given back, in a task, when
    /// the caller is gone: backends do so.
    LostReply(Then),
    /// A read answers these bytes, whatever is stored. Nothing else is disturbed by it.
    Garbage(Bytes),
    /// A batch has this fault in these positions only; the others are carried out, and their outcomes arrive. A `Delay`
    /// applies to the whole batch. A single operation is a batch of one.
    At(Vec<usize>, Box<Fault>),
}

impl Fault {
    /// [`Fault::At`] without the box.
    #[must_use]
    pub fn at(positions: impl IntoIterator<Item = usize>, fault: Self) -> Self {
        Self::At(positions.into_iter().collect(), Box::new(fault))
    }
}

/// What a caller sees of a lost reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Then {
    /// Nothing, for ever.
    Hang,
    /// An error.
    Error(StoreErrorKind),
}

/// One operation as it arrived at the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// Its kind.
    pub op: Op,
    /// Its keys, in their order; one, where it isn't a batch.
    pub keys: Vec<String>,
    /// Whether it is a batch.
    pub batch: bool,
    /// What the script made of it.
    pub fault: Fault,
}

/// What is to happen, and what has happened.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) next: VecDeque<Fault>,
    pub(super) next_of: HashMap<Op, VecDeque<Fault>>,
    pub(super) always: Option<Fault>,
    pub(super) always_of: HashMap<Op, Fault>,
    pub(super) gates: Vec<(Op, Stop, Gate)>,
    pub(super) log: Vec<Call>,
}

impl Script {
    /// Notes an operation that arrives and decides its fate: the more special rule wins, queues before permanent ones.
    pub(super) fn arrive(&mut self, op: Op, keys: &[&str], batch: bool) -> Fate {
        let queued = self.next_of.get_mut(&op).and_then(VecDeque::pop_front).or_else(|| self.next.pop_front());
        let lasting = || self.always_of.get(&op).or(self.always.as_ref()).cloned();
        let fault = queued.or_else(lasting).unwrap_or(Fault::None);
        let keys = keys.iter().map(|&k| k.to_owned()).collect();
        self.log.push(Call { op, keys, batch, fault: fault.clone() });
        Fate { fault, before: self.take_gate(op, Stop::Before), after: self.take_gate(op, Stop::After) }
    }

    fn take_gate(&mut self, op: Op, stop: Stop) -> Option<Gate> {
        let at = self.gates.iter().position(|(o, s, _)| (*o, *s) == (op, stop))?;
        Some(self.gates.remove(at).2)
    }
}

/// What becomes of one operation.
pub(super) struct Fate {
    pub(super) fault: Fault,
    pub(super) before: Option<Gate>,
    pub(super) after: Option<Gate>,
}
