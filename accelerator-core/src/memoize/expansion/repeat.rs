//! Whether the body of a batch can be copied, found out by the types of the function's arguments without naming them:
//! `Arguments::new()`, with each of them by `and`, behind two references, and `repeat()` on it, take the first of [`AsClone`]
//! and [`AsIs`] whose bounds they meet.
//!
//! ```
//! use accelerator_core::__private::repeat::*;
//! use accelerator_core::memoize::repeat::{Often, Once};
//! let (ids, file) = (vec![1], std::sync::Mutex::new(2));
//! let often = (&&Arguments::new().and(&ids)).repeat();
//! let once = (&&Arguments::new().and(&ids).and(&file)).repeat();
//! # let (_, _): (Often, Once) = (often, once);
//! ```

use std::marker::PhantomData;

use crate::memoize::batch::repeat::{Often, Once};

/// What a body may take along; see the module.
#[derive(Debug)]
pub struct Arguments<A>(PhantomData<fn() -> A>);

impl Arguments<()> {
    /// Nothing yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is written by macros, in one form")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A> Arguments<A> {
    /// This one as well.
    #[must_use]
    pub fn and<B>(self, _: &B) -> Arguments<(A, B)> {
        Arguments(PhantomData)
    }
}

/// All can be copied.
pub trait AsClone {
    /// This way.
    fn repeat(&self) -> Often;
}

/// One of them can't.
pub trait AsIs {
    /// This way.
    fn repeat(&self) -> Once;
}

impl<A: Clone> AsClone for &Arguments<A> {
    fn repeat(&self) -> Often {
        Often
    }
}

impl<A> AsIs for Arguments<A> {
    fn repeat(&self) -> Once {
        Once
    }
}
