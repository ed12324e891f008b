//! Users, cached. A method is the query that it would be without a cache; its attribute says what the cache has to do with
//! it.

use std::collections::HashMap;

use accelerator::macros::{cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};

use crate::cache::UserCache;
use crate::repo::UserRepo;
use crate::user::{CacheResult, User};

/// Reads and writes users.
pub struct UserService {
    user_cache: UserCache,
    repo: UserRepo,
}

impl UserService {
    /// A service over a cache and the table behind it.
    #[must_use]
    pub fn new(user_cache: UserCache, repo: UserRepo) -> Self {
        Self { user_cache, repo }
    }
}

// The guide shows this block; a test compares.
impl UserService {
    /// The user, if there is one. Asks the database only for what the cache does not know.
    ///
    /// # Errors
    /// The database's.
    #[cacheable(cache = self.user_cache, key = user_id)]
    pub async fn get_user(&self, user_id: u64) -> CacheResult<Option<User>> {
        self.repo.get_user(user_id).await
    }

    /// Every id with its user or `None`. Asks the database only for those that the cache does not know.
    ///
    /// # Errors
    /// The database's.
    #[cacheable_batch(cache = self.user_cache, keys = user_ids)]
    pub async fn batch_get_users(&self, user_ids: Vec<u64>) -> CacheResult<HashMap<u64, Option<User>>> {
        self.repo.batch_get_users(&user_ids).await
    }

    /// Adds or replaces a user, in the database and then in the cache.
    ///
    /// # Errors
    /// The database's; the cache keeps what it had.
    #[cache_put(cache = self.user_cache, key = user.id, value = Some(user.clone()))]
    pub async fn save_user(&self, user: User) -> CacheResult<()> {
        self.repo.save_user(user).await
    }

    /// Removes a user, from the database and then from the cache.
    ///
    /// # Errors
    /// The database's; the cache keeps what it had.
    #[cache_evict(cache = self.user_cache, key = user_id)]
    pub async fn delete_user(&self, user_id: u64) -> CacheResult<()> {
        self.repo.delete_user(user_id).await
    }

    /// Removes users, from the database and then from the cache.
    ///
    /// # Errors
    /// The database's; the cache keeps what it had.
    #[cache_evict_batch(cache = self.user_cache, keys = user_ids)]
    pub async fn batch_delete_users(&self, user_ids: Vec<u64>) -> CacheResult<()> {
        self.repo.batch_delete_users(&user_ids).await
    }
}
