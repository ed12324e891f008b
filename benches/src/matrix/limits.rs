//! Stores, codec and clock alone, doing what the rows ask of the cache.

use std::hint::black_box;
use std::time::{Duration, Instant};

use accelerator::testkit::MemoryL2;
use accelerator::{Codec, Entry, L2Store, Postcard, StoreResult};
use bytes::Bytes;

use crate::clock::coarse_ms;
use crate::matrix::clients::Client;
use crate::matrix::stores::unique_area;
use crate::matrix::subject::{keys_of, remote_turn};
use crate::matrix::{CAPACITY, CHUNK, Payload, READS, Servers, WARM, make};
use crate::rows::{BATCH, Limit};

const TTL: Duration = Duration::from_secs(3600);
const FRESH: u64 = 1 << 40;

/// A limit that can be run; a store has warm keys.
pub struct Raw {
    alone: Alone,
    at: u64,
}

enum Alone {
    Store { store: Store, batch: bool, insert: bool },
    Encode(Payload),
    Decode(Bytes),
    Clock,
}

// Holding what ours hold, and set up alike: moka drops each entry at the end of its own life, the others know of none.
enum Store {
    Moka(moka::sync::Cache<u64, Entry<Payload>, foldhash::fast::RandomState>),
    MiniMoka(mini_moka::sync::Cache<u64, Entry<Payload>, foldhash::fast::RandomState>),
    Quick(quick_cache::sync::Cache<u64, Entry<Payload>, quick_cache::UnitWeighter, foldhash::fast::RandomState>),
    Memory(MemoryL2),
    Remote(Client, String),
}

/// How moka learns an entry's own life.
struct OwnLife;

impl<K, V> moka::Expiry<K, Entry<V>> for OwnLife {
    fn expire_after_create(&self, _: &K, entry: &Entry<V>, _: Instant) -> Option<Duration> {
        Some(entry.life())
    }

    fn expire_after_update(&self, _: &K, entry: &Entry<V>, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.life())
    }
}

fn hasher() -> foldhash::fast::RandomState {
    foldhash::fast::RandomState::default()
}

fn entry(value: Payload) -> Entry<Payload> {
    Entry::new(Some(value), 0, 3_600_000, 3_600_000, 1)
}

fn name(key: u64) -> String {
    format!("bench.{key}")
}

fn remote_name(area: &str, key: u64) -> String {
    format!("{area}.{key}")
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
    async fn new(name: &str, servers: &Servers) -> Self {
        match name {
            "moka" => Self::Moka(
                moka::sync::Cache::builder().max_capacity(CAPACITY).expire_after(OwnLife).build_with_hasher(hasher()),
            ),
            "mini-moka" => {
                Self::MiniMoka(mini_moka::sync::Cache::builder().max_capacity(CAPACITY).build_with_hasher(hasher()))
            }
            "quick-cache" => Self::Quick(quick_cache::sync::Cache::with(
                usize::try_from(CAPACITY).unwrap_or(usize::MAX),
                CAPACITY,
                quick_cache::UnitWeighter,
                hasher(),
                quick_cache::sync::DefaultLifecycle::default(),
            )),
            "memory" => Self::Memory(MemoryL2::new()),
            remote => Self::Remote(Client::connect(remote, servers).await, unique_area()),
        }
    }

    async fn get(&self, key: u64) -> Option<Payload> {
        match self {
            Self::Moka(store) => store.get(&key).and_then(Entry::into_value),
            Self::MiniMoka(store) => store.get(&key).and_then(Entry::into_value),
            Self::Quick(store) => store.get(&key).and_then(Entry::into_value),
            Self::Memory(store) => {
                let bytes = store.get(&name(key)).await.expect("a store in memory answers");
                bytes.as_ref().map(decoded)
            }
            Self::Remote(client, area) => client.get(&remote_name(area, key)).await.as_ref().map(decoded),
        }
    }

    async fn insert(&self, key: u64, value: Payload) {
        match self {
            Self::Moka(store) => store.insert(key, entry(value)),
            Self::MiniMoka(store) => store.insert(key, entry(value)),
            Self::Quick(store) => store.insert(key, entry(value)),
            Self::Memory(store) => {
                store.set(&name(key), encoded(&value), TTL).await.expect("a store in memory takes everything");
            }
            Self::Remote(client, area) => client.set(&remote_name(area, key), encoded(&value)).await,
        }
    }
}

impl Raw {
    /// What `limit` names; a store is as full as a row's.
    pub async fn new(limit: Limit, servers: &Servers) -> Self {
        let alone = match (limit.of, limit.operation) {
            ("clock", _) => Alone::Clock,
            ("codec", "encode") => Alone::Encode(make(7)),
            ("codec", _) => Alone::Decode(encoded(&make(7))),
            (of, operation) => {
                let insert = matches!(operation, "insert" | "insert32" | "set" | "set32");
                let store = Store::new(of, servers).await;
                let is_l1 = !matches!(store, Store::Memory(_) | Store::Remote(..));
                let keys = if insert && is_l1 { 2 * CAPACITY } else { WARM };
                for key in 0..keys {
                    store.insert(key, make(key)).await;
                }
                Alone::Store { store, batch: operation.ends_with("32"), insert }
            }
        };
        Self { alone, at: 0 }
    }

    /// See [`Subject::chunk`](super::Subject::chunk).
    #[must_use]
    pub fn chunk(&self) -> u64 {
        match &self.alone {
            Alone::Store { store: Store::Remote(..), batch, .. } => remote_turn(*batch),
            Alone::Store { insert: true, batch, .. } | Alone::Store { store: Store::Memory(_), batch, .. } => {
                keys_of(CHUNK, *batch)
            }
            Alone::Store { batch, .. } => keys_of(READS, *batch),
            _ => READS,
        }
    }

    /// See [`Subject::prepare`](super::Subject::prepare).
    pub fn prepare(&self) {
        if let Alone::Store { store: Store::Memory(store), insert: true, .. } = &self.alone {
            store.wipe();
        }
    }

    /// So many operations, one after another.
    pub async fn run(&mut self, count: u64) {
        let from = self.at;
        self.at += count;
        let range = from..from + count;
        match &self.alone {
            Alone::Encode(value) => range.for_each(|_| drop(black_box(encoded(black_box(value))))),
            Alone::Decode(bytes) => range.for_each(|_| drop(black_box(decoded(black_box(bytes))))),
            Alone::Clock => range.for_each(|_| {
                black_box(coarse_ms());
            }),
            Alone::Store { store, batch: false, insert: false } => {
                for i in range {
                    drop(black_box(store.get(black_box(i % WARM)).await));
                }
            }
            Alone::Store { store, batch: false, insert: true } => {
                for i in range {
                    drop(black_box(store.load(black_box(FRESH + i)).await));
                }
            }
            Alone::Store { store, batch: true, insert: false } => {
                for i in range {
                    drop(black_box(store.get_many(black_box(i)).await));
                }
            }
            Alone::Store { store, batch: true, insert: true } => {
                for i in range {
                    drop(black_box(store.load_many(black_box(i)).await));
                }
            }
        }
    }
}

impl Store {
    async fn load(&self, key: u64) -> Option<Payload> {
        if let Some(value) = self.get(key).await {
            return Some(value);
        }
        let value = make(key);
        self.insert(key, value.clone()).await;
        Some(value)
    }

    async fn get_many(&self, i: u64) -> Vec<(u64, Option<Payload>)> {
        let keys = (0..BATCH).map(|at| (i * BATCH + at) % WARM);
        match self {
            Self::Memory(store) => return ask_many(store, keys.collect()).await,
            Self::Remote(client, area) => return ask_client(client, area, keys.collect()).await,
            _ => {}
        }
        let mut out = Vec::with_capacity(BATCH as usize);
        for key in keys {
            out.push((key, self.get(key).await));
        }
        out
    }

    async fn load_many(&self, i: u64) -> Vec<(u64, Option<Payload>)> {
        let keys = (0..BATCH).map(|at| FRESH + i * BATCH + at);
        if let Self::Memory(store) = self {
            let mut out = ask_many(store, keys.collect()).await;
            out.iter_mut().for_each(|(key, value)| *value = Some(make(*key)));
            let names: Vec<String> = out.iter().map(|(key, _)| name(*key)).collect();
            let bytes = out.iter().flat_map(|(_, value)| value).map(encoded);
            let items = names.iter().zip(bytes).map(|(name, bytes)| (name.as_str(), bytes, TTL)).collect();
            black_box(store.mset(items).await);
            return out;
        }
        if let Self::Remote(client, area) = self {
            let mut out = ask_client(client, area, keys.collect()).await;
            out.iter_mut().for_each(|(key, value)| *value = Some(make(*key)));
            let item =
                |(key, value): &(u64, Option<Payload>)| Some((remote_name(area, *key), encoded(value.as_ref()?)));
            client.set_many(&out.iter().filter_map(item).collect::<Vec<_>>()).await;
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

async fn ask_client(client: &Client, area: &str, keys: Vec<u64>) -> Vec<(u64, Option<Payload>)> {
    let names: Vec<String> = keys.iter().map(|key| remote_name(area, *key)).collect();
    let found = client.get_many(&names).await;
    keys.into_iter().zip(found.iter().map(|bytes| bytes.as_ref().map(decoded))).collect()
}
