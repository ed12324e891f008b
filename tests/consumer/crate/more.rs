/// Every argument, and every kind of function.
pub mod more {
    use std::collections::{BTreeMap, HashMap};
    use std::hash::Hash;
    use std::sync::{Arc, LazyLock};
    use std::time::Duration;

    use accelerator::macros::{cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};
    use accelerator::stores::MokaL1;
    use accelerator::{Cache, CacheError, CacheKey, LevelCache, async_trait};

    /// Not `Clone`.
    #[derive(Debug)]
    pub enum Failed {
        /// The source's.
        Source(std::io::Error),
        /// The cache's.
        Cache(CacheError),
    }

    impl From<CacheError> for Failed {
        fn from(error: CacheError) -> Self {
            Self::Cache(error)
        }
    }

    type Names = LevelCache<u64, String, MokaL1<u64, String>>;
    type Answer<T> = Result<T, Failed>;

    static SHARED: LazyLock<Arc<dyn Cache<u64, String>>> = LazyLock::new(|| {
        let cache = LevelCache::builder().area("name").l1(MokaL1::new(10)).ttl(Duration::from_secs(1)).build();
        Arc::new(cache.expect("a cache"))
    });

    async fn query(id: u64) -> Result<String, std::io::Error> {
        std::future::ready(Ok(id.to_string())).await
    }

    /// All of a read.
    ///
    /// # Errors
    /// The source's.
    #[cacheable(
        cache = *SHARED,
        key = id,
        allow_stale = false,
        cache_none = false,
        on_cache_error = "propagate",
        ttl = Duration::from_secs(id),
        condition = id > 3
    )]
    pub async fn read(id: u64) -> Answer<Option<String>> {
        if id == 4 {
            return Ok(None);
        }
        let name = query(id).await.map_err(Failed::Source)?;
        Ok(Some(name))
    }

    /// Always there.
    #[cacheable(cache = names, key = *id)]
    pub async fn always(names: &Names, id: &u64) -> String {
        query(*id).await.unwrap_or_default()
    }

    /// All of a batch.
    ///
    /// # Errors
    /// The source's.
    #[cacheable_batch(
        cache = names,
        keys = ids,
        allow_stale = true,
        cache_none = true,
        on_cache_error = "ignore",
        ttl = Duration::from_secs(1),
        condition = !ids.is_empty()
    )]
    pub async fn read_many(names: &Names, ids: &[u64]) -> Answer<BTreeMap<u64, Option<String>>> {
        let mut found = BTreeMap::new();
        for id in ids {
            found.insert(*id, Some(query(*id).await.map_err(Failed::Source)?));
        }
        Ok(found)
    }

    /// What is asked for.
    pub struct Request {
        /// Whom.
        pub ids: Vec<u64>,
        /// How.
        pub upper: bool,
    }

    /// Keys in a field.
    #[cacheable_batch(cache = names, keys = request.ids)]
    pub async fn read_request(names: &Names, request: Request) -> HashMap<u64, Option<String>> {
        let mut found = HashMap::new();
        for id in request.ids {
            let name = query(id).await.ok();
            found.insert(id, name.map(|name| if request.upper { name.to_uppercase() } else { name }));
        }
        found
    }

    /// All of a put.
    ///
    /// # Errors
    /// The source's.
    #[cache_put(
        cache = names,
        key = result.0,
        value = result.1.clone(),
        on_cache_error = "propagate",
        ttl = Duration::from_secs(1),
        condition = result.0 > 3
    )]
    pub async fn add(names: &Names, name: &str) -> Answer<(u64, String)> {
        query(name.len() as u64).await.map_err(Failed::Source)?;
        Ok((4, name.to_owned()))
    }

    /// Nothing to return.
    #[cache_evict(cache = SHARED, key = id, before = true, condition = id > 3)]
    pub async fn forget(id: u64) {
        drop(query(id).await);
    }

    /// All of an evict.
    ///
    /// # Errors
    /// The source's.
    #[cache_evict_batch(cache = names, keys = [first, second], on_cache_error = "propagate", condition = *result)]
    pub async fn remove(names: &Names, first: u64, second: u64) -> Answer<bool> {
        query(first + second).await.map_err(Failed::Source)?;
        Ok(true)
    }

    /// A key of several parts.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
    pub struct Page {
        /// Whose.
        pub tenant: u64,
        /// Where.
        pub path: String,
    }

    /// A key of several kinds.
    #[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
    pub enum Query<T> {
        /// One.
        All,
        /// Another.
        One(T),
        /// A third.
        Page {
            /// Which.
            page: Page,
            /// How much.
            limit: u32,
        },
    }

    /// A read by a type of one's own.
    ///
    /// # Errors
    /// None.
    #[cacheable(cache = pages, key = Page { tenant, path })]
    pub async fn page(pages: &dyn Cache<Page, String>, tenant: u64, path: String) -> Answer<Option<String>> {
        query(tenant).await.map_err(Failed::Source)?;
        Ok(Some(path))
    }

    /// A service over anything.
    pub struct Generic<'a, K: Sync + 'static, C> {
        /// Its cache.
        pub cache: &'a C,
        /// What it has.
        pub known: Vec<K>,
    }

    impl<K: Hash + Eq + Clone + Send + Sync + 'static, C: Cache<K, String>> Generic<'_, K, C> {
        /// A read of anything.
        #[cacheable(cache = self.cache, key = key)]
        pub async fn read(&self, key: &K) -> Option<String> {
            query(1).await.ok().filter(|_| self.known.contains(key))
        }

        /// A write that changes `self`.
        ///
        /// # Errors
        /// None.
        #[cache_put(cache = self.cache, key = key, value = Some(format!("{}", text.len())))]
        pub async fn write(&mut self, key: K, text: String) -> Answer<()> {
            query(1).await.map_err(Failed::Source)?;
            self.known.push(key);
            drop(text);
            Ok(())
        }

        /// A write that takes `self` away.
        ///
        /// # Errors
        /// None.
        #[cache_evict(cache = self.cache, key = key)]
        pub async fn end(self, key: impl Into<K> + Clone + std::borrow::Borrow<K>) -> Answer<usize> {
            query(1).await.map_err(Failed::Source)?;
            Ok(self.known.len())
        }
    }

    /// Reads, behind a trait object.
    #[async_trait]
    pub trait Reads {
        /// A read.
        async fn read(&self, id: u64) -> Answer<Option<String>>;
        /// Many.
        async fn read_many(&self, ids: Vec<u64>) -> Answer<HashMap<u64, Option<String>>>;
    }

    #[async_trait]
    impl Reads for Arc<dyn Cache<u64, String>> {
        #[cacheable(cache = self, key = id)]
        async fn read(&self, id: u64) -> Answer<Option<String>> {
            Ok(Some(query(id).await.map_err(Failed::Source)?))
        }

        #[cacheable_batch(cache = self, keys = ids)]
        async fn read_many(&self, ids: Vec<u64>) -> Answer<HashMap<u64, Option<String>>> {
            query(1).await.map_err(Failed::Source)?;
            Ok(ids.into_iter().map(|id| (id, None)).collect())
        }
    }
}
