use accelerator::Cache;
use accelerator::macros::{cache_put, cacheable, cacheable_batch};

#[cacheable(cache = cache, key = id)]
async fn one(cache: &dyn Cache<u64, u64>, id: u64) -> Result<Option<String>, ()> {
    Ok(None)
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn many(cache: &dyn Cache<u64, u64>, ids: &[u64]) -> Vec<u64> {
    Vec::new()
}

#[cache_put(cache = cache, key = id, value = id)]
async fn put(cache: &dyn Cache<u64, u64>, id: u64) -> u64 {
    id
}

fn main() {}
