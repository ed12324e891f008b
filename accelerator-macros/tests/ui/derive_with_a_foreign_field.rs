use accelerator::macros::CacheKey;

#[derive(CacheKey)]
struct Place {
    name: String,
    latitude: f64,
}

fn main() {}
