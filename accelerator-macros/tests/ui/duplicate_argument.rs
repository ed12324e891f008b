use accelerator::macros::cacheable;

#[cacheable(cache = cache, key = id, key = other)]
async fn twice(cache: u8, id: u64, other: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
