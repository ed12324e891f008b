use accelerator::macros::cacheable_batch;
use std::collections::{HashMap, HashSet};

type Map = HashMap<u64, Option<u64>>;

#[cacheable_batch(cache = cache, keys = ids)]
async fn iterator(cache: u8, ids: impl Iterator<Item = u64>) -> Map {
    Map::new()
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn array(cache: u8, ids: [u64; 3]) -> Map {
    Map::new()
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn mutable(cache: u8, ids: &mut Vec<u64>) -> Map {
    Map::new()
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn set(cache: u8, ids: &HashSet<u64>) -> Map {
    Map::new()
}

fn main() {}
