//! What happens in a worker, on its way to the parent.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::event::{Event, Message, What, send};
use crate::row::Id;
use crate::time::now;

const EVERY: Duration = Duration::from_millis(5);
/// With so many events unsent the worker waits for the parent.
const FULL: usize = 100_000;

#[derive(Default)]
pub(crate) struct Journal {
    events: Mutex<Vec<Event>>,
    pub(crate) ops: AtomicU64,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        // Nothing panics while it is held; a vector would be whole all the same.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something ends now. Its time is taken under the lock: who empties the journal knows up to when it is complete.
    pub(crate) fn push(&self, id: Id, begin: u64, what: What) {
        let mut events = self.lock();
        events.push(Event { id, begin, end: now(), what });
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lock().len() > FULL
    }

    fn take(&self) -> Message {
        let ops = self.ops.load(Ordering::Relaxed);
        let mut events = self.lock();
        let until = now();
        Message::Journal { until, ops, events: std::mem::take(&mut *events) }
    }
}

/// Where a worker's messages go. A handle: clones write to the same place, one message at a time.
#[derive(Clone)]
pub(crate) struct Outbox(Arc<Journal>);

impl Outbox {
    /// Sends the journal again and again, by a thread of its own.
    pub(crate) fn start(journal: Arc<Journal>) -> Self {
        let outbox = Self(journal);
        let sender = outbox.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(EVERY);
                sender.flush();
            }
        });
        outbox
    }

    /// Sends what is in the journal.
    pub(crate) fn flush(&self) {
        let mut out = io::stdout().lock();
        // Taken while nobody else can send: journals leave in the order of their times.
        put(&mut out, &self.0.take());
    }

    pub(crate) fn send(&self, message: &Message) {
        put(&mut io::stdout().lock(), message);
    }
}

fn put(out: &mut impl Write, message: &Message) {
    if send(out, message).is_err() {
        // The parent is gone, and this process has nothing left to do.
        std::process::exit(3);
    }
}
