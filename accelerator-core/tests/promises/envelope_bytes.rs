//! I10 and the format: what L2 holds, byte for byte, and that nothing else is ever taken for a value.

use accelerator_core::testkit::{MemoryL1, MemoryL2};
use accelerator_core::{Clock, L1Store, Layer, LayerContext, LayerError, LevelCache, LoadError, Lookup, NoL1, Zstd};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::common::{TTL, World, ok, secs};

/// The schema of `u64` with postcard and `schema_version` 0.
const U64: u32 = 0x9C3D_AB4D;

/// An envelope as the format's description says, made without the library.
#[derive(Clone)]
struct Sealed {
    version_and_kind: u8,
    nonce: u64,
    codec: u8,
    flags: u8,
    schema: u32,
    written_at: u64,
    soft_ttl: u32,
    hard_ttl: u32,
    extras: Vec<u8>,
    payload: Vec<u8>,
}

impl Sealed {
    /// The value 300 (postcard: a varint), written now.
    fn value(w: &World) -> Self {
        Self {
            version_and_kind: 0x10,
            nonce: 0x1122_3344_5566_7788,
            codec: 1,
            flags: 0,
            schema: U64,
            written_at: w.clock.unix_ms(),
            soft_ttl: 60_000,
            hard_ttl: 60_000,
            extras: vec![],
            payload: vec![0xAC, 0x02],
        }
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        let mut out = vec![0xC7, self.version_and_kind];
        out.extend(self.nonce.to_le_bytes());
        out.extend([self.codec, self.flags]);
        out.extend(self.schema.to_le_bytes());
        out.extend(&self.written_at.to_le_bytes()[..6]);
        out.extend(self.soft_ttl.to_le_bytes());
        out.extend(self.hard_ttl.to_le_bytes());
        out.extend(u16::try_from(self.extras.len()).expect("short extras").to_le_bytes());
        assert_eq!(out.len(), 32);
        let rest = [self.extras.as_slice(), &self.payload].concat();
        let sum = xxh3_64_with_seed(&[out.as_slice(), &rest].concat(), xxh3_64(key.as_bytes()));
        out.extend(sum.to_le_bytes());
        out.extend(rest);
        out
    }
}

/// Reads the key with a node that has only L2.
async fn read(w: &World, key: u64) -> Option<u64> {
    ok(w.bare().l1(NoL1).l2(w.l2.clone())).get(&key).await.expect("unreadable bytes are never an error")
}

#[tokio::test(start_paused = true)]
async fn a_value_in_l2_is_these_bytes() {
    let w = World::new();
    let cache = ok(w.no_loader().fingerprint(false).schema_version(0x0A0B_0C0D).stale_on_error(secs(5)));
    cache.set(&1, 300).await.unwrap();
    cache.set(&2, None).await.unwrap();
    for (key, kind, soft, payload) in [(1, 0x10, 60_000, vec![0xAC, 0x02]), (2, 0x11, 30_000, vec![])] {
        let name = format!("t.{key}");
        let found = w.l2.inner().peek(&name).unwrap();
        let nonce = u64::from_le_bytes(found[2..10].try_into().unwrap());
        let expected = Sealed {
            version_and_kind: kind,
            nonce,
            schema: 0x0A0B_0C0D,
            soft_ttl: soft,
            hard_ttl: soft + 5_000,
            payload,
            ..Sealed::value(&w)
        };
        assert_eq!(found, expected.bytes(&name));
    }
}

/// Turns each byte around.
struct Inverted;

impl Layer for Inverted {
    fn id(&self) -> u8 {
        200
    }
    fn apply(&self, bytes: &[u8], _: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
        Ok(Some(bytes.iter().map(|byte| !byte).collect()))
    }
    fn undo(&self, bytes: &[u8], _: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
        Ok(bytes.iter().map(|byte| !byte).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_with_layers_is_these_bytes_and_one_that_has_none_is_what_it_was() {
    let w = World::new();
    let cache = ok(w.no_loader().fingerprint(false).layer(Inverted));
    cache.set(&1, 300).await.unwrap();
    cache.set(&2, None).await.unwrap();
    for (key, kind, soft, length, payload) in [(1, 0x10, 60_000, 2, vec![0x53, 0xFD]), (2, 0x11, 30_000, 0, vec![])] {
        let name = format!("t.{key}");
        let found = w.l2.inner().peek(&name).unwrap();
        let sealed = Sealed {
            version_and_kind: kind,
            nonce: u64::from_le_bytes(found[2..10].try_into().unwrap()),
            flags: 1,
            schema: 0,
            soft_ttl: soft,
            hard_ttl: soft,
            extras: vec![1, 200, length, 0, 0, 0],
            payload,
            ..Sealed::value(&w)
        };
        assert_eq!(found, sealed.bytes(&name));
        w.l2.inner().put_raw(&name, sealed.bytes(&name), TTL);
    }
    let reader = ok(w.twin().no_loader().fingerprint(false).layer(Inverted));
    assert_eq!(reader.mget(&[1, 2]).await.into_values().unwrap(), [Some(300), None]);
    // Compression that is left out leaves nothing behind.
    ok(w.twin().no_loader().compress(Zstd)).set(&3, 300).await.unwrap();
    let found = w.l2.inner().peek("t.3").unwrap();
    let nonce = u64::from_le_bytes(found[2..10].try_into().unwrap());
    assert_eq!(found, Sealed { nonce, ..Sealed::value(&w) }.bytes("t.3"));
}

#[test]
fn the_format_does_not_change_by_accident() {
    let w = World::new();
    let hex: String =
        Sealed { schema: 0, ..Sealed::value(&w) }.bytes("t.1").iter().map(|b| format!("{b:02x}")).collect();
    let expected = "c710887766554433221101000000000000ee5c2b970160ea000060ea00000000dffbd7c9e198ee01ac02";
    assert_eq!(hex, expected);
}

#[tokio::test(start_paused = true)]
async fn bytes_made_by_the_description_are_read() {
    let w = World::new();
    w.l2.inner().put_raw("t.1", Sealed::value(&w).bytes("t.1"), TTL);
    let written = {
        ok(w.twin().no_loader()).set(&9, 300).await.unwrap();
        w.l2.inner().peek("t.9").unwrap()[12..16].to_vec()
    };
    assert_eq!(written, U64.to_le_bytes(), "{written:x?}");
    assert_eq!(read(&w, 1).await, Some(300));
    let absent = Sealed { version_and_kind: 0x11, payload: vec![], ..Sealed::value(&w) };
    w.l2.inner().put_raw("t.1", absent.bytes("t.1"), TTL);
    assert_eq!(ok(w.no_loader()).lookup(&1).await, Lookup::Absent);
}

#[tokio::test(start_paused = true)]
async fn each_write_has_a_nonce_of_its_own() {
    let w = World::new();
    let cache = ok(w.no_loader());
    let mut nonces = std::collections::HashSet::new();
    for _ in 0..100 {
        cache.set(&1, 300).await.unwrap();
        nonces.insert(w.l2.inner().peek("t.1").unwrap()[2..10].to_vec());
    }
    assert_eq!(nonces.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn every_flipped_bit_every_truncation_and_every_appended_byte_is_a_miss() {
    let w = World::new();
    ok(w.no_loader()).set(&1, 300).await.unwrap();
    let good = w.l2.inner().peek("t.1").unwrap().to_vec();
    assert_eq!(good.len(), 42);
    let reader = ok(w.bare().l1(NoL1).l2(w.l2.clone()));
    let mut tried = 0;
    let mut check = async |bytes: Vec<u8>, what: String| {
        w.l2.inner().put_raw("t.1", bytes, TTL);
        assert_eq!(reader.get(&1).await.expect("never an error"), None, "{what}");
        tried += 1;
        assert_eq!(reader.stats().undecodable, tried, "{what} was not counted");
    };
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(bytes, format!("bit {bit}")).await;
    }
    for len in 0..good.len() {
        check(good[..len].to_vec(), format!("the first {len} bytes")).await;
    }
    for byte in 0..=255 {
        check([good.clone(), vec![byte]].concat(), format!("{byte} appended")).await;
    }
    check([good.clone(), good.clone()].concat(), "twice".into()).await;
    w.l2.inner().put_raw("t.1", good, TTL);
    assert_eq!(reader.get(&1).await.unwrap(), Some(300));
}

#[tokio::test(start_paused = true)]
async fn what_is_sealed_well_but_says_something_else_is_a_miss() {
    let w = World::new();
    let good = Sealed::value(&w);
    let kind = |kind: u8| Sealed { version_and_kind: kind, ..good.clone() };
    let cases: Vec<(&str, Sealed, bool)> = vec![
        ("a lease", kind(0x12), true),
        ("a hold", kind(0x13), true),
        ("a failure", kind(0x14), true),
        ("a kind that does not exist", kind(0x1F), true),
        ("a version that does not exist", kind(0x20), false),
        ("absent, with a payload", kind(0x11), true),
        ("a payload with a byte left over", Sealed { payload: vec![0xAC, 0x02, 0x00], ..good.clone() }, true),
        ("a payload that is too short", Sealed { payload: vec![0xAC], ..good.clone() }, true),
        ("no payload", Sealed { payload: vec![], ..good.clone() }, true),
        ("a flag", Sealed { flags: 1, ..good.clone() }, false),
        ("extras", Sealed { extras: vec![1, 2, 3], ..good.clone() }, false),
        ("another codec", Sealed { codec: 2, ..good.clone() }, false),
        ("another schema", Sealed { schema: 1, ..good.clone() }, false),
    ];
    for (what, sealed, replaced) in cases {
        let bytes = sealed.bytes("t.1");
        w.l2.inner().put_raw("t.1", bytes.clone(), TTL);
        assert_eq!(read(&w, 1).await, None, "{what}");
        let node = ok(w.twin().both());
        assert_eq!(node.get(&1).await.unwrap(), Some(1001), "{what}");
        assert_eq!(node.stats().undecodable, 1, "{what}");
        assert_eq!(w.l2.inner().peek("t.1").unwrap() != bytes, replaced, "{what}: a newer node's bytes stay");
    }
    // Readable, and over.
    for over in [
        Sealed { soft_ttl: 0, hard_ttl: 0, ..good.clone() },
        Sealed { written_at: good.written_at - 60_000, ..good.clone() },
        Sealed { written_at: 0, ..good.clone() },
        Sealed { written_at: (1 << 48) - 1, ..good.clone() },
        Sealed { soft_ttl: 0, ..good.clone() },
    ] {
        w.l2.inner().put_raw("t.1", over.bytes("t.1"), TTL);
        assert_eq!(read(&w, 1).await, None);
    }
    // The longest lives that fit do not overflow anything.
    let longest = Sealed { soft_ttl: u32::MAX, hard_ttl: u32::MAX, ..good.clone() };
    w.l2.inner().put_raw("t.1", longest.bytes("t.1"), TTL);
    assert_eq!(read(&w, 1).await, Some(300));
    let node = ok(w.twin().no_loader());
    assert_eq!(node.get(&1).await.unwrap(), Some(300));
    w.clock.advance(TTL).await;
    assert_eq!(node.try_get(&1), Lookup::Miss, "L1 keeps to its own TTL");
}

#[tokio::test(start_paused = true)]
async fn values_swapped_between_two_keys_are_misses() {
    let w = World::new();
    let cache = ok(w.no_loader());
    cache.mset([(1, Some(5)), (2, Some(6)), (3, None)]).await.unwrap();
    let of = |key: &str| w.l2.inner().peek(key).unwrap();
    let (one, two, three) = (of("t.1"), of("t.2"), of("t.3"));
    w.l2.inner().put_raw("t.1", two, TTL);
    w.l2.inner().put_raw("t.2", three, TTL);
    w.l2.inner().put_raw("t.3", one, TTL);
    let reader = w.other_node();
    assert_eq!(reader.mget(&[1, 2, 3]).await.into_values().unwrap(), [None, None, None]);
    assert_eq!(reader.stats().undecodable, 3);
    for key in [1, 2, 3] {
        assert_eq!(read(&w, key).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn noise_is_a_miss_and_never_a_panic() {
    let w = World::new();
    let reader = ok(w.bare().l1(NoL1).l2(w.l2.clone()));
    let mut random = fastrand::Rng::with_seed(7);
    for i in 0..5_000 {
        let mut bytes: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
        // Half of it looks like ours at first sight.
        if i % 2 == 0 && bytes.len() > 2 {
            (bytes[0], bytes[1]) = (0xC7, 0x10 | random.u8(0..16));
        }
        w.l2.inner().put_raw("t.1", bytes, TTL);
        assert_eq!(reader.get(&1).await.unwrap(), None);
    }
    assert_eq!(reader.stats().undecodable, 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_length_that_lies_is_a_miss_without_a_huge_allocation() {
    let w = World::new();
    let cache = LevelCache::<u64, Vec<u64>>::builder()
        .area("t")
        .ttl(TTL)
        .clock(w.clock.clone())
        .l1(MemoryL1::new())
        .l2(w.l2.clone())
        .build()
        .unwrap();
    for lie in [vec![0xFF, 0xFF, 0xFF, 0xFF, 0x7F], vec![0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]] {
        let sealed = Sealed { payload: lie, ..Sealed::value(&w) };
        w.l2.inner().put_raw("t.1", sealed.bytes("t.1"), TTL);
        assert_eq!(cache.get(&1).await.unwrap(), None);
    }
    assert_eq!(cache.stats().undecodable, 2);
}

#[tokio::test(start_paused = true)]
async fn long_keys_are_hashed_and_still_kept_apart() {
    let w = World::new();
    let small =
        MemoryL2::with_clock(w.clock.clone()).with_limits(accelerator_core::Limits::default().max_key_bytes(64));
    let l1 = MemoryL1::new();
    let cache = LevelCache::<String, u64>::builder()
        .area("t")
        .ttl(TTL)
        .clock(w.clock.clone())
        .l1(l1.clone())
        .l2(small.clone())
        .build()
        .unwrap();
    let key = |n: u64| format!("{}{n}", "x".repeat(500));
    for n in 0..50 {
        cache.set(&key(n), n).await.unwrap();
    }
    assert_eq!(small.len(), 50);
    assert!(small.keys().iter().all(|k| k.len() <= 64));
    L1Store::clear(&l1);
    for n in 0..50 {
        assert_eq!(cache.get(&key(n)).await.unwrap(), Some(n));
    }
    // The checksum knows the full key, not the shortened one.
    let (a, b) = (small.keys()[0].clone(), small.keys()[1].clone());
    let moved = small.peek(&a).unwrap();
    small.put_raw(&b, moved, TTL);
    let reader =
        LevelCache::<String, u64>::builder().area("t").ttl(TTL).clock(w.clock.clone()).l2(small).build().unwrap();
    let mut missing = 0;
    for n in 0..50 {
        missing += usize::from(reader.get(&key(n)).await.unwrap().is_none());
    }
    assert_eq!(missing, 1);
}
