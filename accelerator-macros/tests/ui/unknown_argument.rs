use accelerator::macros::{cache_evict, cacheable};

#[cacheable(cahce = cache, kye = id, allow_stael = false)]
async fn misspelled(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cache_evict(cache = cache, key = id, timeout = 5)]
async fn invented(cache: u8, id: u64) {}

fn main() {}
