//! How often the body of a batch may run: more than once where it can be copied together with all that it takes along.

/// How often a body may run.
pub trait Repeat<F> {
    /// The body for one more run; `None`: there is one run.
    fn again(&self, body: &F) -> Option<F>;
}

/// A body that is copied for each run but the last.
#[derive(Clone, Copy, Debug)]
pub struct Often;

/// A body that runs once.
#[derive(Clone, Copy, Debug)]
pub struct Once;

impl<F: Clone> Repeat<F> for Often {
    fn again(&self, body: &F) -> Option<F> {
        Some(body.clone())
    }
}

impl<F> Repeat<F> for Once {
    fn again(&self, _: &F) -> Option<F> {
        None
    }
}
