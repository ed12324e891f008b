use accelerator::macros::cacheable;

#[cacheable(cache = "cache", key = id, kye = id, allow_stale = 1, on_cache_error = "ignor")]
fn all_at_once(id: u64) -> impl Send {
    id
}

fn main() {}
