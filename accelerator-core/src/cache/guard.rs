//! A guarded key in the hands of who changes its source.

use std::fmt;

use crate::cache::future::CacheFuture;
use crate::error::CacheResult;

/// What a guard can do; for caches, and for wrappers that want to see what passes. What becomes of one that is dropped is
/// said by its `Drop`.
pub trait GuardOps: Send + Sync {
    /// The source has changed, or has not: see [`WriteGuard::finish`].
    fn finish(self: Box<Self>) -> CacheFuture<'static, CacheResult<()>>;
}

/// A key whose source is being changed; from [`LevelCache::write_guard`](crate::LevelCache::write_guard).
///
/// Until [`finish`](Self::finish) every read of every node that finds nothing in its own L1 asks the source, and caches
/// nothing. Several guards of one key may live at once: it is cached again when the last of them has ended. What others
/// write or delete meanwhile does not end a guard. A `set` beside it stores nothing: it deletes.
///
/// Dropped without `finish` (an error, a panic, a lost task) it purges this node's L1, and the key is cached again when
/// the hold is over, 10 seconds after it began: as nobody knows whether the source was changed, nothing older can stay.
/// For other nodes, a change that takes longer than that is as safe as one followed by `del`.
///
/// ```
/// use accelerator_core::Cache;
/// # async fn change_the_database(id: u64) -> Result<(), std::io::Error> { Ok(()) }
///
/// async fn rename(users: &dyn Cache<u64, String>, id: u64) -> Result<(), Box<dyn std::error::Error>> {
///     let guard = users.write_guard(&id).await?;
///     // Committed or rolled back: the guard is finished in both cases.
///     let changed = change_the_database(id).await;
///     guard.finish().await?;
///     Ok(changed?)
/// }
/// ```
#[must_use = "dropped, it keeps the key from being cached for 10 s; call finish() after the change"]
pub struct WriteGuard(Option<Box<dyn GuardOps>>);

impl WriteGuard {
    /// A guard of a cache.
    pub fn new(guard: Box<dyn GuardOps>) -> Self {
        Self(Some(guard))
    }

    /// A guard that guards nothing, for fakes.
    pub fn detached() -> Self {
        Self(None)
    }

    /// The source has changed (or has not: after a rollback, too). Deletes the key in both levels, and ends this hold.
    ///
    /// # Errors
    /// As [`LevelCache::del`](crate::LevelCache::del). Then the hold ends by itself, 10 seconds after it began.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the delete.
    pub fn finish(self) -> CacheFuture<'static, CacheResult<()>> {
        self.0.map_or_else(|| CacheFuture::ready(Ok(())), GuardOps::finish)
    }
}

impl fmt::Debug for WriteGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "WriteGuard" } else { "WriteGuard(detached)" })
    }
}
