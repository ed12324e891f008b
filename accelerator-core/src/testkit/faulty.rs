//! A store that fails on command: the part that a test talks to. The part that the engine talks to is `faulty_store`.

use std::sync::{Arc, Mutex};

use super::fault::{Call, Fate, Fault, Op, Script};
use super::gate::{Gate, Stop};
use super::lock;

/// An [`L2Store`](crate::L2Store), or an [`InvalidationBus`](crate::InvalidationBus), around another that fails as scripted, can be stopped at gates, and writes down what
/// is asked of it. A cheap handle: a test gives one clone to the cache and scripts with the other.
///
/// An operation takes the first that there is of: the queue of its kind ([`push_for`](Faulty::push_for)), the general
/// queue ([`push`](Faulty::push)), its kind's permanent fault ([`always_for`](Faulty::always_for)), the general one
/// ([`always`](Faulty::always)). Without any it is carried out.
///
/// ```
/// use accelerator_core::testkit::{Fault, Faulty, MemoryL2, Op, block_on};
/// use accelerator_core::{L2Store, StoreErrorKind};
/// let l2 = Faulty::new(MemoryL2::new());
/// l2.push(Fault::Error(StoreErrorKind::Unavailable));
/// block_on(async {
///     assert!(l2.get("k").await.is_err());
///     assert!(l2.get("k").await.is_ok());
/// });
/// assert_eq!(l2.calls(Op::Get), 2);
/// ```
///
/// A race, made to happen: a reader has the old value in its hands while the key is deleted.
///
/// ```
/// use accelerator_core::testkit::{Faulty, MemoryL2, Op, block_on};
/// use accelerator_core::L2Store;
/// use std::time::Duration;
/// block_on(async {
///     let l2 = Faulty::new(MemoryL2::new());
///     l2.inner().put_raw("k", "old", Duration::from_secs(60));
///     let gate = l2.gate_after(Op::Get);
///     let (read, ()) = tokio::join!(l2.get("k"), async {
///         gate.reached().await;
///         l2.del("k").await.unwrap();
///         gate.open();
///     });
///     assert_eq!(read.unwrap().unwrap(), "old");
/// });
/// ```
#[derive(Debug)]
pub struct Faulty<S> {
    inner: Arc<S>,
    script: Arc<Mutex<Script>>,
}

impl<S> Faulty<S> {
    /// A store that works, until told otherwise.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner: Arc::new(inner), script: Arc::default() }
    }

    /// The store behind it: what is asked of it directly neither fails nor counts.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }

    pub(super) fn shared(&self) -> Arc<S> {
        Arc::clone(&self.inner)
    }

    /// The next operation of any kind has this fault; calls queue up.
    pub fn push(&self, fault: Fault) {
        lock(&self.script).next.push_back(fault);
    }

    /// The next operation of this kind has this fault; calls queue up.
    pub fn push_for(&self, op: Op, fault: Fault) {
        lock(&self.script).next_of.entry(op).or_default().push_back(fault);
    }

    /// From now on every operation has this fault, where no queue says otherwise; `None` ends it.
    pub fn always(&self, fault: Option<Fault>) {
        lock(&self.script).always = fault;
    }

    /// From now on every operation of this kind has this fault, where no queue says otherwise; `None` ends it.
    pub fn always_for(&self, op: Op, fault: Option<Fault>) {
        let mut script = lock(&self.script);
        match fault {
            Some(fault) => script.always_of.insert(op, fault),
            None => script.always_of.remove(&op),
        };
    }

    /// Ends all faults, queued and permanent. Gates stay.
    pub fn heal(&self) {
        let mut script = lock(&self.script);
        *script = Script {
            gates: std::mem::take(&mut script.gates),
            log: std::mem::take(&mut script.log),
            ..Script::default()
        };
    }

    /// Stops the next operation of this kind before it is carried out. One gate stops one operation; the next is
    /// stopped by the next gate, or not.
    #[must_use]
    pub fn gate(&self, op: Op) -> Gate {
        self.add_gate(op, Stop::Before)
    }

    /// Stops the next operation of this kind after it was carried out, before its answer arrives.
    #[must_use]
    pub fn gate_after(&self, op: Op) -> Gate {
        self.add_gate(op, Stop::After)
    }

    fn add_gate(&self, op: Op, stop: Stop) -> Gate {
        let gate = Gate::new();
        lock(&self.script).gates.push((op, stop, gate.clone()));
        gate
    }

    /// How many operations of this kind arrived, failed ones included; a batch counts once.
    #[must_use]
    pub fn calls(&self, op: Op) -> usize {
        lock(&self.script).log.iter().filter(|call| call.op == op).count()
    }

    /// All operations that arrived, in their order.
    #[must_use]
    pub fn log(&self) -> Vec<Call> {
        lock(&self.script).log.clone()
    }

    /// Forgets what arrived so far, and so the counts.
    pub fn clear_log(&self) {
        lock(&self.script).log.clear();
    }

    pub(super) fn arrive(&self, op: Op, keys: &[&str], batch: bool) -> Fate {
        lock(&self.script).arrive(op, keys, batch)
    }
}

impl<S> Clone for Faulty<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), script: Arc::clone(&self.script) }
    }
}
