use accelerator::macros::cacheable;

#[cacheable(cache = cache, key = id, on_cache_error = "propogate")]
async fn misspelled(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable(cache = cache, key = id, on_cache_error = "panic")]
async fn invented(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable(cache = cache, key = id, on_cache_error = ignore)]
async fn unquoted(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
