//! Users by their id: stores, bounds and times.

use std::sync::Arc;
use std::time::Duration;

use accelerator::stores::MokaL1;
use accelerator::{Cache, CacheResult, LevelCache, LevelCacheBuilder};

use crate::user::User;

/// What the service holds. It names no store, so a test may put a fake in its place.
pub type UserCache = Arc<dyn Cache<u64, User>>;

/// How users are cached. The methods of the service load them, so there is no loader here.
pub fn builder() -> LevelCacheBuilder<u64, User, MokaL1<u64, User>> {
    LevelCache::builder()
        .area("user")
        .l1(MokaL1::new(10_000))
        .ttl(Duration::from_secs(300))
        .ttl_jitter_ratio(0.1)
        // Whoever signs up is found at once: `save_user` puts. This bounds what other nodes don't see.
        .null_ttl(Duration::from_secs(30))
}

/// The cache of the service.
///
/// # Errors
/// `InvalidConfig`, if the numbers above contradict each other.
pub fn user_cache() -> CacheResult<UserCache> {
    Ok(Arc::new(builder().build()?))
}
