use accelerator::macros::{cacheable, cacheable_batch};

#[cacheable(cache = cache, key = id)]
async fn nothing(cache: u8, id: u64) {}

#[cacheable_batch(cache = cache, keys = ids)]
async fn unit(cache: u8, ids: Vec<u64>) -> () {}

fn main() {}
