use accelerator::macros::cacheable_batch;
use std::collections::HashMap;

struct Request {
    ids: Vec<u64>,
}

#[cacheable_batch(cache = cache, keys = request.ids)]
async fn field(cache: u8, request: &Request) -> HashMap<u64, Option<u64>> {
    HashMap::new()
}

#[cacheable_batch(cache = cache, keys = request.ids)]
async fn mutable(cache: u8, request: &mut Request) -> HashMap<u64, Option<u64>> {
    HashMap::new()
}

impl Request {
    #[cacheable_batch(cache = cache, keys = self.ids)]
    async fn own(self, cache: u8) -> HashMap<u64, Option<u64>> {
        HashMap::new()
    }
}

fn main() {}
