//! What can go wrong: one error for callers, one for L2 stores.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What a caller of the cache gets.
pub type CacheResult<T> = Result<T, CacheError>;
/// What an L2 store answers.
pub type StoreResult<T> = Result<T, StoreError>;
/// What a loader may fail with: any error; its type survives in [`CacheError::downcast_ref`].
pub type LoadError = Box<dyn Error + Send + Sync + 'static>;

/// The class of a [`CacheError`]; what a program decides on.
///
/// ```
/// use accelerator_core::{CacheError, ErrorKind};
///
/// /// The status that a service answers with.
/// fn status(error: &CacheError) -> u16 {
///     match error.kind() {
///         ErrorKind::Loader if error.downcast_ref::<std::io::Error>().is_some() => 502,
///         ErrorKind::Timeout => 504,
///         ErrorKind::Shutdown => 503,
///         _ => 500,
///     }
/// }
/// assert_eq!(status(&CacheError::loader(std::io::Error::other("the database is away"))), 502);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A builder was given a value that it can't work with.
    InvalidConfig,
    /// A value could not be encoded.
    Codec,
    /// The loader (or the body given to `get_or_load`) returned an error.
    Loader,
    /// The loader panicked, or other code of the user that the cache runs: a `Clone`, a weigher, an L1 store.
    Panic,
    /// The loader did not end within `loader_timeout`.
    Timeout,
    /// A batch loader left this key out of its answer.
    NotLoaded,
    /// L1 of this node is right, but L2 did not confirm the write or delete, or the bus did not take the news of it: the
    /// text says which.
    Unconfirmed,
    /// Work had to be detached and there is no tokio runtime to run it.
    NoRuntime,
    /// The cache was shut down.
    Shutdown,
    /// An L2 store said no where no cache stands between: it could not connect, for example. Its [`StoreError`] is the
    /// cause.
    Store,
}

/// The error of every cache operation. Cheap to clone (one pointer), so that all waiters of one flight share it.
///
/// It never contains keys or values.
///
/// ```
/// use accelerator_core::{CacheError, ErrorKind};
/// let e = CacheError::loader(std::io::Error::other("database is away"));
/// assert_eq!(e.kind(), ErrorKind::Loader);
/// assert!(e.downcast_ref::<std::io::Error>().is_some());
/// // Without its causes, which `source` gives; with them:
/// assert_eq!(e.to_string(), "the loader failed");
/// assert_eq!(format!("{e:#}"), "the loader failed: database is away");
/// ```
///
/// A [`StoreError`] becomes one by `?`, so that a function that connects and builds needs one type:
///
/// ```
/// # use accelerator_core::{CacheResult, ErrorKind, StoreError, StoreErrorKind, StoreResult};
/// # fn connect() -> StoreResult<()> { Err(StoreError::new(StoreErrorKind::Unavailable, "no connection")) }
/// fn start() -> CacheResult<()> {
///     let store = connect()?;
///     Ok(store)
/// }
/// let error = start().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Store);
/// assert!(error.downcast_ref::<StoreError>().is_some());
/// ```
#[derive(Clone)]
pub struct CacheError(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    context: String,
    queued: bool,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl CacheError {
    /// An error of `kind` with a sentence for the person who reads it. Put no keys or values into it.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self::made(kind, context.into(), false, None)
    }

    fn made(kind: ErrorKind, context: String, queued: bool, source: Option<Arc<dyn Error + Send + Sync>>) -> Self {
        Self(Arc::new(Inner { kind, context, queued, source }))
    }

    /// The error of a loader, kept with its type.
    pub fn loader(source: impl Into<LoadError>) -> Self {
        Self::with_source(ErrorKind::Loader, "the loader failed", Arc::from(source.into()))
    }

    pub(crate) fn with_source(kind: ErrorKind, context: &str, source: Arc<dyn Error + Send + Sync>) -> Self {
        Self::made(kind, context.into(), false, Some(source))
    }

    /// `field` was given `value`, but takes `accepted`.
    pub(crate) fn config(field: &str, value: impl fmt::Display, accepted: &str) -> Self {
        Self::new(ErrorKind::InvalidConfig, format!("{field} = {value}: {accepted}"))
    }

    /// `queued`: a delete will be sent again by itself.
    pub(crate) fn unconfirmed(op: &str, source: StoreError, queued: bool) -> Self {
        let then = if queued { "a delete is queued" } else { "not queued: call again" };
        let context =
            format!("{op}: L1 of this node is right, L2 did not confirm ({then}; this node reads past L2 for the key)");
        Self::made(ErrorKind::Unconfirmed, context, queued, Some(Arc::new(source)))
    }

    /// L2 (if there is one) has confirmed, and the bus has not; the news will be sent again by itself.
    fn unpublished(op: &str, source: StoreError) -> Self {
        let context = format!(
            "{op}: all is right but for other nodes, the bus did not confirm (queued: it is published again; until then \
             they may answer from their L1)"
        );
        Self::made(ErrorKind::Unconfirmed, context, true, Some(Arc::new(source)))
    }

    /// The end of a write: what became of it here and in L2, and whether the bus has `told` it to others.
    pub(crate) fn of_write(op: &str, written: CacheResult<()>, told: StoreResult<()>) -> CacheResult<()> {
        match (written, told) {
            (written, Ok(())) => written,
            (Err(error), Err(source)) if error.kind() == ErrorKind::Unconfirmed => {
                let then = if error.is_queued() { "both are queued" } else { "the delete is not queued: call again" };
                let context = format!(
                    "{op}: L1 of this node is right, neither L2 nor the bus confirmed ({then}; this node reads past L2 \
                     for the key, other nodes may answer from their L1; the bus said: {source:#})"
                );
                Err(Self::made(ErrorKind::Unconfirmed, context, error.is_queued(), error.0.source.clone()))
            }
            // What failed here says more than the bus, which takes the news later.
            (Err(error), Err(_)) => Err(error),
            (Ok(()), Err(source)) => Err(Self::unpublished(op, source)),
        }
    }

    /// The end of a call in two parts. Where both failed, a delete that is not queued is what has to be told.
    pub(crate) fn of_two(one: CacheResult<()>, other: CacheResult<()>) -> CacheResult<()> {
        match (one, other) {
            (Err(one), Err(other)) => Err(if one.is_queued() { other } else { one }),
            (one, other) => one.and(other),
        }
    }

    pub(crate) fn not_held(source: StoreError) -> Self {
        let context =
            "write_guard: L2 did not confirm the hold; change nothing yet, or change it and call del".to_owned();
        Self::made(ErrorKind::Unconfirmed, context, false, Some(Arc::new(source)))
    }

    pub(crate) fn hold_not_told(source: StoreError) -> Self {
        let context = "write_guard: the bus did not confirm the hold; change nothing yet, or change it and call del";
        Self::made(ErrorKind::Unconfirmed, context.to_owned(), false, Some(Arc::new(source)))
    }

    pub(crate) fn panic(what: &str, payload: &(dyn Any + Send)) -> Self {
        let said =
            payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new(ErrorKind::Panic, format!("{what} panicked: {}", said.unwrap_or("(no message)")))
    }

    pub(crate) fn timeout(limit: std::time::Duration) -> Self {
        let context =
            format!("the load did not end within loader_timeout = {limit:?}: raise loader_timeout(..) of the builder");
        Self::new(ErrorKind::Timeout, context)
    }

    pub(crate) fn no_runtime(op: &str) -> Self {
        Self::new(
            ErrorKind::NoRuntime,
            format!("{op} needs a tokio runtime: call it inside one, or give one to the builder with runtime(..)"),
        )
    }

    pub(crate) fn shutdown() -> Self {
        Self::new(ErrorKind::Shutdown, "the cache was shut down")
    }

    /// The same for all clones of one error, and for no other that lives.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// For [`ErrorKind::Unconfirmed`]: whether the delete of every key that L2 did not confirm is queued and will be sent
    /// again, unless a later write of the key is confirmed first. It is not where there is no runtime, and where the
    /// queue has no room left (`recovery_bytes` of the builder: 64 MiB, some 500,000 keys). Of a batch: `false` if one
    /// key's is not queued. What a bus did not take is always queued.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        self.0.queued
    }

    /// Whether the same call may succeed in a moment without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.0.kind {
            ErrorKind::Loader | ErrorKind::Timeout | ErrorKind::NotLoaded | ErrorKind::Unconfirmed => true,
            ErrorKind::Store => self
                .downcast_ref::<StoreError>()
                .is_some_and(|store| matches!(store.kind, StoreErrorKind::Unavailable | StoreErrorKind::Timeout)),
            _ => false,
        }
    }

    /// The loader's own error, if it is an `E`, and none of those that it says are its causes.
    pub(crate) fn own_cause<E: Error + 'static>(&self) -> Option<&E> {
        self.source()?.downcast_ref()
    }

    /// The first of the causes that is an `E`: the loader's (or the store's) own error, or what that says is its cause, and
    /// so on.
    ///
    /// An `anyhow::Error` with a context names its cause. One that was made of an error and nothing else (by `?`) hides the
    /// type from everybody: its `reallocate_into_boxed_dyn_error_without_backtrace` doesn't.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        causes(self.source()).find_map(|cause| cause.downcast_ref())
    }
}

/// An error, and what it says is its cause, and so on.
fn causes<'a>(first: Option<&'a (dyn Error + 'static)>) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(first, |&error| error.source())
}

/// The context; by `{:#}` with all causes, each once: some errors show their own cause.
fn show(f: &mut fmt::Formatter<'_>, context: &str, error: &(dyn Error + 'static)) -> fmt::Result {
    f.write_str(context)?;
    if !f.alternate() {
        return Ok(());
    }
    let mut last = context.to_owned();
    for cause in causes(error.source()) {
        let text = cause.to_string();
        if !last.ends_with(&text) {
            write!(f, ": {text}")?;
            last = text;
        }
    }
    Ok(())
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.0.context, self)
    }
}

/// What `connect` of a store's builder refuses stays what it is; all else is of the kind [`ErrorKind::Store`].
impl From<StoreError> for CacheError {
    fn from(error: StoreError) -> Self {
        let refused = causes(error.source()).find_map(|cause| cause.downcast_ref::<Self>()).cloned();
        refused.unwrap_or_else(|| Self::with_source(ErrorKind::Store, "the L2 store failed", Arc::new(error)))
    }
}

impl fmt::Debug for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheError({:?}: {self:#})", self.0.kind)
    }
}

impl Error for CacheError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|s| &**s as &(dyn Error + 'static))
    }
}

/// The class of a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No connection, connection lost, server not there.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The server answered and refused (out of memory, read only, ...).
    Rejected,
    /// Key or value exceed what the store takes.
    TooLarge,
    /// The answer makes no sense.
    Protocol,
    /// The store has no such operation (leases, for example).
    Unsupported,
    /// A writer holds the key, so a `set` stored nothing. Nothing older is there either: the caller of the cache hears of
    /// no error, and none is counted.
    Held,
    /// Anything else.
    Other,
}

impl StoreErrorKind {
    /// The kinds that are counted, in the order of [`Stats::l2_errors`](crate::Stats::l2_errors): all but `Held`, which is
    /// an answer.
    pub const COUNTED: &'static [Self] = &[
        Self::Unavailable,
        Self::Timeout,
        Self::Rejected,
        Self::TooLarge,
        Self::Protocol,
        Self::Unsupported,
        Self::Other,
    ];
}

/// The error of an [`L2Store`](crate::L2Store).
///
/// ```
/// use accelerator_core::{StoreError, StoreErrorKind};
/// let cause = std::io::Error::other("connection reset");
/// let error = StoreError::new(StoreErrorKind::Unavailable, "get failed").with_source(cause);
/// assert_eq!(error.kind(), StoreErrorKind::Unavailable);
/// assert_eq!(error.to_string(), "get failed");
/// assert_eq!(format!("{error:#}"), "get failed: connection reset");
/// ```
#[derive(Clone, Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    context: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error of `kind`; `context` without keys or values.
    pub fn new(kind: StoreErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Keeps the client's own error as the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<LoadError>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// The store has no operation `op`.
    #[must_use]
    pub fn unsupported(op: &str) -> Self {
        Self::new(StoreErrorKind::Unsupported, format!("{op} is not supported by this store"))
    }

    /// A writer holds the key: the answer to a `set` of it.
    #[must_use]
    pub fn held() -> Self {
        Self::new(StoreErrorKind::Held, "a writer holds the key; nothing was stored")
    }

    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.context, self)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|s| &**s as &(dyn Error + 'static))
    }
}
