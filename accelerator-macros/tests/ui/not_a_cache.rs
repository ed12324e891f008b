use accelerator::macros::cacheable;
use std::collections::HashMap;

#[cacheable(cache = users, key = id)]
async fn map(users: &HashMap<u64, u64>, id: u64) -> Option<u64> {
    None
}

fn main() {}
