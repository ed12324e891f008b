use accelerator::macros::cacheable;

trait Users {
    #[cacheable(cache = self.cache(), key = id)]
    async fn get(&self, id: u64) -> Option<u64>;
}

#[cacheable(cache = cache, key = id)]
async unsafe fn of_unsafe(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

#[cacheable(cache = cache, key = id)]
async extern "C" fn of_c(cache: u8, id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
