use accelerator::macros::cacheable;

#[cacheable("users", key = id)]
async fn literal(id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable(cache, key = id)]
async fn no_value(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable(cache = , key = id)]
async fn empty_value(id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable(cache = cache key = id)]
async fn no_comma(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable(cache: cache, key = id)]
async fn colon(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable(cache = ?, key = id)]
async fn no_expression(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
