//! A codec, a compression and a key are changed step by step while L2 is in use, and no node has a miss.

use accelerator_core::testkit::MemoryL2;
use accelerator_core::testkit::fleet::rollout::{
    CODECS, COMPRESSION, KEYS, no_step_of_a_rollout_has_a_miss as no_misses,
};
use accelerator_core::{EncryptionKeys, ErrorKind, Json, LevelCache, LevelCacheBuilder, MessagePack, Postcard};

use crate::any::{AnyCodec, Dyn, cache};
use crate::common::{TTL, World, ok};

#[tokio::test(start_paused = true)]
async fn no_step_of_a_change_has_a_miss() {
    for rollout in [CODECS, COMPRESSION, KEYS] {
        no_misses(MemoryL2::new(), "t", rollout).await;
        no_misses(MemoryL2::new().with_leases(), "t", rollout).await;
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "step 0")]
async fn a_step_that_is_left_out_has_misses() {
    no_misses(MemoryL2::new(), "t", &[CODECS[0], CODECS[2]]).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_codec_wrote_is_read_with_its_own_schema() {
    let w = World::new();
    let written = ok(w.no_loader().codec(MessagePack).schema_version(3));
    written.mset([(1, Some(300)), (2, None)]).await.unwrap();
    let reader = |version| {
        let codecs = w.twin().no_loader().codec(Postcard).also_reads(Json).also_reads(MessagePack);
        ok(codecs.schema_version(version))
    };
    let same = reader(3);
    assert_eq!(same.mget(&[1, 2]).await.into_values().unwrap(), [Some(300), None]);
    assert_eq!((same.stats().l2_hits, same.stats().undecodable), (2, 0));
    let other = reader(4);
    assert_eq!(other.get(&1).await.unwrap(), None);
    assert_eq!((other.stats().foreign_schema, other.stats().foreign_codec), (1, 0));
    let no_such = ok(w.twin().no_loader().also_reads(Json).schema_version(3));
    assert_eq!((no_such.get(&1).await.unwrap(), no_such.stats().foreign_codec), (None, 1));
    // Without fingerprints, `schema_version` is all that is compared.
    ok(w.twin().no_loader().codec(MessagePack).fingerprint(false)).set(&5, 5).await.unwrap();
    let plain = ok(w.twin().no_loader().also_reads(MessagePack).fingerprint(false));
    assert_eq!(plain.get(&5).await.unwrap(), Some(5));
}

#[tokio::test(start_paused = true)]
async fn another_type_of_the_other_codec_is_a_miss() {
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct One {
        id: u8,
    }
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Two {
        id: u8,
    }
    let l2 = MemoryL2::new();
    cache(&l2, AnyCodec::new::<One>(MessagePack)).build().unwrap().set(&1, Dyn::new(One { id: 1 })).await.unwrap();
    let of_two = cache(&l2, AnyCodec::new::<Two>(Postcard)).also_reads(AnyCodec::new::<Two>(MessagePack));
    let of_two = of_two.build().unwrap();
    assert_eq!((of_two.get(&1).await.unwrap(), of_two.stats().foreign_schema), (None, 1));
}

fn key(of: u8) -> [u8; 32] {
    std::array::from_fn(|n| of.wrapping_add(n as u8))
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let w = World::new();
    let with = |change: fn(LevelCacheBuilder<u64, u64>) -> LevelCacheBuilder<u64, u64>| {
        let error = change(w.bare().l2(w.l2.clone())).build().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.to_string()
    };
    let said = with(|node| node.also_reads(Postcard));
    assert!(said.starts_with("also_reads = codec 1: takes each other codec once"), "{said}");
    let said = with(|node| node.also_reads(Json).also_reads(Json));
    assert!(said.starts_with("also_reads = codec 3: "), "{said}");
    let said = with(|node| node.encrypt(EncryptionKeys::new(7, &[0; 32])));
    assert_eq!(said, "encrypt = key 7: takes 32 random bytes; these are all the same");
    let said = with(|node| node.encrypt(EncryptionKeys::new(7, &key(1)).also_reads(7, &key(2))));
    assert_eq!(said, "encrypt = key 7: has two keys; each takes a number of its own");
    let keys = || EncryptionKeys::new(7, &key(1));
    let error = w.bare().l2(w.l2.clone()).encrypt(keys()).encrypt(keys()).build().map(drop).unwrap_err();
    assert!(error.to_string().starts_with("layer = 3: takes each layer once"), "{error}");
    let value = LevelCache::<u64, serde_json::Value>::builder().area("any").ttl(TTL).l2(MemoryL2::new());
    let said = value.codec(MessagePack).also_reads(Postcard).build().map(drop).unwrap_err().to_string();
    assert!(said.starts_with("also_reads = postcard: V holds a type that must describe itself"), "{said}");
}
