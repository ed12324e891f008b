//! Batches over a line that is slow: they have the time that their bytes need, and what never fits is said once.

use std::time::Duration;

use accelerator_core::testkit::{MemoryL1, MemoryL2};
use accelerator_core::{Bytes, Codec, L2Store, LevelCache, LoadError, Outcomes, StoreResult, async_trait};
use tokio::time::{Instant, sleep};

use crate::common::{TTL, ms, secs};
use crate::log::Log;

/// Outcomes come one by one, each so much after the one before.
#[derive(Clone)]
struct Slow(MemoryL2, Duration);

#[async_trait]
impl L2Store for Slow {
    async fn get(&self, key: &str) -> StoreResult<Option<Bytes>> {
        self.0.get(key).await
    }
    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> StoreResult<()> {
        self.0.set(key, value, ttl).await
    }
    async fn del(&self, key: &str) -> StoreResult<()> {
        self.0.del(key).await
    }
    async fn mget_into(&self, keys: &[&str], out: &mut Outcomes<Option<Bytes>>) {
        for (n, key) in keys.iter().enumerate() {
            sleep(self.1).await;
            out.put(n, self.0.get(key).await);
        }
    }
    async fn mset_into(&self, items: Vec<(&str, Bytes, Duration)>, out: &mut Outcomes<()>) {
        for (n, (key, value, ttl)) in items.into_iter().enumerate() {
            sleep(self.1).await;
            out.put(n, self.0.set(key, value, ttl).await);
        }
    }
}

/// Bytes as they are.
struct Raw;

impl Codec<Bytes> for Raw {
    fn id(&self) -> u8 {
        200
    }
    fn encode(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend_from_slice(value);
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<Bytes, LoadError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

fn cache(store: &Slow) -> LevelCache<u64, Bytes, MemoryL1<u64, Bytes>> {
    let builder = LevelCache::builder().area("slow line").ttl(TTL).l1(MemoryL1::new());
    builder.l2_with_codec(store.clone(), Raw).build().expect("a good configuration")
}

/// How many warnings there were; each names the area and the options.
fn warnings(log: &Log) -> usize {
    for line in log.lines() {
        let text = format!("{line:?}");
        assert!(["slow", "max_batch", "l2_timeout"].iter().all(|word| text.contains(word)), "{text}");
    }
    log.lines().len()
}

fn large(keys: &[u64]) -> Vec<(u64, Option<Bytes>)> {
    keys.iter().map(|key| (*key, Some(Bytes::from(vec![7; 100 << 10])))).collect()
}

#[tokio::test(start_paused = true)]
async fn reads_go_on_while_something_comes_and_writes_as_long_as_their_bytes_take() {
    let log = Log::of("accelerator::l2");
    let _here = tracing::subscriber::set_default(log.clone());
    let (store, keys) = (Slow(MemoryL2::new(), ms(4)), (0..256).collect::<Vec<u64>>());
    // 26 MB take a second at 25 MB/s; L2 takes a second, too.
    cache(&store).mset(large(&keys)).await.expect("confirmed");
    let before = Instant::now();
    let found = cache(&store).mget(&keys).await;
    assert_eq!(found.iter().filter(|(_, value)| matches!(value, Ok(Some(_)))).count(), 256);
    assert!(before.elapsed() > secs(1));
    assert_eq!(warnings(&log), 0);
}

#[tokio::test(start_paused = true)]
async fn a_read_of_which_nothing_more_comes_ends_at_its_limit() {
    let (store, keys) = (Slow(MemoryL2::new(), ms(60)), (0..256).collect::<Vec<u64>>());
    let before = Instant::now();
    cache(&store).mget(&keys).await;
    assert!(
        before.elapsed() < ms(150),
        "a pause of 60 ms is longer than a quarter of the limit: {:?}",
        before.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn what_can_never_fit_is_said_once() {
    for writes in [false, true] {
        let log = Log::of("accelerator::l2");
        let _here = tracing::subscriber::set_default(log.clone());
        let (store, keys) = (Slow(MemoryL2::new(), ms(15)), (0..256).collect::<Vec<u64>>());
        let (cache, before) = (cache(&store), Instant::now());
        for _ in 0..2 {
            match writes {
                true => drop(cache.mset(large(&keys)).await.expect_err("too slow")),
                false => drop(cache.mget(&keys).await),
            }
        }
        // Sixteen limits for a read; the limit and the bytes for a write.
        assert!(before.elapsed() < secs(4), "{:?}", before.elapsed());
        assert_eq!(warnings(&log), 1, "writes: {writes}");
    }
}
