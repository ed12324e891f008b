//! A load of somebody else's that failed, as those see it who waited for it.

use std::fmt;

use crate::cache::answers::Lookup;
use crate::error::CacheError;

/// Why somebody else's load failed, for one who waited for it; in [`Begin::Failed`](crate::Begin::Failed).
///
/// ```
/// use accelerator_core::{Begin, CacheError, ErrorKind};
/// let begin: Begin<String> = Begin::Failed(CacheError::new(ErrorKind::Loader, "the database is away").into());
/// let Begin::Failed(failed) = begin else { unreachable!() };
/// assert_eq!(failed.error().kind(), ErrorKind::Loader);
/// ```
// One pointer: a hit moves what it could have been, too.
pub struct FailedLoad<V>(Box<Inner<V>>);

struct Inner<V> {
    error: CacheError,
    look: Option<Look<V>>,
}

type Look<V> = Box<dyn Fn() -> Lookup<V> + Send + Sync>;

impl<V> FailedLoad<V> {
    pub(crate) fn new(error: CacheError, look: impl Fn() -> Lookup<V> + Send + Sync + 'static) -> Self {
        Self(Box::new(Inner { error, look: Some(Box::new(look)) }))
    }

    /// The error, which all who waited for this load share.
    #[must_use]
    pub fn error(&self) -> &CacheError {
        &self.0.error
    }

    /// The same by value.
    #[must_use]
    pub fn into_error(self) -> CacheError {
        self.0.error
    }

    /// What L1 has by now: who loads itself after this failure, and had to wait for that, looks before it does.
    /// [`Lookup::Miss`] where nothing is there, and where the cache can't look.
    #[must_use]
    pub fn look_again(&self) -> Lookup<V> {
        self.0.look.as_ref().map_or(Lookup::Miss, |look| look())
    }
}

impl<V> From<CacheError> for FailedLoad<V> {
    fn from(error: CacheError) -> Self {
        Self(Box::new(Inner { error, look: None }))
    }
}

impl<V> fmt::Debug for FailedLoad<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FailedLoad").field(&self.0.error).finish()
    }
}
