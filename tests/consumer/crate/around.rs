//! What a user has around the template.

use std::collections::HashMap;
use std::sync::Arc;

use accelerator::macros::{cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};
use accelerator::{BoxFuture, Cache, CacheResult};

/// A row.
#[derive(Clone)]
pub struct User {
    /// Its key.
    pub id: u64,
    /// Its content.
    pub name: Arc<str>,
}

struct UserRepo {
    rows: std::sync::Mutex<HashMap<u64, User>>,
}

impl UserRepo {
    async fn rows<T>(&self, run: impl FnOnce(&mut HashMap<u64, User>) -> T) -> CacheResult<T> {
        std::future::ready(()).await;
        let mut rows = self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(run(&mut rows))
    }

    async fn get_user(&self, id: u64) -> CacheResult<Option<User>> {
        self.rows(|rows| rows.get(&id).cloned()).await
    }

    async fn batch_get_users(&self, ids: &[u64]) -> CacheResult<HashMap<u64, Option<User>>> {
        self.rows(|rows| ids.iter().map(|id| (*id, rows.get(id).cloned())).collect()).await
    }

    async fn save_user(&self, user: User) -> CacheResult<()> {
        self.rows(|rows| drop(rows.insert(user.id, user))).await
    }

    async fn delete_user(&self, id: u64) -> CacheResult<()> {
        self.rows(|rows| drop(rows.remove(&id))).await
    }

    async fn batch_delete_users(&self, ids: &[u64]) -> CacheResult<()> {
        self.rows(|rows| rows.retain(|id, _| !ids.contains(id))).await
    }
}

/// The service of the template.
pub struct UserService {
    user_cache: Arc<dyn Cache<u64, User>>,
    repo: UserRepo,
}

impl UserService {
    /// A service without users.
    #[must_use]
    pub fn new(user_cache: Arc<dyn Cache<u64, User>>) -> Self {
        Self { user_cache, repo: UserRepo { rows: std::sync::Mutex::default() } }
    }

    /// Uses all of the template, in a future that can be spawned.
    ///
    /// # Errors
    /// Those of the methods.
    pub fn run(self: Arc<Self>, user: User) -> BoxFuture<'static, CacheResult<usize>> {
        Box::pin(async move {
            let id = user.id;
            self.save_user(user).await?;
            let found = self.get_user(id).await?.map_or(0, |user| user.name.len());
            let users = self.batch_get_users(vec![id, id + 1]).await?;
            self.delete_user(id).await?;
            self.batch_delete_users(vec![id, id + 1]).await?;
            Ok(found + users.len())
        })
    }
}
