//! Cached writes: the body first, then the cache, only where the body was `Ok`.

use std::borrow::Borrow;

use crate::cache::Cache;
use crate::memoize::options::{OnCacheError, Write};
use crate::memoize::returned::Done;

/// A copy, so that the original stays with the body.
pub fn owned<T: Clone>(value: &T) -> T {
    value.clone()
}

/// Passes `out` on. Where it is `Ok`, `what` says which key gets which value (`None` of it: leave the cache alone).
///
/// # Cancel safety
/// The write happens when this is first polled with an `Ok`; dropping it later does not stop it.
pub async fn cache_put<K, V, C, R, Q, W, P>(
    cache: &C,
    out: R,
    write: Write<P>,
    what: impl FnOnce(&R::Ok) -> Option<(Q, W)>,
) -> R
where
    K: Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    R: Done,
    Q: Borrow<K>,
    W: Into<Option<V>>,
    P: OnCacheError<R>,
{
    let Some((key, value)) = out.ok().and_then(what) else { return out };
    let done = cache.set_with(key.borrow(), value.into(), write.options()).await;
    match done.err().and_then(|error| write.on_error.outcome("cache_put", "set", &error)) {
        Some(error) => error,
        None => out,
    }
}

/// Passes `out` on. Where it is `Ok`, `what` says which key is invalidated (`None`: none).
///
/// # Cancel safety
/// As [`cache_put`].
pub async fn cache_evict<K, V, C, R, Q, P>(
    cache: &C,
    out: R,
    write: Write<P>,
    what: impl FnOnce(&R::Ok) -> Option<Q>,
) -> R
where
    K: Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    R: Done,
    Q: Borrow<K>,
    P: OnCacheError<R>,
{
    let Some(key) = out.ok().and_then(what) else { return out };
    let done = cache.del(key.borrow()).await;
    match done.err().and_then(|error| write.on_error.outcome("cache_evict", "del", &error)) {
        Some(error) => error,
        None => out,
    }
}

/// Passes `out` on. Where it is `Ok`, `what` says which keys are invalidated (`None`: none).
///
/// # Cancel safety
/// As [`cache_put`].
pub async fn cache_evict_batch<K, V, C, R, Q, P>(
    cache: &C,
    out: R,
    write: Write<P>,
    what: impl FnOnce(&R::Ok) -> Option<Q>,
) -> R
where
    K: Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    R: Done,
    Q: AsRef<[K]>,
    P: OnCacheError<R>,
{
    let Some(keys) = out.ok().and_then(what) else { return out };
    match evict_batch_first(cache, &keys, write).await {
        Some(error) => error,
        None => out,
    }
}

/// Invalidates before the body runs. `Some`: the cache did not confirm, and the error is to be propagated; the body
/// must not run then.
///
/// # Cancel safety
/// The invalidation happens when this is first polled; dropping it later does not stop it.
pub async fn evict_first<K, V, C, R, Q, P>(cache: &C, key: &Q, write: Write<P>) -> Option<R>
where
    K: Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    Q: Borrow<K>,
    P: OnCacheError<R>,
{
    let error = cache.del(key.borrow()).await.err()?;
    write.on_error.outcome("cache_evict", "del", &error)
}

/// [`evict_first`] for many keys.
///
/// # Cancel safety
/// As `evict_first`.
pub async fn evict_batch_first<K, V, C, R, Q, P>(cache: &C, keys: &Q, write: Write<P>) -> Option<R>
where
    K: Sync + 'static,
    V: Send + 'static,
    C: Cache<K, V> + ?Sized,
    Q: AsRef<[K]> + ?Sized,
    P: OnCacheError<R>,
{
    let keys = keys.as_ref();
    if keys.is_empty() {
        return None;
    }
    let error = cache.mdel(keys).await.err()?;
    write.on_error.outcome("cache_evict_batch", "mdel", &error)
}
