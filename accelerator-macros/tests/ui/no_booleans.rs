use accelerator::macros::{cache_evict, cacheable};

const YES: bool = true;

#[cacheable(cache = cache, key = id, allow_stale = YES, cache_none = "false", condition = 1)]
async fn read(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cache_evict(cache = cache, key = id, before = id > 0)]
async fn evict(cache: u8, id: u64) {}

fn main() {}
