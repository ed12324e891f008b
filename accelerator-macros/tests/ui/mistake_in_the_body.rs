use accelerator::Cache;
use accelerator::macros::cacheable;

#[cacheable(cache = cache, key = id)]
async fn read(cache: &dyn Cache<u64, u64>, id: u64) -> Result<Option<u64>, std::fmt::Error> {
    let text: u64 = "text";
    Ok(Some(id + text))
}

fn main() {}
