//! The macros' parameters: their names, and what happens without them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use accelerator::macros::{cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};
use accelerator::stores::MokaL1;
use accelerator::{CacheError, CacheResult, Clock, ErrorKind, LevelCache, Lookup};

/// Of each macro the parameters with their defaults; a required one has none, and what is not given is "".
const PUBLISHED: [(&str, &[(&str, &str)]); 5] = [
    (
        "cacheable",
        &[
            ("cache", "required"),
            ("key", "required"),
            ("allow_stale", "`true`"),
            ("cache_none", "`true`"),
            ("on_cache_error", "`\"ignore\"`"),
            ("ttl", "the cache's"),
            ("condition", ""),
            ("crate", "found"),
        ],
    ),
    (
        "cacheable_batch",
        &[
            ("cache", "required"),
            ("keys", "required"),
            ("allow_stale", "`true`"),
            ("cache_none", "`true`"),
            ("on_cache_error", "`\"ignore\"`"),
            ("ttl", "the cache's"),
            ("condition", ""),
            ("crate", "found"),
        ],
    ),
    (
        "cache_put",
        &[
            ("cache", "required"),
            ("key", "required"),
            ("value", "required"),
            ("on_cache_error", "`\"ignore\"`"),
            ("ttl", "the cache's"),
            ("condition", ""),
            ("crate", "found"),
        ],
    ),
    (
        "cache_evict",
        &[
            ("cache", "required"),
            ("key", "required"),
            ("before", "`false`"),
            ("on_cache_error", "`\"ignore\"`"),
            ("condition", ""),
            ("crate", "found"),
        ],
    ),
    (
        "cache_evict_batch",
        &[
            ("cache", "required"),
            ("keys", "required"),
            ("before", "`false`"),
            ("on_cache_error", "`\"ignore\"`"),
            ("condition", ""),
            ("crate", "found"),
        ],
    ),
];

/// The table of parameters in the docs of a macro. A row "as for" another macro has the defaults of that one.
fn documented(name: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("accelerator-macros/docs/{name}.md"));
    let text = fs::read_to_string(&path).expect("the docs of a macro");
    let mut rows = BTreeMap::new();
    for row in text.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|l| l.starts_with('|')) {
        let cells: Vec<_> = row.trim_matches('|').splitn(3, '|').map(str::trim).collect();
        let [names, default, meaning] = <[&str; 3]>::try_from(cells).expect("three cells");
        let other = meaning.strip_prefix("as for [`").and_then(|rest| rest.split('`').next()).map(documented);
        for parameter in names.split(", ").map(|parameter| parameter.trim_matches('`')) {
            let inherited = other.as_ref().and_then(|other| other.get(parameter)).filter(|_| default.is_empty());
            rows.insert(parameter.to_owned(), inherited.cloned().unwrap_or_else(|| default.to_owned()));
        }
    }
    rows
}

#[test]
fn published_parameters_keep_their_names_and_defaults() {
    for (name, parameters) in PUBLISHED {
        let documented = documented(name);
        for (parameter, default) in parameters {
            let now = documented.get(*parameter).map(String::as_str);
            assert_eq!(now, Some(*default), "`{parameter}` of {name}");
        }
        for (parameter, default) in &documented {
            assert_ne!((default.as_str(), is_published(parameters, parameter)), ("required", false), "`{parameter}`");
            assert!(is_published(parameters, parameter), "`{parameter}` of {name} is new: add it here");
        }
    }
}

fn is_published(parameters: &[(&str, &str)], parameter: &str) -> bool {
    parameters.iter().any(|(published, _)| *published == parameter)
}

/// Time that the test moves.
#[derive(Clone, Default)]
struct Now(Arc<AtomicU64>);

impl Clock for Now {
    fn monotonic_ms(&self) -> u64 {
        self.0.load(SeqCst)
    }
    fn unix_ms(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

const TTL: Duration = Duration::from_secs(60);

/// A service whose source fails on command, and has an even key only.
struct Service {
    cache: LevelCache<u64, u64, MokaL1<u64, u64>>,
    now: Now,
    runs: AtomicUsize,
    away: AtomicBool,
}

impl Service {
    fn new() -> Self {
        let now = Now::default();
        let builder = LevelCache::<u64, u64>::builder().area("a").l1(MokaL1::new(100)).ttl(TTL).clock(now.clone());
        let cache = builder.stale_on_error(10 * TTL).build().expect("a good configuration");
        Self { cache, now, runs: AtomicUsize::new(0), away: AtomicBool::new(false) }
    }

    fn source<T>(&self, value: T) -> CacheResult<T> {
        self.runs.fetch_add(1, SeqCst);
        if self.away.load(SeqCst) { Err(CacheError::loader(std::io::Error::other("away"))) } else { Ok(value) }
    }

    fn later(&self, by: Duration) {
        self.now.0.fetch_add(u64::try_from(by.as_millis()).expect("a short time"), SeqCst);
    }
}

fn even(id: u64) -> Option<u64> {
    id.is_multiple_of(2).then_some(id)
}

trait Users {
    fn service(&self) -> &Service;
    async fn read(&self, id: u64) -> CacheResult<Option<u64>>;
    async fn read_many(&self, ids: Vec<u64>) -> CacheResult<HashMap<u64, Option<u64>>>;
    async fn put(&self, id: u64) -> CacheResult<()>;
    async fn evict(&self, id: u64) -> CacheResult<()>;
    async fn evict_many(&self, ids: Vec<u64>) -> CacheResult<()>;
}

/// Nothing but what is required.
struct Bare(Service);

/// Every default as its users would write it.
struct Spelled(Service);

impl Users for Bare {
    fn service(&self) -> &Service {
        &self.0
    }

    #[cacheable(cache = self.0.cache, key = id)]
    async fn read(&self, id: u64) -> CacheResult<Option<u64>> {
        self.0.source(even(id))
    }

    #[cacheable_batch(cache = self.0.cache, keys = ids)]
    async fn read_many(&self, ids: Vec<u64>) -> CacheResult<HashMap<u64, Option<u64>>> {
        self.0.source(ids.into_iter().map(|id| (id, even(id))).collect())
    }

    #[cache_put(cache = self.0.cache, key = id, value = 2 * id)]
    async fn put(&self, id: u64) -> CacheResult<()> {
        self.0.source(())
    }

    #[cache_evict(cache = self.0.cache, key = id)]
    async fn evict(&self, id: u64) -> CacheResult<()> {
        self.0.source(())
    }

    #[cache_evict_batch(cache = self.0.cache, keys = ids)]
    async fn evict_many(&self, ids: Vec<u64>) -> CacheResult<()> {
        self.0.source(())
    }
}

impl Users for Spelled {
    fn service(&self) -> &Service {
        &self.0
    }

    #[cacheable(cache = self.0.cache, key = id, allow_stale = true, cache_none = true, ttl = TTL, on_cache_error = "ignore", condition = true, crate = ::accelerator)]
    async fn read(&self, id: u64) -> CacheResult<Option<u64>> {
        self.0.source(even(id))
    }

    #[cacheable_batch(cache = self.0.cache, keys = ids, allow_stale = true, cache_none = true, ttl = TTL, on_cache_error = "ignore", condition = true, crate = ::accelerator)]
    async fn read_many(&self, ids: Vec<u64>) -> CacheResult<HashMap<u64, Option<u64>>> {
        self.0.source(ids.into_iter().map(|id| (id, even(id))).collect())
    }

    #[cache_put(cache = self.0.cache, key = id, value = 2 * id, ttl = TTL, on_cache_error = "ignore", condition = true, crate = ::accelerator)]
    async fn put(&self, id: u64) -> CacheResult<()> {
        self.0.source(())
    }

    #[cache_evict(cache = self.0.cache, key = id, before = false, on_cache_error = "ignore", condition = true, crate = ::accelerator)]
    async fn evict(&self, id: u64) -> CacheResult<()> {
        self.0.source(())
    }

    #[cache_evict_batch(cache = self.0.cache, keys = ids, before = false, on_cache_error = "ignore", condition = true, crate = ::accelerator)]
    async fn evict_many(&self, ids: Vec<u64>) -> CacheResult<()> {
        self.0.source(())
    }
}

/// What every default means.
async fn defaults<U: Users>(new: impl Fn(Service) -> U) {
    let users = new(Service::new());
    let Service { cache, runs, away, .. } = users.service();
    // `condition`: the cache is used. `cache_none`: an absent answer is one.
    for _ in 0..2 {
        assert_eq!(users.read(1).await.expect("no error"), None);
        assert_eq!(users.read(2).await.expect("no error"), Some(2));
        assert_eq!(users.read_many(vec![3, 4]).await.expect("no error"), HashMap::from([(3, None), (4, Some(4))]));
    }
    assert_eq!((runs.load(SeqCst), cache.try_get(&1)), (3, Lookup::Absent));
    users.put(1).await.expect("no error");
    assert_eq!(cache.try_get(&1), Lookup::Hit(2));

    // `before`: a body that fails evicts nothing. Nor does it put.
    away.store(true, SeqCst);
    assert!(users.evict(2).await.is_err() && users.evict_many(vec![4]).await.is_err() && users.put(2).await.is_err());
    assert_eq!((cache.try_get(&2), cache.try_get(&4)), (Lookup::Hit(2), Lookup::Hit(4)));

    // `ttl`: the cache's. `allow_stale`: as far as the cache goes.
    users.service().later(TTL - Duration::from_millis(1));
    assert_eq!((cache.try_get(&1), cache.try_get(&2)), (Lookup::Hit(2), Lookup::Hit(2)));
    users.service().later(Duration::from_millis(1));
    assert_eq!((cache.try_get(&1), cache.try_get(&2)), (Lookup::Miss, Lookup::Miss));
    assert_eq!(users.read(2).await.expect("no error"), Some(2));
    assert_eq!(users.read_many(vec![4]).await.expect("no error"), HashMap::from([(4, Some(4))]));
    away.store(false, SeqCst);
    users.evict(2).await.expect("no error");
    users.evict_many(vec![4]).await.expect("no error");
    away.store(true, SeqCst);
    assert!(users.read(2).await.is_err() && users.read_many(vec![4]).await.is_err());

    // `on_cache_error`: without its cache the function works.
    away.store(false, SeqCst);
    cache.shutdown(Duration::ZERO).await;
    assert_eq!(cache.del(&2).await.map_err(|e| e.kind()), Err(ErrorKind::Shutdown));
    let before = runs.load(SeqCst);
    assert_eq!(users.read(2).await.expect("no error"), Some(2));
    assert_eq!(users.read_many(vec![4]).await.expect("no error"), HashMap::from([(4, Some(4))]));
    users.put(2).await.expect("no error");
    users.evict(2).await.expect("no error");
    users.evict_many(vec![4]).await.expect("no error");
    assert_eq!(runs.load(SeqCst) - before, 5);
}

#[tokio::test]
async fn what_is_not_given_means_what_it_always_meant() {
    defaults(Bare).await;
}

#[tokio::test]
async fn a_default_may_be_spelled_out() {
    defaults(Spelled).await;
}
