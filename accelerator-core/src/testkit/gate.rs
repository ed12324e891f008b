//! A gate holds one operation until the test lets it through: the way to make a race happen every time.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds one operation of a [`Faulty`](super::Faulty) store, see [`Faulty::gate`](super::Faulty::gate).
///
/// A handle: clones are the same gate. A gate that is dropped with its test unopened leaves its operation waiting,
/// which is what a caller that is being tested for not waiting should see.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Latches>);

#[derive(Debug)]
struct Latches {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

/// On which side of the operation a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Before,
    After,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self(Arc::new(Latches { reached: watch::Sender::new(false), open: watch::Sender::new(false) }))
    }

    /// Waits until the operation stands at the gate.
    pub async fn reached(&self) {
        wait(&self.0.reached).await;
    }

    /// Whether the operation has come to the gate.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        *self.0.reached.borrow()
    }

    /// Lets the operation through, also one that is yet to come.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// The operation's side.
    pub(super) async fn pass(&self) {
        self.0.reached.send_replace(true);
        wait(&self.0.open).await;
    }
}

async fn wait(latch: &watch::Sender<bool>) {
    // It can't fail: the sender is borrowed for as long as this waits.
    let _ = latch.subscribe().wait_for(|set| *set).await;
}
