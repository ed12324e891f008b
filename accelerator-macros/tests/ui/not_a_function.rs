use accelerator::macros::{cache_evict, cacheable};

#[cacheable(cache = CACHE, key = id)]
struct User {
    id: u64,
}

#[cache_evict(cache = CACHE, key = id)]
impl User {
    async fn get(&self) {}
}

#[cacheable(cache = CACHE, key = id)]
mod users {}

fn main() {}
