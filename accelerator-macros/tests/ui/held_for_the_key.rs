use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use accelerator::Cache;
use accelerator::macros::cacheable;

struct Tenants(RwLock<HashMap<u64, Arc<dyn Cache<u64, u64>>>>);

impl Tenants {
    #[cacheable(cache = self.0.read().unwrap().get(&tenant).unwrap(), key = id)]
    async fn read(&self, tenant: u64, id: u64) -> Option<u64> {
        Some(tenant + id)
    }
}

#[cacheable(cache = cache, key = ids.read().unwrap().first().unwrap())]
async fn first(cache: Arc<dyn Cache<u64, u64>>, ids: &RwLock<Vec<u64>>) -> Option<u64> {
    None
}

fn main() {}
