//! What one function asks of its cache.

use std::time::Duration;

use crate::error::CacheError;
use crate::memoize::ignored;
use crate::memoize::returned::FromCacheError;
use crate::options::WriteOptions;

/// Options of [`cacheable`](super::cacheable) and [`cacheable_batch`](super::cacheable_batch); `P` says what happens
/// when the cache can't take part.
#[derive(Clone, Copy, Debug)]
pub struct Read<P = Ignore> {
    pub(super) allow_stale: bool,
    pub(super) cache_none: bool,
    pub(super) ttl: Option<Duration>,
    pub(super) on_error: P,
}

impl Read {
    /// Stale values as far as the cache's `stale_on_error` goes, `None` cached as absent, the cache's TTLs, errors of
    /// the cache logged and ignored.
    #[must_use]
    pub const fn new() -> Self {
        Self { allow_stale: true, cache_none: true, ttl: None, on_error: Ignore }
    }
}

impl Default for Read {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Read<P> {
    /// `false` forbids stale values.
    #[must_use]
    pub fn allow_stale(mut self, yes: bool) -> Self {
        self.allow_stale = yes;
        self
    }

    /// `false`: a `None` of the body goes to all who wait, and is not cached.
    #[must_use]
    pub fn cache_none(mut self, yes: bool) -> Self {
        self.cache_none = yes;
        self
    }

    /// How long a value of the body is fresh, instead of the cache's TTLs. Absence keeps the cache's `null_ttl`.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// When the cache can't take part, the function returns that error and the body does not run.
    #[must_use]
    pub fn propagate(self) -> Read<Propagate> {
        Read { allow_stale: self.allow_stale, cache_none: self.cache_none, ttl: self.ttl, on_error: Propagate }
    }
}

/// Options of [`cache_put`](super::cache_put), [`cache_evict`](super::cache_evict) and
/// [`cache_evict_batch`](super::cache_evict_batch).
#[derive(Clone, Copy, Debug)]
pub struct Write<P = Ignore> {
    ttl: Option<Duration>,
    pub(super) on_error: P,
}

impl Write {
    /// The cache's TTLs, errors of the cache logged and ignored.
    #[must_use]
    pub const fn new() -> Self {
        Self { ttl: None, on_error: Ignore }
    }
}

impl Default for Write {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Write<P> {
    /// How long the value is fresh, instead of the cache's TTLs.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// When the cache did not confirm the write, the function returns that error, although its body was `Ok`.
    #[must_use]
    pub fn propagate(self) -> Write<Propagate> {
        Write { ttl: self.ttl, on_error: Propagate }
    }

    pub(super) fn options(&self) -> WriteOptions {
        self.ttl.map_or_else(WriteOptions::new, |ttl| WriteOptions::new().ttl(ttl))
    }
}

/// What becomes of an error of the cache in a function that returns `R`.
pub trait OnCacheError<R> {
    /// `Some`: what the function returns. `name`: of the macro; `op`: of the cache.
    fn outcome(&self, name: &'static str, op: &'static str, error: &CacheError) -> Option<R>;
    /// The same for the failure of a load that the caller waited for, which is not the cache's.
    fn failed(&self, error: &CacheError) -> Option<R>;
}

/// Errors of the cache are logged (target `accelerator::macros`, rarely while they go on), and the function does without.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignore;

/// Errors of the cache are the function's errors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Propagate;

impl<R> OnCacheError<R> for Ignore {
    fn outcome(&self, name: &'static str, op: &'static str, error: &CacheError) -> Option<R> {
        ignored::log(name, op, error);
        None
    }
    fn failed(&self, _: &CacheError) -> Option<R> {
        None
    }
}

impl<R: FromCacheError> OnCacheError<R> for Propagate {
    fn outcome(&self, _: &'static str, _: &'static str, error: &CacheError) -> Option<R> {
        Some(R::from_cache_error(error.clone()))
    }
    fn failed(&self, error: &CacheError) -> Option<R> {
        Some(R::from_cache_error(error.clone()))
    }
}
