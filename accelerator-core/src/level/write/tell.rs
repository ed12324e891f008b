//! Telling other nodes of a write, as the last thing before it is acknowledged: behind the write itself, in one round trip
//! with it, where L2 carries the bus, nothing else is on its way, and all of the write is sent at once; else after it.

use std::time::Duration;

use crate::cache::CacheFuture;
use crate::error::{CacheError, CacheResult, StoreResult};
use crate::level::bounds::{Key, Value};
use crate::level::bus::announce::{Announcement, Attached};

/// What a write has to tell, and what became of it.
pub(crate) enum Telling<K: Key, V: Value> {
    /// There is no bus.
    Nobody,
    /// Nothing is told yet.
    After(Announcement<K, V>),
    /// With the write.
    Told(StoreResult<()>),
}

impl<K: Key, V: Value> Telling<K, V> {
    pub(crate) fn of(news: Option<Announcement<K, V>>) -> Self {
        news.map_or(Self::Nobody, Self::After)
    }

    /// The message that goes behind the write, which takes `limit` at most.
    pub(crate) fn attach(&mut self, limit: Duration) -> Option<Attached<K, V>> {
        match self {
            Self::After(news) => news.attach(limit),
            Self::Nobody | Self::Told(_) => None,
        }
    }

    /// The write has ended.
    pub(crate) fn told(&mut self, attached: Option<Attached<K, V>>) {
        if let Some(attached) = attached {
            *self = Self::Told(attached.ended());
        }
    }

    /// Tells of a write that has `written` what it could, if that has not happened, and waits for the bus.
    pub(crate) async fn tell(self, op: &str, written: CacheResult<()>) -> CacheResult<()> {
        match self {
            Self::Nobody => written,
            Self::After(news) => CacheError::of_write(op, written, news.tell().answer().await),
            Self::Told(published) => CacheError::of_write(op, written, published),
        }
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
