use accelerator::macros::{cache_evict, cache_put, cacheable};

#[cacheable(cache = cache, key = id, value = id, before = true)]
async fn read(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cache_evict(cache = cache, key = id, ttl = core::time::Duration::MAX, cache_none = false)]
async fn evict(cache: u8, id: u64) {}

#[cache_put(cache = cache, key = id, value = id, allow_stale = true)]
async fn put(cache: u8, id: u64) {}

fn main() {}
