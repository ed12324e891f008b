//! What went wrong with a server, cheap to repeat for every key of a batch.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use accelerator_core::{StoreError, StoreErrorKind};

/// Why a server did not do what it was asked. Holds no keys and no values.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    kind: StoreErrorKind,
    what: Cow<'static, str>,
    source: Option<Arc<io::Error>>,
}

impl Fault {
    pub(crate) fn new(kind: StoreErrorKind, what: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    pub(crate) fn unavailable(what: &'static str) -> Self {
        Self::new(StoreErrorKind::Unavailable, what)
    }

    pub(crate) fn protocol(what: &'static str) -> Self {
        Self::new(StoreErrorKind::Protocol, what)
    }

    pub(crate) fn unsupported(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StoreErrorKind::Unsupported, what)
    }

    pub(crate) fn io(what: &'static str, source: io::Error) -> Self {
        Self { kind: StoreErrorKind::Unavailable, what: what.into(), source: Some(Arc::new(source)) }
    }

    pub(crate) fn no_runtime() -> Self {
        Self::unavailable("a call needs a tokio runtime with I/O and time enabled")
    }

    /// Whether the server was not there, or not any more.
    pub(crate) fn is_absence(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }

    /// The error of a call to the server `name`.
    pub(crate) fn of(&self, name: &str) -> StoreError {
        let error = StoreError::new(self.kind, format!("memcached {name}: {}", self.what));
        match &self.source {
            Some(source) => error.with_source(Arc::clone(source)),
            None => error,
        }
    }
}
