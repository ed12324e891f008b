use accelerator::macros::{cache_evict_batch, cache_put, cacheable};

#[cacheable(key = id)]
async fn no_cache(id: u64) -> Option<u64> {
    Some(id)
}

#[cache_put(cache = cache, key = id)]
async fn no_value(cache: Cache, id: u64) -> Result<(), u64> {
    Err(id)
}

#[cache_evict_batch(cache = cache)]
async fn no_keys(cache: Cache, ids: Vec<u64>) {}

struct Cache;

fn main() {}
