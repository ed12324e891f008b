use accelerator::Cache;
use accelerator::macros::cacheable_batch;
use std::collections::HashMap;

struct Ids(Vec<u64>);

impl AsRef<[u64]> for Ids {
    fn as_ref(&self) -> &[u64] {
        &self.0
    }
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn own(cache: &dyn Cache<u64, u64>, ids: Ids) -> HashMap<u64, Option<u64>> {
    HashMap::new()
}

fn main() {}
