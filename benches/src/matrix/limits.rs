//! The stores alone, doing what the rows ask of the cache.

use std::hint::black_box;
use std::time::Duration;

use accelerator::testkit::MemoryL2;
use accelerator::{Codec, Entry, L2Store, Postcard, StoreResult};
use bytes::Bytes;

use crate::matrix::{CAPACITY, CHUNK, Payload, WARM, make};
use crate::rows::{BATCH, Limit};

const TTL: Duration = Duration::from_secs(3600);
const FRESH: u64 = 1 << 40;

/// A store alone, with warm keys.
pub struct Raw {
    limit: Limit,
    store: Store,
    at: u64,
}

enum Store {
    Moka(moka::sync::Cache<u64, Payload>),
    MiniMoka(mini_moka::sync::Cache<u64, Payload>),
    Quick(quick_cache::sync::Cache<u64, Entry<Payload>, quick_cache::UnitWeighter, foldhash::fast::RandomState>),
    Memory(MemoryL2),
}

fn name(key: u64) -> String {
    format!("bench.{key}")
}

fn encoded(value: &Payload) -> Bytes {
    let mut out = Vec::with_capacity(64);
    Postcard.encode(value, &mut out).expect("numbers are encoded");
    out.into()
}

fn decoded(bytes: &Bytes) -> Payload {
    Postcard.decode(bytes).expect("what was encoded is decoded")
}

impl Store {
    fn new(name: &str) -> Self {
        match name {
            "moka" => Self::Moka(moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(TTL).build()),
            "mini-moka" => {
                Self::MiniMoka(mini_moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(TTL).build())
            }
            "quick-cache" => Self::Quick(quick_cache::sync::Cache::with(
                usize::try_from(CAPACITY).unwrap_or(usize::MAX),
                CAPACITY,
                quick_cache::UnitWeighter,
                foldhash::fast::RandomState::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            )),
            "memory" => Self::Memory(MemoryL2::new()),
            other => unreachable!("no store is called {other}"),
        }
    }

    async fn get(&self, key: u64) -> Option<Payload> {
        match self {
            Self::Moka(store) => store.get(&key),
            Self::MiniMoka(store) => store.get(&key),
            Self::Quick(store) => store.get(&key).and_then(Entry::into_value),
            Self::Memory(store) => {
                let bytes = store.get(&name(key)).await.expect("a store in memory answers");
                bytes.as_ref().map(decoded)
            }
        }
    }

    async fn insert(&self, key: u64, value: Payload) {
        match self {
            Self::Moka(store) => store.insert(key, value),
            Self::MiniMoka(store) => store.insert(key, value),
            Self::Quick(store) => store.insert(key, Entry::new(Some(value), 0, 3_600_000, 3_600_000, 1)),
            Self::Memory(store) => {
                store.set(&name(key), encoded(&value), TTL).await.expect("a store in memory takes everything");
            }
        }
    }
}

impl Raw {
    /// The store of `limit`, as full as a row's.
    pub async fn new(limit: Limit) -> Self {
        let store = Store::new(limit.store);
        let keys = if limit.insert { 2 * CAPACITY } else { WARM };
        for key in 0..keys {
            store.insert(key, make(key)).await;
        }
        Self { limit, store, at: 0 }
    }

    /// Operations of one [`run`](Self::run).
    #[must_use]
    pub fn chunk(&self) -> u64 {
        if self.limit.batch { CHUNK / BATCH } else { CHUNK }
    }

    /// See [`Subject::prepare`](super::Subject::prepare).
    pub fn prepare(&self) {
        if let (Store::Memory(store), true) = (&self.store, self.limit.insert) {
            store.wipe();
        }
    }

    /// So many operations, one after another.
    pub async fn run(&mut self, count: u64) {
        let from = self.at;
        self.at += count;
        for i in from..from + count {
            match (self.limit.batch, self.limit.insert) {
                (false, false) => drop(black_box(self.store.get(black_box(i % WARM)).await)),
                (false, true) => drop(black_box(self.load(black_box(FRESH + i)).await)),
                (true, false) => drop(black_box(self.get_many(black_box(i)).await)),
                (true, true) => drop(black_box(self.load_many(black_box(i)).await)),
            }
        }
    }

    async fn load(&self, key: u64) -> Option<Payload> {
        if let Some(value) = self.store.get(key).await {
            return Some(value);
        }
        let value = make(key);
        self.store.insert(key, value.clone()).await;
        Some(value)
    }

    async fn get_many(&self, i: u64) -> Vec<(u64, Option<Payload>)> {
        let keys = (0..BATCH).map(|at| (i * BATCH + at) % WARM);
        if let Store::Memory(store) = &self.store {
            return ask_many(store, keys.collect()).await;
        }
        let mut out = Vec::with_capacity(BATCH as usize);
        for key in keys {
            out.push((key, self.store.get(key).await));
        }
        out
    }

    async fn load_many(&self, i: u64) -> Vec<(u64, Option<Payload>)> {
        let keys = (0..BATCH).map(|at| FRESH + i * BATCH + at);
        if let Store::Memory(store) = &self.store {
            let mut out = ask_many(store, keys.collect()).await;
            out.iter_mut().for_each(|(key, value)| *value = Some(make(*key)));
            let names: Vec<String> = out.iter().map(|(key, _)| name(*key)).collect();
            let bytes = out.iter().flat_map(|(_, value)| value).map(encoded);
            let items = names.iter().zip(bytes).map(|(name, bytes)| (name.as_str(), bytes, TTL)).collect();
            black_box(store.mset(items).await);
            return out;
        }
        let mut out = Vec::with_capacity(BATCH as usize);
        for key in keys {
            out.push((key, self.load(key).await));
        }
        out
    }
}

async fn ask_many(store: &MemoryL2, keys: Vec<u64>) -> Vec<(u64, Option<Payload>)> {
    let names: Vec<String> = keys.iter().copied().map(name).collect();
    let found = store.mget(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let value = |found: StoreResult<Option<Bytes>>| found.expect("a store in memory answers").as_ref().map(decoded);
    keys.into_iter().zip(found.into_iter().map(value)).collect()
}
