//! What all layers speak of: users, and what can go wrong with them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use accelerator::CacheError;

/// A row of the table. Cheap to clone, because every hit of the cache is a clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: u64,
    /// What to call them.
    pub name: Arc<str>,
    /// Where to write to them.
    pub email: Arc<str>,
}

/// What the methods of the service and of the repository return.
pub type CacheResult<T> = Result<T, UserError>;

/// Why there is no answer.
///
/// It can be cloned, so one failed query answers all who waited for it; see "When the body fails" in the guide.
#[derive(Clone, Debug)]
pub enum UserError {
    /// The database refused.
    Database(Arc<rusqlite::Error>),
    /// The query did not come to its end: it panicked, or the runtime stopped.
    Stopped,
    /// The cache refused: only where a method asks for `on_cache_error = "propagate"`.
    Cache(CacheError),
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Database(_) => "the database refused",
            Self::Stopped => "the query did not come to its end",
            Self::Cache(_) => "the cache refused",
        })
    }
}

impl Error for UserError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Database(error) => Some(error),
            Self::Stopped => None,
            Self::Cache(error) => Some(error),
        }
    }
}

impl From<rusqlite::Error> for UserError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl From<CacheError> for UserError {
    fn from(error: CacheError) -> Self {
        Self::Cache(error)
    }
}
