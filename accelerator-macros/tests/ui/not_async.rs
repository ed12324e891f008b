use accelerator::macros::{cache_put, cacheable};
use std::future::Future;

#[cacheable(cache = cache, key = id)]
fn plain(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cache_put(cache = cache, key = id, value = id)]
fn future(cache: u8, id: u64) -> impl Future<Output = Option<u64>> {
    async move { Some(id) }
}

fn main() {}
