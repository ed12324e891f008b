//! Futures of a cache: `CacheFuture`, which is often ready when it is made.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A future that is often ready when it is made: an L1 hit through `dyn Cache` allocates nothing.
///
/// # Panics
/// When it is polled after its end, as the futures of the standard library do.
#[must_use = "futures do nothing unless awaited"]
pub struct CacheFuture<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    Ready(Option<T>),
    Boxed(BoxFuture<'a, T>),
}

impl<'a, T> CacheFuture<'a, T> {
    /// Ready at once.
    #[inline]
    pub fn ready(value: T) -> Self {
        Self(Inner::Ready(Some(value)))
    }

    /// On the heap.
    pub fn boxed(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Inner::Boxed(Box::pin(future)))
    }

    /// What `then` makes of its answer: at once, if the future is ready.
    ///
    /// ```
    /// # use accelerator_core::CacheFuture;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let length = CacheFuture::ready("Ada").map(str::len);
    /// assert_eq!(length.await, 3);
    /// # }
    /// ```
    pub fn map<U>(self, then: impl FnOnce(T) -> U + Send + 'a) -> CacheFuture<'a, U>
    where
        T: 'a,
    {
        match self.0 {
            Inner::Ready(Some(value)) => CacheFuture::ready(then(value)),
            Inner::Ready(None) => CacheFuture(Inner::Ready(None)),
            Inner::Boxed(future) => CacheFuture::boxed(async move { then(future.await) }),
        }
    }

    /// Its answer, if it is ready; then it must not be polled any more.
    pub(crate) fn take_ready(&mut self) -> Option<T> {
        match &mut self.0 {
            Inner::Ready(value) => value.take(),
            Inner::Boxed(_) => None,
        }
    }
}

// Nothing inside is pinned in place: the boxed future is pinned on the heap.
impl<T> Unpin for CacheFuture<'_, T> {}

impl<T> Future for CacheFuture<'_, T> {
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Inner::Ready(value) => match value.take() {
                Some(value) => Poll::Ready(value),
                None => polled_after_completion(),
            },
            Inner::Boxed(_) => self.poll_boxed(cx),
        }
    }
}

impl<T> CacheFuture<'_, T> {
    /// Whatever a future of somebody else would do when it is polled again: it is not.
    fn poll_boxed(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Inner::Boxed(future) = &mut self.0 else { polled_after_completion() };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = Inner::Ready(None);
        }
        polled
    }
}

/// Pending for ever would be worse: nobody finds out why.
#[cold]
#[inline(never)]
#[expect(clippy::panic, reason = "a mistake of the caller, told as the standard library's futures tell it")]
fn polled_after_completion() -> ! {
    panic!("`CacheFuture` polled after completion")
}

impl<T> fmt::Debug for CacheFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Inner::Ready(_) => "CacheFuture(ready)",
            Inner::Boxed(_) => "CacheFuture(boxed)",
        })
    }
}
