//! The first values of a cache, and one now and then, are read back before they are stored. And what isn't taken is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use accelerator_core::testkit::MemoryL2;
use accelerator_core::{Codec, EncryptionKeys, ErrorKind, LevelCache, LoadError, NoL1, Postcard};

use crate::any::{AnyCodec, Dyn, cache};
use crate::common::{World, ok, secs};
use crate::log::Log;

/// Reads values above 1,000 back as something else, and those above 2,000 not at all; how often it has decoded.
#[derive(Clone, Default)]
struct Lying(Arc<AtomicUsize>);

impl Codec<u64> for Lying {
    fn id(&self) -> u8 {
        200
    }
    fn encode(&self, value: &u64, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend(value.to_le_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<u64, LoadError> {
        self.0.fetch_add(1, SeqCst);
        match u64::from_le_bytes(bytes.try_into()?) {
            value @ ..1_000 => Ok(value),
            value @ ..2_000 => Ok(value + 1),
            _ => Err("no".into()),
        }
    }
}

fn lying(w: &World, codec: &Lying) -> LevelCache<u64, u64, NoL1> {
    let load = |key| std::future::ready(Ok::<_, std::io::Error>(Some(key)));
    ok(w.bare().l2(w.l2.clone()).codec(codec.clone()).loader(load))
}

#[tokio::test(start_paused = true)]
async fn a_value_that_does_not_come_back_is_not_stored_and_reaches_its_caller() {
    let (w, codec) = (World::new(), Lying::default());
    let cache = lying(&w, &codec);
    for (n, key) in [1_500, 2_500].into_iter().enumerate() {
        assert_eq!(cache.get(&key).await.unwrap(), Some(key));
        assert_eq!(w.l2.inner().peek(&format!("t.{key}")), None);
        assert_eq!(cache.stats().trials_failed, 2 * n as u64 + 1);
        let e = cache.set(&key, key).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Codec);
        assert!(e.to_string().contains("does not come back"), "{e}");
    }
    let batch = cache.mget(&[1, 1_501, 2]).await.into_values().unwrap();
    assert_eq!(batch, [Some(1), Some(1_501), Some(2)]);
    assert!(w.l2.inner().peek("t.1").is_some() && w.l2.inner().peek("t.1501").is_none());
}

impl Lying {
    fn decoded(&self) -> usize {
        self.0.load(SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_sixteen_values_have_a_trial_then_one_in_ten_thousand() {
    let (w, codec) = (World::new(), Lying::default());
    let cache = lying(&w, &codec);
    for n in 0..16 {
        cache.set(&1, n).await.unwrap();
        assert_eq!(codec.decoded(), n as usize + 1);
    }
    for n in 16..10_000 {
        cache.set(&1, n % 1_000).await.unwrap();
    }
    assert_eq!(codec.decoded(), 16);
    cache.set(&1, 7).await.unwrap();
    cache.set(&1, 7).await.unwrap();
    assert_eq!(codec.decoded(), 17);
    // Absent values have no bytes.
    let cache = lying(&w, &codec);
    cache.set(&1, None).await.unwrap();
    assert_eq!(codec.decoded(), 17);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_said_once_a_minute_with_area_and_cause() {
    let records = Log::of("accelerator::l2");
    let _guard = tracing::subscriber::set_default(records.clone());
    let w = World::new();
    ok(w.no_loader().schema_version(1)).set(&1, 1).await.unwrap();
    ok(w.no_loader().codec(Lying::default())).set(&2, 2).await.unwrap();
    w.l2.inner().put_raw("t.3", "nonsense", secs(3_600));
    w.l2.inner().put_raw("t.4", [0xC7, 0x20].to_vec(), secs(3_600));
    let secret: [u8; 32] = std::array::from_fn(|n| n as u8);
    let encrypting =
        |number| ok(w.bare().l2(w.l2.clone()).ttl(secs(3_600)).encrypt(EncryptionKeys::new(number, &secret)));
    encrypting(7).set(&5, 5).await.unwrap();
    encrypting(8).set(&6, 6).await.unwrap();
    let (reader, keyless) = (ok(w.bare().l1(NoL1).l2(w.l2.clone())), encrypting(7));
    for round in 1..=2 {
        assert_eq!(keyless.get(&6).await.unwrap(), None);
        let said = records.take();
        assert!(said.len() == 1 && said[0]["cause"].contains("a key that this cache does not have"), "{said:?}");
        for (key, cause) in [
            (1, "another schema"),
            (2, "another codec"),
            (3, "damaged"),
            (4, "another version"),
            (5, "with other layers"),
        ] {
            for _ in 0..5 {
                assert_eq!(reader.get(&key).await.unwrap(), None, "{cause}");
            }
            let said = records.take();
            assert_eq!(said.len(), 1, "round {round}: {said:?}");
            assert_eq!((said[0]["level"].as_str(), said[0]["area"].as_str()), ("WARN", "t"));
            assert!(said[0]["cause"].contains(cause), "{said:?}");
        }
        w.clock.tick(secs(59));
        ok(w.no_loader().schema_version(1)).set(&1, 1).await.unwrap();
        ok(w.no_loader().codec(Lying::default())).set(&2, 2).await.unwrap();
        assert_eq!(reader.get(&1).await.unwrap(), None);
        assert_eq!(records.take().len(), 0);
        w.clock.tick(secs(1));
    }
    let stats = reader.stats();
    assert_eq!((stats.foreign_schema, stats.foreign_codec, stats.foreign_version), (12, 10, 10));
    assert_eq!((stats.foreign_layer, stats.damaged, stats.undecodable), (10, 10, 12 + 10 + 10 + 10 + 10));
    assert_eq!((keyless.stats().foreign_key_id, keyless.stats().undecodable), (2, 2));

    let cache = lying(&w, &Lying::default());
    assert_eq!(cache.get(&1_500).await.unwrap(), Some(1_500));
    assert_eq!(cache.get(&1_501).await.unwrap(), Some(1_501));
    let said = records.take();
    assert_eq!((said.len(), said[0]["value"].as_str()), (1, "\"u64\""));
    assert!(said[0]["cause"].contains("another value") && !format!("{said:?}").contains("1500"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_map_in_another_order_is_the_same_value() {
    use std::collections::{HashMap, HashSet};
    type Maps = (HashMap<String, u64>, HashSet<u32>, HashMap<u8, HashMap<u8, String>>);
    let cache = cache(&MemoryL2::new(), AnyCodec::new::<Maps>(Postcard)).build().expect("a good type");
    for n in 0..16_u64 {
        let inner: HashMap<u8, String> = (0..50).map(|k| (k, format!("{k} {n}"))).collect();
        let value: Maps = (
            (0..100).map(|k| (format!("key {k}"), k * n)).collect(),
            (0..100).collect(),
            (0..10).map(|k| (k, inner.clone())).collect(),
        );
        let value = Dyn::new(value);
        cache.set(&n, value.clone()).await.unwrap();
        assert_eq!(cache.get(&n).await.unwrap(), Some(value));
    }
    assert_eq!(cache.stats().trials_failed, 0);
}
