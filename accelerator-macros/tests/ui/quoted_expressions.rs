use accelerator::macros::{cacheable, cacheable_batch};

#[cacheable(cache = "self.cache", key = id, ttl = 60)]
async fn one(id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable_batch(cache = cache, keys = "ids", ttl = "60s", crate = "accelerator")]
async fn many(cache: u8, ids: Vec<u64>) -> Option<u64> {
    None
}

fn main() {}
