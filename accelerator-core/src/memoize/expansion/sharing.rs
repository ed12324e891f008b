//! Which way of sharing an error type allows, found out without naming it: `Sharing::<R>::new()` behind three references,
//! and `share()` on it, take the first of [`AsError`], [`AsClone`] and [`Unshared`] whose bounds `R` meets.
//!
//! ```
//! use accelerator_core::__private::sharing::*;
//! use accelerator_core::memoize::sharing::{Alone, ByClone, ByError};
//! let by_error = (&&&Sharing::<Result<u64, std::fmt::Error>>::new()).share();
//! let by_clone = (&&&Sharing::<Result<u64, String>>::new()).share();
//! let alone = (&&&Sharing::<Result<u64, std::io::Error>>::new()).share();
//! # let (_, _, _): (ByError, ByClone, Alone) = (by_error, by_clone, alone);
//! ```

use std::error::Error;
use std::marker::PhantomData;

use crate::memoize::sharing::{Alone, ByClone, ByError};

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
