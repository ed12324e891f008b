//! What the attribute's expressions may be: what they hold is let go before the first wait, their key has the cache's
//! type, and `result` is the body's only where they don't bind it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use accelerator::macros::{cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};
use accelerator::stores::MokaL1;
use accelerator::{Cache, LevelCache};

use super::support::{Dyn, Found, Plain, Runs, User, Value, dynamic, send};

struct Tenants {
    ids: Mutex<Vec<u64>>,
    caches: RwLock<BTreeMap<&'static str, Dyn>>,
    runs: Runs,
}

impl Tenants {
    fn new() -> Self {
        let caches = RwLock::new(BTreeMap::from([("a", dynamic()), ("b", dynamic())]));
        Self { ids: Mutex::new(vec![7, 8]), caches, runs: Runs::default() }
    }

    /// The body takes both locks.
    fn body(&self, id: u64) -> Value {
        drop(self.ids.try_lock().expect("nobody holds the ids"));
        drop(self.caches.try_write().expect("nobody holds the caches"));
        self.runs.user(id)
    }

    #[cacheable(cache = self.caches.read().unwrap_or_else(PoisonError::into_inner)[tenant], key = self.ids.lock().unwrap_or_else(PoisonError::into_inner)[0])]
    async fn read(&self, tenant: &str) -> Found {
        tokio::task::yield_now().await;
        Ok(Some(self.body(7)))
    }

    #[cacheable(cache = self.caches.read().unwrap_or_else(PoisonError::into_inner)[tenant].clone(), key = *self.ids.lock().unwrap_or_else(PoisonError::into_inner).last().unwrap_or(&0))]
    async fn read_by_value(&self, tenant: &str) -> Found {
        tokio::task::yield_now().await;
        Ok(Some(self.body(8)))
    }

    #[cacheable_batch(
        cache = self.caches.read().unwrap_or_else(PoisonError::into_inner)[tenant],
        keys = ids,
        ttl = Duration::from_secs(self.ids.lock().unwrap_or_else(PoisonError::into_inner)[0]),
        condition = self.ids.lock().unwrap_or_else(PoisonError::into_inner).len() == 2,
    )]
    async fn read_many(&self, tenant: &str, ids: Vec<u64>) -> HashMap<u64, Option<Value>> {
        tokio::task::yield_now().await;
        ids.into_iter().map(|id| (id, Some(self.body(id)))).collect()
    }

    #[cache_put(
        cache = self.caches.read().unwrap_or_else(PoisonError::into_inner)[tenant],
        key = self.ids.lock().unwrap_or_else(PoisonError::into_inner)[0],
        value = self.runs.user(self.ids.lock().unwrap_or_else(PoisonError::into_inner)[1]),
    )]
    async fn put(&self, tenant: &str) -> Result<(), Plain> {
        tokio::task::yield_now().await;
        self.body(0);
        Ok(())
    }

    #[cache_evict(cache = self.caches.read().unwrap_or_else(PoisonError::into_inner)[tenant], key = self.ids.lock().unwrap_or_else(PoisonError::into_inner)[0], before = true)]
    async fn evict_before(&self, tenant: &str) -> Result<(), Plain> {
        tokio::task::yield_now().await;
        self.body(0);
        Ok(())
    }

    #[cache_evict_batch(cache = self.caches.read().unwrap_or_else(PoisonError::into_inner)[tenant], keys = self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone())]
    async fn evict_all(&self, tenant: &str) -> Result<(), Plain> {
        tokio::task::yield_now().await;
        self.body(0);
        Ok(())
    }
}

#[tokio::test]
async fn what_an_expression_holds_is_let_go_before_the_first_wait() {
    let tenants = Arc::new(Tenants::new());
    for _ in 0..2 {
        send(tenants.read("a")).await.expect("ok");
        send(tenants.read_by_value("a")).await.expect("ok");
    }
    tenants.runs.are(2);
    assert_eq!(send(tenants.read_many("a", vec![7, 8])).await.len(), 2);
    tenants.runs.are(2);
    send(tenants.put("b")).await.expect("ok");
    tenants.runs.are(4);
    assert_eq!(send(tenants.read("b")).await.expect("ok").map(|user| user.id), Some(8));
    send(tenants.evict_before("b")).await.expect("ok");
    send(tenants.evict_all("a")).await.expect("ok");
    tenants.runs.are(6);
    let spawned = tenants.clone();
    tokio::spawn(async move { spawned.read("a").await }).await.expect("no panic").expect("ok");
    tenants.runs.are(7);
}

type Names = LevelCache<String, u64, MokaL1<String, u64>>;
type Texts = Arc<dyn Cache<Arc<str>, u64>>;

fn names() -> Names {
    LevelCache::builder().area("names").l1(MokaL1::new(10)).ttl(Duration::from_secs(60)).build().expect("valid")
}

fn texts() -> Texts {
    let builder = LevelCache::builder().area("texts").l1(MokaL1::<Arc<str>, u64>::new(10)).ttl(Duration::from_secs(60));
    Arc::new(builder.build().expect("valid"))
}

#[cacheable(cache = names, key = name.into())]
async fn into(names: &Names, name: &str, runs: &Runs) -> Found<u64> {
    runs.add();
    Ok(Some(name.len() as u64))
}

#[cacheable(cache = names, key = letters.iter().rev().rev().collect())]
async fn collected(names: &Names, letters: &[char], runs: &Runs) -> Found<u64> {
    runs.add();
    Ok(Some(letters.len() as u64))
}

#[cacheable(cache = texts, key = Arc::from(name))]
async fn shared(texts: &Texts, name: &str, runs: &Runs) -> Found<u64> {
    runs.add();
    Ok(Some(name.len() as u64))
}

/// What a row is asked for by is text, and may be no number.
#[derive(Debug, PartialEq)]
struct NoNumber;

impl From<std::num::ParseIntError> for NoNumber {
    fn from(_: std::num::ParseIntError) -> Self {
        Self
    }
}

#[cacheable(cache = cache, key = text.parse()?)]
async fn parsed(cache: &Dyn, text: &str, runs: &Runs) -> Result<Option<Value>, NoNumber> {
    Ok(Some(runs.user(text.parse()?)))
}

#[cacheable(cache = cache, key = u32::from(id).into())]
async fn generic<C: Cache<u64, Value>>(cache: &C, id: u16, runs: &Runs) -> Found {
    Ok(Some(runs.user(id.into())))
}

#[cache_put(cache = names, key = name.into(), value = 1)]
async fn put_into(names: Names, name: String) -> Result<(), Plain> {
    drop(names);
    drop(name);
    Ok(())
}

#[cache_put(cache = names, key = result.as_str().into(), value = 2, condition = !result.is_empty())]
async fn put_result_into(names: &Names, name: &str) -> Result<String, Plain> {
    Ok(name.to_owned())
}

#[cache_evict(cache = names, key = name.into(), condition = !name.is_empty())]
async fn evict_into(names: &Names, name: &str) -> Result<(), Plain> {
    Ok(())
}

#[cache_evict(cache = texts, key = name.into(), before = true)]
async fn evict_into_before(texts: &Texts, name: &str) -> Result<(), Plain> {
    Ok(())
}

#[tokio::test]
async fn a_key_has_the_type_of_the_caches_keys() {
    let (names, texts, cache, runs) = (names(), texts(), dynamic(), Runs::default());
    for _ in 0..2 {
        assert_eq!(send(into(&names, "ab", &runs)).await, Ok(Some(2)));
        assert_eq!(send(collected(&names, &['a', 'b'], &runs)).await, Ok(Some(2)));
        assert_eq!(send(shared(&texts, "abc", &runs)).await, Ok(Some(3)));
        send(parsed(&cache, "4", &runs)).await.expect("ok");
        send(generic(&cache, 5, &runs)).await.expect("ok");
    }
    runs.are(4);
    assert_eq!(send(parsed(&cache, "four", &runs)).await, Err(NoNumber));
    send(put_into(names.clone(), "ab".to_owned())).await.expect("ok");
    assert_eq!(send(into(&names, "ab", &runs)).await, Ok(Some(1)));
    send(put_result_into(&names, "ab")).await.expect("ok");
    assert_eq!(send(into(&names, "ab", &runs)).await, Ok(Some(2)));
    send(evict_into(&names, "ab")).await.expect("ok");
    send(evict_into_before(&texts, "abc")).await.expect("ok");
    runs.are(4);
    send(into(&names, "ab", &runs)).await.expect("ok");
    send(shared(&texts, "abc", &runs)).await.expect("ok");
    runs.are(6);
}

#[cacheable(cache = cache, key = id, condition = rows.iter().all(|result| *result > 0))]
async fn read_if_all(cache: &Dyn, id: u64, rows: &[u64], runs: &Runs) -> Found {
    Ok(Some(runs.user(id)))
}

#[cacheable(cache = cache, key = { let result = id + 1; result - 1 })]
async fn read_by_a_local(cache: &Dyn, id: u64, runs: &Runs) -> Found {
    Ok(Some(runs.user(id)))
}

#[cache_put(
    cache = cache,
    key = id,
    value = match found { Some(ref result) => result.clone(), None => Arc::new(User::new(id)) },
    condition = if let Some(result) = &found { result.id == id } else { true },
)]
async fn put_found(cache: &Dyn, id: u64, found: Option<Value>) -> Result<(), Plain> {
    drop(found);
    Ok(())
}

/// The argument `result` is none of the attribute's business as long as that does not name it.
#[cache_evict(cache = cache, key = ids.iter().fold(0, |result, id| result.max(*id)))]
async fn evict_largest(cache: &Dyn, ids: Vec<u64>, result: u64) -> Result<u64, Plain> {
    Ok(result + ids.len() as u64)
}

#[tokio::test]
async fn result_is_the_bodys_only_where_the_expression_does_not_bind_it() {
    let (cache, runs) = (dynamic(), Runs::default());
    for _ in 0..2 {
        send(read_if_all(&cache, 1, &[1, 2], &runs)).await.expect("ok");
    }
    runs.are(1);
    send(put_found(&cache, 2, None)).await.expect("ok");
    send(put_found(&cache, 3, Some(Arc::new(User::new(3))))).await.expect("ok");
    send(put_found(&cache, 4, Some(Arc::new(User::new(3))))).await.expect("ok");
    for id in [2, 3, 4] {
        send(read_by_a_local(&cache, id, &runs)).await.expect("ok");
    }
    runs.are(2);
    assert_eq!(send(evict_largest(&cache, vec![1, 3], 5)).await, Ok(7));
    send(read_by_a_local(&cache, 3, &runs)).await.expect("ok");
    runs.are(3);
}
