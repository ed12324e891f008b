use accelerator::macros::{cache_put, cacheable};

#[cacheable]
async fn read(id: u64) -> Option<u64> {
    Some(id)
}

#[cache_put()]
async fn write(id: u64) -> Result<(), u64> {
    Err(id)
}

fn main() {}
