//! `cache_put`, `cache_evict`, `cache_evict_batch`: only after `Ok`, or before where asked; what is evaluated when; the
//! arguments stay the body's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use accelerator::Cache;
use accelerator::macros::{cache_evict, cache_evict_batch, cache_put};

use crate::common::{Away, Kind, User, Users, World, ms, secs, user};

/// Takes it for good, as a repository may.
fn consume<T>(value: T) {
    drop(value);
}

/// What runs when: each expression that is evaluated takes the next number.
#[derive(Default)]
struct Order(AtomicUsize);

impl Order {
    fn next(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }

    /// `value`, and it must be the `n`th time that anything is asked for.
    fn at<T>(&self, n: usize, value: T) -> T {
        assert_eq!(self.next(), n, "out of order");
        value
    }
}

impl<C: Cache<u64, Arc<User>> + Clone> Users<C> {
    #[cache_put(cache = self.cache, key = user.id, value = Some(user.clone()))]
    async fn save(&self, user: Arc<User>) -> Result<(), Away> {
        self.source.find(user.id).await?;
        consume(user);
        Ok(())
    }

    #[cache_put(cache = self.cache, key = result.id, value = result.clone())]
    async fn create(&self, name: String) -> Result<Arc<User>, Away> {
        let id = name.len() as u64;
        consume(name);
        let found = self.source.find(id).await?;
        Ok(found.unwrap_or_else(|| Arc::new(User { id, version: 50 })))
    }

    #[cache_put(cache = self.cache, key = id, value = result)]
    async fn reload(&self, id: u64) -> Result<Option<Arc<User>>, Away> {
        self.source.find(id).await
    }

    #[cache_put(cache = self.cache, key = id, value = user(id, 8), ttl = ttl, condition = id > 1)]
    async fn save_for(&self, id: u64, ttl: std::time::Duration) -> Result<(), Away> {
        self.source.find(id).await.map(drop)
    }

    #[cache_put(cache = self.cache, key = id, value = user(id, 8), condition = result.is_some())]
    async fn save_found(&self, id: u64) -> Result<Option<Arc<User>>, Away> {
        self.source.find(id).await
    }

    #[cache_put(cache = self.cache, key = order.at(1, id), value = order.at(3, result.clone()))]
    async fn save_in_order(&self, id: u64, order: &Order) -> Result<Option<Arc<User>>, Away> {
        order.at(2, self.source.find(id).await)
    }

    #[cache_put(cache = self.cache, key = order.at(1, id), value = order.at(2, user(id, 8)))]
    async fn save_all_before(&self, id: u64, order: &Order) -> Result<(), Away> {
        order.at(3, self.source.find(id).await).map(drop)
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn delete(&self, id: u64) -> Result<(), Away> {
        assert!(self.cached(id).await.is_some(), "not yet");
        self.source.find(id).await.map(drop)
    }

    #[cache_evict(cache = self.cache, key = result.id)]
    async fn rename(&self, name: String) -> Result<Arc<User>, Away> {
        let id = name.len() as u64;
        consume(name);
        Ok(self.source.find(id).await?.unwrap_or_else(|| Arc::new(User { id, version: 0 })))
    }

    #[cache_evict(cache = self.cache, key = id, before = true)]
    async fn delete_early(&self, id: u64) -> Result<(), Away> {
        assert!(self.cached(id).await.is_none(), "already");
        self.source.find(id).await.map(drop)
    }

    #[cache_evict(cache = self.cache, key = user.id, condition = user.version > 1)]
    async fn delete_if_new(&self, user: User) -> Result<(), Away> {
        self.source.find(user.id).await?;
        consume(user);
        Ok(())
    }

    #[cache_evict(cache = self.cache, key = id, before = true, condition = id > 1)]
    async fn delete_early_if(&self, id: u64) -> Result<(), Away> {
        self.source.find(id).await.map(drop)
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn forget(&self, id: u64) {
        drop(self.source.find(id).await);
    }

    #[cache_evict_batch(cache = self.cache, keys = ids)]
    async fn delete_all(&self, ids: Vec<u64>) -> Result<usize, Away> {
        for id in &ids {
            assert!(self.cached(*id).await.is_some(), "not yet");
        }
        self.source.find_many(&ids).await?;
        let n = ids.len();
        consume(ids);
        Ok(n)
    }

    #[cache_evict_batch(cache = self.cache, keys = ids, before = true)]
    async fn delete_all_early(&self, ids: &[u64]) -> Result<(), Away> {
        for id in ids {
            assert!(self.cached(*id).await.is_none(), "already");
        }
        self.source.find_many(ids).await.map(drop)
    }

    #[cache_evict_batch(cache = self.cache, keys = result)]
    async fn delete_found(&self, from: u64, to: u64) -> Result<Vec<u64>, Away> {
        let mut ids: Vec<u64> = self.source.find_many(&[from, to]).await?.into_keys().collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

on_all!(a_put_is_made_after_ok_with_what_the_arguments_were, a_put_may_take_key_and_value_from_the_result);
on_all!(a_put_of_none_makes_the_absence_known, a_put_may_depend_on_arguments_and_on_the_result);
on_all!(what_names_the_result_is_evaluated_after_the_body_and_all_else_before);
on_all!(an_eviction_comes_after_ok, an_eviction_before_the_body_comes_before_it, an_eviction_may_depend_on_arguments);
on_all!(an_eviction_may_take_the_key_from_the_result, a_function_that_returns_nothing_always_evicts);
on_all!(many_are_evicted_after_ok_or_before, a_failing_body_leaves_the_cache_alone);
on_real!(a_put_has_the_ttl_of_the_function);

async fn a_put_is_made_after_ok_with_what_the_arguments_were<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 1).await;
    users.save(Arc::new(User { id: 1, version: 5 })).await.expect("saves");
    assert_eq!(users.cached(1).await, Some(user(1, 5)));
    assert_eq!(w.source.calls(), [[1]]);
}

async fn a_put_may_take_key_and_value_from_the_result<K: Kind>(w: World<K>) {
    let users = w.users();
    assert_eq!(users.create("abc".to_owned()).await.map(Some), Ok(user(3, 1)));
    assert_eq!(users.cached(3).await, Some(user(3, 1)));
    w.source.put(2);
    assert_eq!(users.reload(3).await, Ok(user(3, 2)), "the body always runs");
    assert_eq!(users.cached(3).await, Some(user(3, 2)));
}

async fn a_put_of_none_makes_the_absence_known<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 1).await;
    w.source.put(0);
    assert_eq!(users.reload(1).await, Ok(None));
    assert_eq!(users.cached(1).await, Some(None));
}

async fn a_put_may_depend_on_arguments_and_on_the_result<K: Kind>(w: World<K>) {
    let users = w.users();
    for id in [1, 2] {
        users.save_for(id, secs(5)).await.expect("saves");
    }
    assert_eq!((users.cached(1).await, users.cached(2).await), (None, Some(user(2, 8))));
    users.save_found(3).await.expect("saves");
    w.source.put(0);
    users.save_found(4).await.expect("saves");
    assert_eq!((users.cached(3).await, users.cached(4).await), (Some(user(3, 8)), None));
}

async fn what_names_the_result_is_evaluated_after_the_body_and_all_else_before<K: Kind>(w: World<K>) {
    let users = w.users();
    let order = Order::default();
    users.save_in_order(1, &order).await.expect("saves");
    assert_eq!((order.next(), users.cached(1).await), (4, Some(user(1, 1))));
    let order = Order::default();
    users.save_all_before(1, &order).await.expect("saves");
    assert_eq!((order.next(), users.cached(1).await), (4, Some(user(1, 8))));
}

async fn an_eviction_comes_after_ok<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 1).await;
    users.delete(1).await.expect("deletes");
    assert_eq!(users.cached(1).await, None);
}

async fn an_eviction_before_the_body_comes_before_it<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 1).await;
    users.delete_early(1).await.expect("deletes");
    assert_eq!(users.cached(1).await, None);
    users.set(1, 1).await;
    w.source.away(true);
    assert_eq!(users.delete_early(1).await, Err(Away(2)));
    assert_eq!(users.cached(1).await, None, "also where the body fails then");
    users.set(1, 1).await;
    users.set(2, 1).await;
    assert!(users.delete_early_if(1).await.is_err() && users.delete_early_if(2).await.is_err());
    assert_eq!((users.cached(1).await, users.cached(2).await), (Some(user(1, 1)), None));
}

async fn an_eviction_may_depend_on_arguments<K: Kind>(w: World<K>) {
    let users = w.users();
    for version in [1, 2] {
        users.set(version, 1).await;
        users.delete_if_new(User { id: version, version }).await.expect("deletes");
    }
    assert_eq!((users.cached(1).await, users.cached(2).await), (Some(user(1, 1)), None));
    assert_eq!(w.source.runs(), 2);
}

async fn an_eviction_may_take_the_key_from_the_result<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(3, 7).await;
    assert_eq!(users.rename("abc".to_owned()).await.map(Some), Ok(user(3, 1)));
    assert_eq!(users.cached(3).await, None);
    users.set(4, 7).await;
    users.set(5, 7).await;
    assert_eq!(users.delete_found(4, 5).await, Ok(vec![4, 5]));
    assert_eq!((users.cached(4).await, users.cached(5).await), (None, None));
}

async fn a_function_that_returns_nothing_always_evicts<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 1).await;
    w.source.away(true);
    users.forget(1).await;
    assert_eq!(users.cached(1).await, None);
}

async fn many_are_evicted_after_ok_or_before<K: Kind>(w: World<K>) {
    let users = w.users();
    for id in 1..=4 {
        users.set(id, 1).await;
    }
    assert_eq!(users.delete_all(vec![1, 2, 1]).await, Ok(3));
    assert_eq!((users.cached(1).await, users.cached(2).await), (None, None));
    assert_eq!(users.cached(3).await, Some(user(3, 1)));
    users.delete_all_early(&[3]).await.expect("deletes");
    w.source.away(true);
    assert!(users.delete_all_early(&[4]).await.is_err());
    assert_eq!((users.cached(3).await, users.cached(4).await), (None, None));
    w.source.away(false);
    assert_eq!(users.delete_all(Vec::new()).await, Ok(0));
}

async fn a_failing_body_leaves_the_cache_alone<K: Kind>(w: World<K>) {
    let users = w.users();
    for id in 1..=3 {
        users.set(id, 7).await;
    }
    w.source.away(true);
    assert_eq!(users.save(Arc::new(User { id: 1, version: 5 })).await, Err(Away(1)));
    assert_eq!(users.create("abc".to_owned()).await, Err(Away(2)));
    assert_eq!(users.delete(1).await, Err(Away(3)));
    assert_eq!(users.delete_all(vec![1, 2]).await, Err(Away(4)));
    for id in 1..=3 {
        assert_eq!(users.cached(id).await, Some(user(id, 7)), "{id}");
    }
}

/// Needs lives.
async fn a_put_has_the_ttl_of_the_function<K: Kind>(w: World<K>) {
    let users = w.users();
    users.save_for(2, secs(5)).await.expect("saves");
    w.pass(secs(5) - ms(1)).await;
    assert_eq!(users.cached(2).await, Some(user(2, 8)));
    w.pass(ms(1)).await;
    assert_eq!(users.cached(2).await, None);
}
