//! The work of a flight, and where its answer comes from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::level::flight::shared_run::SharedRun;
use crate::level::flight::state::Parked;
use crate::sync::{Mutex, lock};

/// The work of a flight: a load of its own.
pub(crate) struct Work(Load);

pub(crate) type BatchRun = SharedRun<Pin<Box<dyn Future<Output = ()> + Send>>>;

impl Parked for Work {
    type Run = Arc<BatchRun>;

    fn is_same(one: &Arc<BatchRun>, other: &Arc<BatchRun>) -> bool {
        Arc::ptr_eq(one, other)
    }
}

impl Work {
    pub(crate) fn new(wire: &Arc<Wire>) -> Self {
        Self(Load::new(wire))
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx)
    }
}

/// A load that suspends until its answer arrives. As every future it wakes whoever polled it last, and nobody else.
pub(crate) struct Load {
    wire: Arc<Wire>,
    place: Option<usize>,
}

/// Where the answer of a [`Load`] arrives.
pub(crate) struct Wire(Mutex<Line>);

struct Line {
    answered: bool,
    ends: u32,
    asking: Vec<Waker>,
}

impl Wire {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Line { answered: false, ends: 0, asking: Vec::new() })))
    }

    /// The answer arrives.
    pub(crate) fn answer(&self) {
        let mut line = lock(&self.0);
        line.answered = true;
        let asking = std::mem::take(&mut line.asking);
        drop(line);
        asking.into_iter().for_each(Waker::wake);
    }

    /// How often the work came to its end.
    pub(crate) fn ends(&self) -> u32 {
        lock(&self.0).ends
    }
}

impl Load {
    pub(crate) fn new(wire: &Arc<Wire>) -> Self {
        Self { wire: wire.clone(), place: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut line = lock(&self.wire.0);
        if line.answered {
            line.ends += 1;
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        match self.place.and_then(|place| line.asking.get_mut(place)) {
            Some(last) => *last = waker,
            None => {
                self.place = Some(line.asking.len());
                line.asking.push(waker);
            }
        }
        Poll::Pending
    }
}
