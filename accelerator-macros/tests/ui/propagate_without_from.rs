use accelerator::Cache;
use accelerator::macros::{cache_evict, cacheable};

struct Failure;

#[cacheable(cache = cache, key = id, on_cache_error = "propagate")]
async fn read(cache: &dyn Cache<u64, u64>, id: u64) -> Result<Option<u64>, Failure> {
    Ok(Some(id))
}

#[cache_evict(cache = cache, key = id, on_cache_error = "propagate")]
async fn write(cache: &dyn Cache<u64, u64>, id: u64) {}

fn main() {}
