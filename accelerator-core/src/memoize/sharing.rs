//! How the failure of one body reaches those who waited for it.
//!
//! Which way an error type allows is found out without naming it: `Sharing::<R>::new()` behind three references, and
//! `share()` on it, take the first of [`AsError`], [`AsClone`] and [`Unshared`] whose bounds `R` meets.
//!
//! ```
//! use accelerator_core::memoize::sharing::*;
//! let by_error = (&&&Sharing::<Result<u64, std::fmt::Error>>::new()).share();
//! let by_clone = (&&&Sharing::<Result<u64, String>>::new()).share();
//! let alone = (&&&Sharing::<Result<u64, std::io::Error>>::new()).share();
//! # let (_, _, _): (ByError, ByClone, Alone) = (by_error, by_clone, alone);
//! ```

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::{CacheError, ErrorKind};

/// How a failed outcome `R` becomes an error of the flight, and that error the outcome of those who waited.
pub trait Share<R> {
    /// The error of the flight, for a failed outcome.
    fn error(&self, out: &R) -> CacheError;
    /// The outcome for one who waited; `None`: this error can't be turned back.
    fn outcome(&self, error: &CacheError) -> Option<R>;
}

/// Which way `R` allows; see the module.
#[derive(Debug)]
pub struct Sharing<R>(PhantomData<fn() -> R>);

impl<R> Sharing<R> {
    /// Asks.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is written by macros, in one form")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

/// The error is an `Error` and can be copied: waiters of a plain `get` can downcast to it as well.
pub trait AsError {
    /// This way.
    fn share(&self) -> ByError;
}

/// The error can be copied.
pub trait AsClone {
    /// This way.
    fn share(&self) -> ByClone;
}

/// The error can't be copied: each runs a body of its own.
pub trait Unshared {
    /// This way.
    fn share(&self) -> Alone;
}

impl<T, E: Error + Clone + Send + Sync + 'static> AsError for &&Sharing<Result<T, E>> {
    fn share(&self) -> ByError {
        ByError
    }
}

impl<T, E: Clone + Send + Sync + 'static> AsClone for &Sharing<Result<T, E>> {
    fn share(&self) -> ByClone {
        ByClone
    }
}

impl<R> Unshared for Sharing<R> {
    fn share(&self) -> Alone {
        Alone
    }
}

/// See [`AsError`].
#[derive(Clone, Copy, Debug)]
pub struct ByError;

/// See [`AsClone`].
#[derive(Clone, Copy, Debug)]
pub struct ByClone;

/// See [`Unshared`].
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
