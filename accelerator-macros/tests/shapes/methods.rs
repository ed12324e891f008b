//! Receivers, associated and free functions, traits, generics.

use std::sync::{Arc, LazyLock};

use accelerator::Cache;
use accelerator::macros::{cache_evict, cacheable};

use super::support::{Dyn, Found, Level, Plain, Runs, User, Value, dynamic, level, send};

/// The same functions over any cache.
#[derive(Clone)]
struct Service<C> {
    cache: C,
    runs: Runs,
}

impl<C: Cache<u64, Value> + Clone> Service<C> {
    fn new(cache: C) -> Self {
        Self { cache, runs: Runs::default() }
    }

    /// A doc comment.
    #[cacheable(cache = self.cache, key = id)]
    async fn by_ref(&self, id: u64) -> Found {
        Ok(Some(self.runs.user(id)))
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn by_mut(&mut self, id: u64) -> Found {
        self.runs = self.runs.clone();
        Ok(Some(self.runs.user(id)))
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn by_arc(self: Arc<Self>, id: u64) -> Found {
        Ok(Some(self.runs.user(id)))
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn by_ref_arc(self: &Arc<Self>, id: u64) -> Found {
        Ok(Some(self.runs.user(id)))
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn by_value(self, id: u64) -> Found {
        let Self { runs, .. } = self;
        Ok(Some(runs.user(id)))
    }

    #[cacheable(cache = self.handle(), key = id)]
    pub(crate) async fn through_a_method(&self, id: u64) -> Found {
        Ok(Some(self.runs.user(id)))
    }

    fn handle(&self) -> &C {
        &self.cache
    }

    #[cacheable(cache = cache, key = id)]
    async fn associated(cache: C, runs: Runs, id: u64) -> Found {
        drop(cache);
        Ok(Some(runs.user(id)))
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn evict_by_mut(&mut self, id: u64) -> Found<()> {
        self.runs.add();
        Ok(None)
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn evict_by_arc(self: Arc<Self>, id: u64) -> Found<()> {
        drop(self);
        Ok(None)
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn evict_by_value(self, id: u64) -> Found<()> {
        let Self { .. } = self;
        Ok(None)
    }

    #[cache_evict(cache = cache, key = id)]
    async fn evict_associated(cache: C, id: u64) -> Found<()> {
        drop(cache);
        Ok(None)
    }
}

async fn all_receivers<C: Cache<u64, Value> + Clone + 'static>(cache: C) {
    let mut service = Service::new(cache);
    let runs = service.runs.clone();
    assert_eq!(send(service.by_ref(1)).await, Ok(Some(Arc::new(User::new(1)))));
    runs.are(1);
    send(service.by_ref(1)).await.expect("ok");
    send(service.by_mut(1)).await.expect("ok");
    send(service.through_a_method(1)).await.expect("ok");
    send(service.clone().by_value(1)).await.expect("ok");
    let shared = Arc::new(service.clone());
    send(shared.by_ref_arc(1)).await.expect("ok");
    send(Arc::clone(&shared).by_arc(1)).await.expect("ok");
    send(Service::associated(service.cache.clone(), runs.clone(), 1)).await.expect("ok");
    runs.are(1);

    send(service.evict_by_mut(1)).await.expect("ok");
    runs.are(2);
    send(service.by_mut(1)).await.expect("ok");
    runs.are(3);
    send(Arc::clone(&shared).evict_by_arc(1)).await.expect("ok");
    send(shared.by_arc(1)).await.expect("ok");
    runs.are(4);
    send(service.clone().evict_by_value(1)).await.expect("ok");
    send(service.clone().by_value(1)).await.expect("ok");
    runs.are(5);
    send(Service::evict_associated(service.cache.clone(), 1)).await.expect("ok");
    send(Service::associated(service.cache.clone(), runs.clone(), 1)).await.expect("ok");
    runs.are(6);
}

#[tokio::test]
async fn receivers_over_a_level_cache() {
    all_receivers(level()).await;
}

#[tokio::test]
async fn receivers_over_a_dynamic_cache() {
    all_receivers(dynamic()).await;
}

static USERS: LazyLock<Level> = LazyLock::new(level);

#[cacheable(cache = USERS, key = id)]
async fn of_a_static(id: u64, runs: &Runs) -> Found {
    Ok(Some(runs.user(id)))
}

#[cacheable(cache = cache, key = id)]
async fn of_a_reference(cache: &dyn Cache<u64, Value>, id: u64, runs: &Runs) -> Found {
    Ok(Some(runs.user(id)))
}

#[cacheable(cache = &*cache, key = &id)]
async fn written_as_references(cache: Dyn, id: u64, runs: &Runs) -> Found {
    Ok(Some(runs.user(id)))
}

#[cacheable(cache = dynamic(), key = id)]
async fn of_a_temporary(id: u64, runs: &Runs) -> Found {
    Ok(Some(runs.user(id)))
}

#[tokio::test]
async fn free_functions() {
    let runs = Runs::default();
    for _ in 0..2 {
        send(of_a_static(1, &runs)).await.expect("ok");
    }
    runs.are(1);
    let cache = dynamic();
    for _ in 0..2 {
        send(of_a_reference(&*cache, 1, &runs)).await.expect("ok");
        send(written_as_references(cache.clone(), 1, &runs)).await.expect("ok");
    }
    runs.are(2);
    send(of_a_temporary(1, &runs)).await.expect("ok");
    runs.are(3);
}

#[allow(async_fn_in_trait)]
trait Users {
    async fn get(&self, id: u64) -> Found;

    #[cacheable(cache = self.users(), key = id)]
    async fn provided(&self, id: u64) -> Found {
        self.get(id).await
    }

    fn users(&self) -> &Dyn;
}

impl Users for Service<Dyn> {
    #[cacheable(cache = self.cache, key = id)]
    async fn get(&self, id: u64) -> Found {
        Ok(Some(self.runs.user(id)))
    }

    fn users(&self) -> &Dyn {
        &self.cache
    }
}

#[tokio::test]
async fn trait_methods() {
    let service = Service::new(dynamic());
    send(Users::get(&service, 1)).await.expect("ok");
    send(Users::get(&service, 1)).await.expect("ok");
    service.runs.are(1);
    send(service.provided(1)).await.expect("ok");
    service.runs.are(1);
}

struct Named<'a> {
    cache: &'a Dyn,
}

impl<'a> Named<'a> {
    #[cacheable(cache = self.cache, key = id)]
    async fn get<'b, R>(&'b self, id: u64, repo: &'b R, make: impl Fn(&R, u64) -> Value + Send) -> Found
    where
        R: Sync + ?Sized,
        'a: 'b,
    {
        Ok(Some(make(repo, id)))
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn rename<'b>(&'b self, id: u64, name: &'b str) -> Result<&'b str, Plain> {
        Ok(name.trim())
    }
}

#[tokio::test]
async fn generics_lifetimes_and_where_clauses() {
    let cache = dynamic();
    let runs = Runs::default();
    let named = Named { cache: &cache };
    for _ in 0..2 {
        send(named.get(1, &runs, Runs::user)).await.expect("ok");
    }
    runs.are(1);
    assert_eq!(send(named.rename(1, " x ")).await, Ok("x"));
    send(named.get(1, &runs, Runs::user)).await.expect("ok");
    runs.are(2);
}

macro_rules! generated {
    ($name:ident, $cache:expr, $id:ident: $ty:ty => $body:block) => {
        #[cacheable(cache = $cache, key = $id)]
        async fn $name($id: $ty) -> Found $body
    };
}

static OTHERS: LazyLock<Dyn> = LazyLock::new(dynamic);

generated!(of_a_macro, *OTHERS, number: u64 => { Ok(Some(Arc::new(User::new(number)))) });

#[tokio::test]
async fn functions_written_by_macros() {
    assert_eq!(send(of_a_macro(5)).await, Ok(Some(Arc::new(User::new(5)))));
}
