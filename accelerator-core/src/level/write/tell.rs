//! Telling other nodes of a write, as the last thing before it is acknowledged.

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult};
use crate::level::bounds::{Key, Value};
use crate::level::bus::announce::Announcement;

/// Tells of a write that has `written` what it could, and waits for the bus.
pub(crate) async fn tell<K: Key, V: Value>(
    op: &str,
    written: CacheResult<()>,
    news: Option<Announcement<K, V>>,
) -> CacheResult<()> {
    match news {
        Some(news) => CacheError::of_write(op, written, news.tell().answer().await),
        None => written,
    }
}

/// The same for a write that was over at its call: told from now on, whether or not the future is polled.
pub(crate) fn told<K: Key, V: Value>(
    op: &'static str,
    written: CacheResult<()>,
    news: Option<Announcement<K, V>>,
) -> CacheFuture<'static, CacheResult<()>> {
    let Some(news) = news else { return CacheFuture::ready(written) };
    let told = news.tell();
    if !told.has_runtime() {
        return CacheFuture::ready(written.and(Err(CacheError::no_runtime(op))));
    }
    CacheFuture::boxed(async move { CacheError::of_write(op, written, told.answer().await) })
}
