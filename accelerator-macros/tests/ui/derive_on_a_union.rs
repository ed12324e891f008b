use accelerator::macros::CacheKey;

#[derive(CacheKey)]
union Number {
    signed: i64,
    unsigned: u64,
}

fn main() {}
