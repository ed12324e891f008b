//! What is to be published, and whether there is a connection to publish on.

use std::collections::VecDeque;
use std::mem;

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};
use bytes::Bytes;
use tokio::sync::oneshot;

/// Bytes that are written before the server is asked whether it took them.
const AT_ONCE: usize = 256 << 10;

/// A message, and who waits for its answer. There are as many as calls wait.
pub(crate) struct Publish {
    pub(crate) subject: Bytes,
    pub(crate) message: Bytes,
    pub(crate) answer: oneshot::Sender<StoreResult<()>>,
}

#[derive(Default)]
pub(crate) struct Publishes {
    waiting: VecDeque<Publish>,
    link: Link,
}

#[derive(Default)]
enum Link {
    /// The first try is under way.
    #[default]
    Connecting,
    Up,
    Down {
        kind: StoreErrorKind,
        why: String,
    },
}

impl Publishes {
    /// Waits for the connection that is made for the first time; later, where there is none, it is an error.
    pub(crate) fn add(&mut self, publish: Publish) -> StoreResult<()> {
        match self.link {
            Link::Down { .. } => Err(self.why()),
            Link::Connecting | Link::Up => {
                self.waiting.push_back(publish);
                Ok(())
            }
        }
    }

    /// What is written next.
    pub(crate) fn next(&mut self) -> Vec<Publish> {
        let (mut next, mut bytes) = (Vec::new(), 0);
        while bytes < AT_ONCE
            && let Some(publish) = self.waiting.pop_front()
        {
            bytes += publish.message.len();
            next.push(publish);
        }
        next
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn connecting(&mut self) {
        self.link = Link::Connecting;
    }

    pub(crate) fn connected(&mut self) {
        self.link = Link::Up;
    }

    /// With what waits, as [`lost`](Self::lost).
    pub(crate) fn disconnected(&mut self, kind: StoreErrorKind, why: &str) -> VecDeque<Publish> {
        self.link = Link::Down { kind, why: why.to_owned() };
        self.lost()
    }

    /// Nobody is there who would publish what waits: those who wait are told where it is dropped, outside of the lock.
    pub(crate) fn lost(&mut self) -> VecDeque<Publish> {
        mem::take(&mut self.waiting)
    }

    /// Why a message was not taken.
    pub(crate) fn why(&self) -> StoreError {
        match &self.link {
            Link::Down { kind, why } => StoreError::new(*kind, format!("publish: {why}")),
            Link::Connecting | Link::Up => {
                StoreError::new(StoreErrorKind::Unavailable, "publish: the connection ended")
            }
        }
    }
}
