use accelerator::macros::{cache_evict, cache_put, cacheable, cacheable_batch};

#[cacheable(cache = cache, keys = ids)]
async fn one(cache: u8, ids: Vec<u64>) -> Option<u64> {
    None
}

#[cacheable_batch(cache = cache, key = ids)]
async fn many(cache: u8, ids: Vec<u64>) -> Option<u64> {
    None
}

#[cache_evict(cache = cache, keys = ids)]
async fn evict(cache: u8, ids: Vec<u64>) {}

#[cache_put(cache = cache, keys = ids, value = 1)]
async fn put(cache: u8, ids: Vec<u64>) {}

fn main() {}
