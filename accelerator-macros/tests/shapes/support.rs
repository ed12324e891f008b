//! Caches, a counter of bodies, and errors.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use accelerator::stores::MokaL1;
use accelerator::{Cache, CacheError, LevelCache};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: u64,
    pub name: String,
}

impl User {
    pub fn new(id: u64) -> Self {
        Self { id, name: format!("user {id}") }
    }
}

pub type Value = Arc<User>;
pub type Dyn = Arc<dyn Cache<u64, Value>>;

/// Not `Clone`, no `Error`, not made of a `CacheError`.
#[derive(Debug, PartialEq)]
pub struct Plain(pub &'static str);

/// Made of a `CacheError`.
#[derive(Debug)]
pub struct Wide;

impl From<CacheError> for Wide {
    fn from(_: CacheError) -> Self {
        Self
    }
}

pub type Found<T = Value> = Result<Option<T>, Plain>;

pub type Level = LevelCache<u64, Value, MokaL1<u64, Value>>;

pub fn level() -> Level {
    LevelCache::builder()
        .area("shapes")
        .l1(MokaL1::new(1_000))
        .ttl(Duration::from_secs(60))
        .build()
        .expect("a valid configuration")
}

pub fn dynamic() -> Dyn {
    Arc::new(level())
}

/// How many bodies ran.
#[derive(Clone, Debug, Default)]
pub struct Runs(Arc<AtomicUsize>);

impl Runs {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub fn user(&self, id: u64) -> Value {
        self.add();
        Arc::new(User::new(id))
    }

    #[track_caller]
    pub fn are(&self, expected: usize) {
        assert_eq!(self.0.load(Ordering::SeqCst), expected, "bodies");
    }
}

pub fn send<T, F: Future<Output = T> + Send>(future: F) -> F {
    future
}
