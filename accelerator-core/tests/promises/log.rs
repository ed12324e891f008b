//! What the library says in the log, for the tests that hold it to that.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::common::lock;

/// One line: its fields as text, and its `level`.
pub(crate) type Line = BTreeMap<String, String>;

/// The lines of one target.
#[derive(Clone)]
pub(crate) struct Log {
    target: &'static str,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Log {
    pub(crate) fn of(target: &'static str) -> Self {
        Self { target, lines: Arc::default() }
    }

    /// What was said since the last `take`.
    pub(crate) fn lines(&self) -> Vec<Line> {
        lock(&self.lines).clone()
    }

    /// The same, which is forgotten then.
    pub(crate) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *lock(&self.lines))
    }
}

struct Reader(Line);

impl Visit for Reader {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == self.target
    }
    fn event(&self, event: &Event<'_>) {
        let mut reader = Reader(BTreeMap::from([("level".to_owned(), event.metadata().level().to_string())]));
        event.record(&mut reader);
        lock(&self.lines).push(reader.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
