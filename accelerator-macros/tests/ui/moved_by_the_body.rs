use accelerator::Cache;
use accelerator::macros::cache_put;

#[cache_put(cache = cache, key = *result, value = name.clone() + &result.to_string())]
async fn put(cache: &dyn Cache<u64, String>, name: String) -> Result<u64, ()> {
    drop(name);
    Ok(1)
}

fn main() {}
