//! One service, written twice: by hand and with the macros.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use accelerator::macros::{cacheable, cacheable_batch};
use accelerator::{Begin, Cache, CacheError, Probe, Tickets};

use crate::matrix::{Payload, make};

/// The source's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the source failed")
    }
}

impl std::error::Error for Failed {}

/// A source of truth that is ready at once.
#[derive(Debug, Default)]
pub struct Source {
    loads: AtomicU64,
}

impl Source {
    /// How often it was asked.
    #[must_use]
    pub fn loads(&self) -> u64 {
        self.loads.load(Relaxed)
    }

    fn ask(&self) {
        // One thread asks; a locked add would be part of every miss.
        self.loads.store(self.loads.load(Relaxed) + 1, Relaxed);
    }

    async fn one(&self, id: u64) -> Result<Option<Payload>, Failed> {
        self.ask();
        Ok(Some(make(id)))
    }

    async fn many(&self, ids: &[u64]) -> Result<HashMap<u64, Option<Payload>>, Failed> {
        self.ask();
        Ok(ids.iter().map(|&id| (id, Some(make(id)))).collect())
    }
}

/// The service on any pair.
pub struct Service {
    cache: Arc<dyn Cache<u64, Payload>>,
    /// Where values come from.
    pub source: Source,
}

impl Service {
    /// A service on `cache`.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache<u64, Payload>>) -> Self {
        Self { cache, source: Source::default() }
    }

    /// One value, by macro.
    ///
    /// # Errors
    /// The source's.
    #[cacheable(cache = self.cache, key = id)]
    pub async fn get(&self, id: u64) -> Result<Option<Payload>, Failed> {
        self.source.one(id).await
    }

    /// Many values, by macro.
    ///
    /// # Errors
    /// The source's.
    #[cacheable_batch(cache = self.cache, keys = ids)]
    pub async fn get_many(&self, ids: &[u64]) -> Result<HashMap<u64, Option<Payload>>, Failed> {
        self.source.many(ids).await
    }

    /// One value, by hand: known absence is an answer, one caller loads, its failure reaches those who wait.
    ///
    /// # Errors
    /// The source's.
    pub async fn get_by_hand(&self, id: u64) -> Result<Option<Payload>, Failed> {
        let begun = match self.cache.hit_or_begin(&id) {
            Probe::Hit(hit) => return Ok(hit),
            Probe::Begin(begin) => begin.await,
        };
        match begun {
            Begin::Hit(value) => Ok(value),
            Begin::Lead(ticket) => match self.source.one(id).await {
                Ok(value) => {
                    ticket.fill(value.clone());
                    Ok(value)
                }
                Err(error) => {
                    let stale = ticket.stale();
                    ticket.fail(CacheError::loader(error));
                    stale.ok_or(error)
                }
            },
            Begin::Failed(failed) => match failed.error().downcast_ref::<Failed>() {
                Some(error) => Err(*error),
                None => self.source.one(id).await,
            },
            // The cache can't take part.
            _ => self.source.one(id).await,
        }
    }

    /// Many values, by hand: one call of the source for all that nobody else is loading.
    ///
    /// # Errors
    /// The source's.
    pub async fn get_many_by_hand(&self, ids: &[u64]) -> Result<HashMap<u64, Option<Payload>>, Failed> {
        let batch = self.cache.begin_many(ids).await;
        let mut found = HashMap::with_capacity(ids.len());
        found.extend(batch.hits.into_iter().map(|(i, value)| (ids[i], value)));
        if !batch.led.is_empty() {
            let missing: Vec<u64> = batch.led.iter().map(|(i, _)| ids[*i]).collect();
            let mut loaded = self.source.many(&missing).await?;
            for ((_, ticket), id) in batch.led.into_iter().zip(missing) {
                if let Some(value) = loaded.remove(&id) {
                    ticket.fill(value.clone());
                    found.insert(id, value);
                }
            }
        }
        for (i, waits) in batch.followed {
            let value = match waits.await {
                Begin::Hit(value) => value,
                _ => self.source.one(ids[i]).await?,
            };
            found.insert(ids[i], value);
        }
        Ok(found)
    }
}
