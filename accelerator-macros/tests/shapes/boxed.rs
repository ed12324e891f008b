//! Under `#[async_trait]`, which has rewritten the methods before the cache's attributes see them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use accelerator::async_trait;
use accelerator::macros::{cache_evict, cache_put, cacheable, cacheable_batch};

use super::support::{Dyn, Found, Plain, Runs, User, Value, dynamic, send};

type Map = HashMap<u64, Option<Value>>;

#[async_trait]
trait Users: Send + Sync {
    async fn get(&self, id: u64) -> Found;
    async fn get_mut(&mut self, id: u64) -> Found;
    async fn get_owned(self, id: u64) -> Found
    where
        Self: Sized;
    async fn get_arc(self: Arc<Self>, (a, b): (u64, u64)) -> Found;
    async fn get_many(&self, ids: &[u64]) -> Result<Map, Plain>;
    async fn take_many(&self, ids: Vec<u64>) -> Result<Map, Plain>;
    async fn put(&mut self, user: User) -> Result<(), Plain>;
    async fn evict(self: Arc<Self>, id: u64);

    #[cacheable(cache = self.users(), key = id)]
    async fn provided(&self, id: u64) -> Found {
        self.get(id).await
    }

    fn users(&self) -> &Dyn;
}

#[derive(Clone)]
struct Service {
    cache: Dyn,
    runs: Runs,
}

#[async_trait]
impl Users for Service {
    #[cacheable(cache = self.cache, key = id)]
    async fn get(&self, id: u64) -> Found {
        tokio::task::yield_now().await;
        Ok(Some(self.runs.user(id)))
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn get_mut(&mut self, mut id: u64) -> Found {
        self.runs = self.runs.clone();
        id += 0;
        Ok(Some(self.runs.user(id)))
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn get_owned(self, id: u64) -> Found {
        let Self { runs, .. } = self;
        Ok(Some(runs.user(id)))
    }

    #[cacheable(cache = self.cache, key = a + b)]
    async fn get_arc(self: Arc<Self>, (a, b): (u64, u64)) -> Found {
        if a == b {
            return Err(Plain("equal"));
        }
        Ok(Some(self.runs.user(a + b)))
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn get_many(&self, ids: &[u64]) -> Result<Map, Plain> {
        tokio::task::yield_now().await;
        ids.iter().map(|id| Ok((*id, Some(self.runs.user(*id))))).collect()
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn take_many(&self, mut ids: Vec<u64>) -> Result<Map, Plain> {
        ids.reverse();
        ids.iter().map(|id| Ok((*id, Some(self.runs.user(*id))))).collect()
    }

    #[cache_put(cache = self.cache, key = user.id, value = Some(Arc::new(user.clone())))]
    async fn put(&mut self, user: User) -> Result<(), Plain> {
        self.runs = self.runs.clone();
        drop(user);
        Ok(())
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn evict(self: Arc<Self>, id: u64) {
        drop(self);
    }

    fn users(&self) -> &Dyn {
        &self.cache
    }
}

#[tokio::test]
async fn methods_of_an_async_trait() {
    let mut service = Service { cache: dynamic(), runs: Runs::default() };
    let runs = service.runs.clone();
    let user = Ok(Some(Arc::new(User::new(1))));
    assert_eq!(send(service.get(1)).await, user);
    assert_eq!(send(service.get_mut(1)).await, user);
    assert_eq!(send(service.clone().get_owned(1)).await, user);
    assert_eq!(send(Arc::new(service.clone()).get_arc((0, 1))).await, user);
    assert_eq!(send(service.provided(1)).await, user);
    runs.are(1);
    assert_eq!(send(Arc::new(service.clone()).get_arc((2, 2))).await, Err(Plain("equal")));

    assert_eq!(send(service.get_many(&[1, 2])).await.expect("ok").len(), 2);
    runs.are(2);
    assert_eq!(send(service.take_many(vec![1, 2, 3])).await.expect("ok").len(), 3);
    runs.are(3);

    send(service.put(User { id: 1, name: "new".into() })).await.expect("ok");
    assert_eq!(send(service.get(1)).await.expect("ok").expect("some").name, "new");
    runs.are(3);
    send(Arc::new(service.clone()).evict(1)).await;
    assert_eq!(send(service.get(1)).await, user);
    runs.are(4);
}

/// The same, written by hand.
#[cacheable(cache = cache, key = id)]
fn by_hand<'a>(cache: &'a Dyn, id: u64, runs: &'a Runs) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
    Box::pin(async move {
        let user = runs.user(id);
        Ok(Some(user))
    })
}

/// All of the block is the body, though it ends in a block.
#[cacheable(cache = cache, key = id)]
fn by_hand_in_steps<'a>(cache: &'a Dyn, id: u64, runs: &'a Runs) -> Pin<Box<dyn Future<Output = Found> + Send + 'a>> {
    Box::pin(async move {
        let user = runs.user(id);
        {
            let shown = user;
            Ok(Some(shown))
        }
    })
}

#[tokio::test]
async fn boxed_by_hand() {
    let (cache, runs) = (dynamic(), Runs::default());
    for _ in 0..2 {
        send(by_hand(&cache, 1, &runs)).await.expect("ok");
    }
    runs.are(1);
    for _ in 0..2 {
        send(by_hand_in_steps(&cache, 2, &runs)).await.expect("ok");
    }
    runs.are(2);
}
