//! How the failure of one body reaches those who waited for it. The attributes find out by themselves which way the error
//! type of the function allows.
//!
//! ```
//! use accelerator_core::memoize::{Read, begin, cacheable, sharing};
//! use accelerator_core::{Cache, CacheError};
//! use std::sync::Arc;
//! # async fn query(_: u64) -> Result<Option<String>, Arc<std::io::Error>> { Ok(None) }
//!
//! // The error can be copied: all who waited get a copy, and run nothing.
//! async fn name(cache: &dyn Cache<u64, String>, id: u64) -> Result<Option<String>, Arc<std::io::Error>> {
//!     let read = Read::new();
//!     let begun = begin(cache, &id, &read).await;
//!     cacheable(begun, read, sharing::ByClone, || query(id)).await
//! }
//! ```

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::error::{CacheError, ErrorKind};

/// How a failed outcome `R` becomes an error of the flight, and that error the outcome of those who waited.
pub trait Share<R> {
    /// The error of the flight, for a failed outcome.
    fn error(&self, out: &R) -> CacheError;
    /// The outcome for one who waited; `None`: this error can't be turned back.
    fn outcome(&self, error: &CacheError) -> Option<R>;
}

/// The error is an `Error` and can be copied: waiters of a plain `get` can downcast to it as well.
#[derive(Clone, Copy, Debug)]
pub struct ByError;

/// The error can be copied.
#[derive(Clone, Copy, Debug)]
pub struct ByClone;

/// The error can't be copied: each who waited runs a body of its own.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

const FAILED: &str = "the body of a cached function failed";

fn unknown() -> CacheError {
    CacheError::new(ErrorKind::Loader, FAILED)
}

impl<T, E: Error + Clone + Send + Sync + 'static> Share<Result<T, E>> for ByError {
    fn error(&self, out: &Result<T, E>) -> CacheError {
        let Err(error) = out else { return unknown() };
        // An error of the cache stays what it is.
        let own = (error as &dyn Any).downcast_ref::<CacheError>();
        own.cloned().unwrap_or_else(|| CacheError::with_source(ErrorKind::Loader, FAILED, Arc::new(error.clone())))
    }

    fn outcome(&self, error: &CacheError) -> Option<Result<T, E>> {
        let own = (error as &dyn Any).downcast_ref::<E>();
        own.or_else(|| error.own_cause::<E>()).cloned().map(Err)
    }
}

impl<T, E: Clone + Send + Sync + 'static> Share<Result<T, E>> for ByClone {
    fn error(&self, out: &Result<T, E>) -> CacheError {
        let Err(error) = out else { return unknown() };
        CacheError::with_source(ErrorKind::Loader, FAILED, Arc::new(Carried(error.clone())))
    }

    fn outcome(&self, error: &CacheError) -> Option<Result<T, E>> {
        error.own_cause::<Carried<E>>().map(|carried| Err(carried.0.clone()))
    }
}

impl<R> Share<R> for Alone {
    fn error(&self, _: &R) -> CacheError {
        unknown()
    }

    fn outcome(&self, _: &CacheError) -> Option<R> {
        None
    }
}

/// An error that is no `Error`, on its way to those who waited.
struct Carried<E>(E);

impl<E> fmt::Debug for Carried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<E> fmt::Display for Carried<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<E>())
    }
}

impl<E> Error for Carried<E> {}
