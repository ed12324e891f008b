use accelerator::macros::{cache_evict, cacheable};

#[cacheable(cache = cache, key = id)]
async fn opaque(cache: u8, id: u64) -> Result<Option<impl Send>, u64> {
    Ok(Some(id))
}

#[cache_evict(cache = cache, key = id)]
async fn written(cache: u8, id: u64) -> Result<impl Send, u64> {
    Ok(id)
}

fn main() {}
