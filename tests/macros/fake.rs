//! A cache as a test of a service would write one: a map, and tickets of no flight.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use accelerator::{Begin, Cache, CacheError, CacheFuture, CacheResult, ErrorKind, LoadTicket, Tickets, WriteOptions};

use crate::common::{User, lock};

type Map = HashMap<u64, Option<Arc<User>>>;

/// Knows what was set. What a body finds it forgets: its tickets have no flight.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<(Mutex<Map>, AtomicBool)>);

impl Fake {
    pub(crate) fn stop(&self) {
        self.0.1.store(true, SeqCst);
    }

    fn ask<T>(&self, then: impl FnOnce(&mut Map) -> T) -> CacheResult<T> {
        let up = !self.0.1.load(SeqCst);
        up.then(|| then(&mut lock(&self.0.0)))
            .ok_or_else(|| CacheError::new(ErrorKind::Shutdown, "the fake is stopped"))
    }
}

impl Tickets<u64, Arc<User>> for Fake {
    fn begin<'a>(&'a self, key: &'a u64) -> CacheFuture<'a, Begin<Arc<User>>> {
        CacheFuture::ready(match self.ask(|map| map.get(key).cloned()) {
            Ok(Some(value)) => Begin::Hit(value),
            Ok(None) => Begin::Lead(LoadTicket::detached()),
            Err(error) => Begin::Unavailable(error),
        })
    }
}

impl Cache<u64, Arc<User>> for Fake {
    fn set_with<'a>(
        &'a self,
        key: &'a u64,
        to: Option<Arc<User>>,
        _: WriteOptions,
    ) -> CacheFuture<'a, CacheResult<()>> {
        CacheFuture::ready(self.ask(|map| drop(map.insert(*key, to))))
    }
    fn del<'a>(&'a self, key: &'a u64) -> CacheFuture<'a, CacheResult<()>> {
        CacheFuture::ready(self.ask(|map| drop(map.remove(key))))
    }
    fn clear(&self) -> CacheFuture<'_, CacheResult<()>> {
        CacheFuture::ready(self.ask(Map::clear))
    }
}
