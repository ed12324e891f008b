use accelerator::macros::cacheable_batch;
use std::collections::HashMap;

type Map = HashMap<u64, Option<u64>>;

#[cacheable_batch(cache = cache, keys = ids.iter().copied().collect::<Vec<_>>())]
async fn computed(cache: u8, ids: &[u64]) -> Map {
    Map::new()
}

#[cacheable_batch(cache = cache, keys = idz)]
async fn unknown(cache: u8, ids: &[u64]) -> Map {
    Map::new()
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn in_a_pattern(cache: u8, (ids, _): (Vec<u64>, u8)) -> Map {
    Map::new()
}

fn main() {}
