use accelerator::macros::{cache_evict, cache_put, cacheable};

#[cacheable(cache = cache, key = result.id, condition = format!("{result}").is_empty())]
async fn read(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cache_evict(cache = cache, key = result.id, before = true)]
async fn evict(cache: u8, id: u64) {}

#[cache_put(cache = cache, key = id, value = result.clone(), ttl = result.ttl)]
async fn put(cache: u8, id: u64) {}

#[cache_put(cache = cache, key = id, value = result.clone())]
async fn ambiguous(cache: u8, id: u64, result: u64) {}

fn main() {}
