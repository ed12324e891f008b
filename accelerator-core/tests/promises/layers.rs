//! Layers between codec and envelope: what was compressed or encrypted comes back, and nothing else does.

// A layer of somebody else panics.
#![allow(clippy::panic)]

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use accelerator_core::testkit::{ManualClock, MemoryL2, settle};
use accelerator_core::{
    Codec, EncryptionKeys, ErrorKind, Layer, LayerContext, LayerError, LevelCache, LevelCacheBuilder, Limits,
    LoadError, Lookup, Lz4, NoL1, RawBytes, Zstd,
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::common::{TTL, ms, secs};

type Node = LevelCache<u64, Vec<u8>, NoL1>;
/// What is done to bytes in L2.
type Change = fn(&mut Vec<u8>);
type Build = fn(LevelCacheBuilder<u64, Vec<u8>>) -> LevelCacheBuilder<u64, Vec<u8>>;

fn bare(l2: &MemoryL2) -> LevelCacheBuilder<u64, Vec<u8>> {
    LevelCache::builder().area("t").share_area(true).ttl(TTL).l2_with_codec(l2.clone(), RawBytes)
}

fn node(l2: &MemoryL2, build: Build) -> Node {
    build(bare(l2)).build().expect("a good configuration")
}

fn key(of: u8) -> [u8; 32] {
    std::array::from_fn(|n| of.wrapping_mul(31).wrapping_add(n as u8))
}

fn keys(of: u8) -> EncryptionKeys {
    EncryptionKeys::new(u32::from(of), &key(of))
}

/// Text that gets shorter by compression.
fn text(length: usize) -> Vec<u8> {
    b"the same words again, and ".iter().copied().cycle().take(length).collect()
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}

/// Flags, extras and payload of what L2 has for the key.
fn stored(l2: &MemoryL2, key: u64) -> (u8, Vec<u8>, Vec<u8>) {
    let bytes = l2.peek(&format!("t.{key}")).expect("stored");
    let extras = 40 + usize::from(u16::from_le_bytes([bytes[30], bytes[31]]));
    (bytes[11], bytes[40..extras].to_vec(), bytes[extras..].to_vec())
}

/// The numbers of the layers that a value in L2 went through.
fn layers_of(l2: &MemoryL2, key: u64) -> Vec<u8> {
    stored(l2, key).1.get(1..).unwrap_or_default().chunks(5).map(|step| step[0]).collect()
}

/// Changes what L2 has for the key, with a checksum that fits: what one can do who may write to L2.
fn forge(l2: &MemoryL2, key: u64, change: impl FnOnce(&mut Vec<u8>)) {
    let name = format!("t.{key}");
    let mut bytes = l2.peek(&name).expect("stored").to_vec();
    change(&mut bytes);
    let covered = [&bytes[..32], &bytes[40..]].concat();
    let sum = xxh3_64_with_seed(&covered, xxh3_64(name.as_bytes()));
    bytes[32..40].copy_from_slice(&sum.to_le_bytes());
    l2.put_raw(&name, bytes, TTL);
}

const ALL: [Build; 6] = [
    |node| node.compress(Zstd),
    |node| node.compress(Lz4),
    |node| node.encrypt(keys(1)),
    |node| node.compress(Zstd).encrypt(keys(1)),
    |node| node.encrypt(keys(1)).layer(Inverted::default()).compress(Lz4.from_bytes(0)),
    |node| node.layer(Inverted::default()),
];

#[tokio::test(start_paused = true)]
async fn every_value_comes_back_through_layers_alone_and_in_batches() {
    for (n, build) in ALL.into_iter().enumerate() {
        let l2 = MemoryL2::new().with_leases();
        let (writer, reader) = (node(&l2, build), node(&l2, build));
        let values = [vec![], vec![7], text(1_023), text(1_024), text(1 << 19), noise(5_000)];
        for (key, value) in (0..).zip(values.clone()) {
            writer.set(&key, value.clone()).await.unwrap();
            assert_eq!(reader.get(&key).await.unwrap(), Some(value), "{n}: {key}");
        }
        writer.set(&9, None).await.unwrap();
        assert_eq!(reader.lookup(&9).await, Lookup::Absent, "{n}");
        let again: Vec<_> = (10..).zip(values.clone().map(Some)).collect();
        writer.mset(again).await.unwrap();
        let found = reader.mget(&[10, 11, 12, 13, 14, 15, 9]).await.into_values().unwrap();
        assert_eq!(found, [&values.map(Some)[..], &[None]].concat(), "{n}");
        assert_eq!((reader.stats().undecodable, reader.stats().misses), (0, 6 + 7), "{n}");
        let loading = build(bare(&l2)).loader(|key| async move { Ok::<_, LoadError>(Some(text(key as usize))) });
        let loading = loading.build().unwrap();
        assert_eq!(loading.get(&2_000).await.unwrap(), Some(text(2_000)), "{n}");
        assert_eq!(reader.get(&2_000).await.unwrap(), Some(text(2_000)), "{n}: filled");
    }
}

#[tokio::test(start_paused = true)]
async fn compression_begins_at_a_size_and_is_kept_where_it_pays() {
    for (id, build, from) in [
        (1, (|node| node.compress(Zstd)) as Build, 1_024),
        (2, |node| node.compress(Lz4), 1_024),
        (1, |node| node.compress(Zstd.from_bytes(300)), 300),
        (2, |node| node.compress(Lz4.from_bytes(300)), 300),
    ] {
        let l2 = MemoryL2::new();
        let writer = node(&l2, build);
        writer.set(&1, text(from - 1)).await.unwrap();
        assert_eq!(stored(&l2, 1), (0, vec![], text(from - 1)), "as without a layer");
        writer.set(&2, text(from)).await.unwrap();
        let (flags, extras, payload) = stored(&l2, 2);
        let length = u32::try_from(from).unwrap().to_le_bytes();
        assert_eq!((flags, extras), (1, [&[1, id][..], &length].concat()));
        assert!(payload.len() < from / 2, "{}", payload.len());
        // A tenth of it is text: that is worth it. A thirtieth is not.
        for (key, share, pays) in [(3, 10, true), (4, 30, false)] {
            let mut mixed = noise(30_000);
            mixed[..30_000 / share].copy_from_slice(&text(30_000 / share));
            writer.set(&key, mixed.clone()).await.unwrap();
            assert_eq!(stored(&l2, key).0 == 1, pays, "{share}");
            assert_eq!(writer.get(&key).await.unwrap(), Some(mixed));
        }
        // What is known to be absent has nothing to be compressed.
        writer.set(&5, None).await.unwrap();
        assert_eq!(stored(&l2, 5), (0, vec![], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_takes_what_fits_into_it_compressed() {
    let l2 = MemoryL2::new().with_limits(Limits::default().max_value_bytes(10_000));
    let plain = node(&l2, |node| node);
    assert_eq!(plain.set(&1, text(100_000)).await.unwrap_err().kind(), ErrorKind::Codec);
    let packed = node(&l2, |node| node.compress(Zstd));
    packed.set(&1, text(100_000)).await.unwrap();
    assert_eq!(packed.get(&1).await.unwrap(), Some(text(100_000)));
    let error = packed.set(&1, noise(100_000)).await.unwrap_err();
    assert!(error.to_string().contains("L2 takes 10000"), "{error}");
    // A value of the cache's own limit stays one: it would not be read.
    assert_eq!(packed.set(&1, text((1 << 20) + 1)).await.unwrap_err().kind(), ErrorKind::Codec);
}

#[tokio::test(start_paused = true)]
async fn compression_comes_before_layers_of_others_and_encryption_last() {
    let (l2, value) = (MemoryL2::new(), text(2_000));
    for (key, build) in [
        (1, (|node| node.compress(Zstd).layer(Inverted::default()).encrypt(keys(1))) as Build),
        (2, |node| node.encrypt(keys(1)).layer(Inverted::default()).compress(Zstd)),
    ] {
        node(&l2, build).set(&key, value.clone()).await.unwrap();
        assert_eq!(layers_of(&l2, key), [1, 200, 3]);
        assert!(stored(&l2, key).2.len() < 500, "encrypted after it was compressed");
    }
}

/// A codec that says how often it was asked to decode.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Codec<Vec<u8>> for Counting {
    fn id(&self) -> u8 {
        Codec::<Vec<u8>>::id(&RawBytes)
    }
    fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), LoadError> {
        RawBytes.encode(value, out)
    }
    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
        self.0.fetch_add(1, SeqCst);
        RawBytes.decode(bytes)
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_other_layers_is_a_miss_counted_by_its_cause_and_never_decoded() {
    let (zstd, lz4): (Build, Build) = (|node| node.compress(Zstd), |node| node.compress(Lz4));
    let (plain, one): (Build, Build) = (|node| node, |node| node.encrypt(keys(1)));
    let (two, mine): (Build, Build) = (|node| node.encrypt(keys(2)), |node| node.layer(Inverted::default()));
    let both: Build = |node| node.compress(Zstd).encrypt(keys(1));
    // The last: whether "absent" is read, which nobody compresses.
    for (n, (writes, reads, cause, absent)) in [
        (zstd, plain, "layer", true),
        (zstd, lz4, "layer", true),
        (one, plain, "layer", false),
        (one, zstd, "layer", false),
        (mine, zstd, "layer", false),
        (both, one, "layer", true),
        // Nobody gets a value in that encryption has not seen.
        (plain, one, "layer", false),
        (zstd, both, "layer", false),
        (plain, mine, "layer", false),
        (one, |node| node.layer(Inverted::default()).encrypt(keys(1)), "layer", false),
        (one, two, "key id", false),
        (both, |node| node.compress(Zstd).encrypt(keys(2)), "key id", false),
    ]
    .into_iter()
    .enumerate()
    {
        let (l2, codec) = (MemoryL2::new(), Counting::default());
        node(&l2, writes).mset([(1, Some(text(5_000))), (2, None)]).await.unwrap();
        let reader = reads(bare(&l2).codec(codec.clone())).build().unwrap();
        assert_eq!(reader.get(&1).await.unwrap(), None, "{n}");
        assert_eq!(reader.mget(&[1]).await.into_values().unwrap(), [None], "{n}");
        let stats = reader.stats();
        let expected = if cause == "layer" { (2, 0) } else { (0, 2) };
        assert_eq!((stats.foreign_layer, stats.foreign_key_id), expected, "{n}");
        assert_eq!((stats.undecodable, stats.damaged, codec.0.load(SeqCst)), (2, 0, 0), "{n}");
        assert_eq!(reader.lookup(&2).await == Lookup::Absent, absent, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn encrypted_values_are_bound_to_key_schema_layers_and_life() {
    let build: Build = |node| node.compress(Zstd).encrypt(keys(1));
    let changes: [(&str, Change); 12] = [
        ("the kind", |bytes| bytes[1] ^= 1),
        ("the nonce of the write", |bytes| bytes[2] ^= 1),
        ("the time of writing", |bytes| bytes[16] ^= 1),
        ("the soft TTL", |bytes| bytes[23] ^= 1),
        ("the hard TTL", |bytes| bytes[28] ^= 1),
        ("the length of the layers", |bytes| bytes[42] ^= 1),
        ("the length of compression", |bytes| bytes[47] ^= 1),
        ("the number of the key", |bytes| bytes[51] = 3),
        ("the nonce", |bytes| bytes[56] ^= 1),
        ("what is encrypted", |bytes| bytes[90] ^= 1),
        ("the tag", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("the end", |bytes| bytes.truncate(bytes.len() - 1)),
    ];
    for (what, change) in changes {
        let l2 = MemoryL2::new();
        node(&l2, build).set(&1, text(5_000)).await.unwrap();
        let two: Build = |node| node.compress(Zstd).encrypt(keys(1).also_reads(3, &key(3)));
        let reader = node(&l2, two);
        forge(&l2, 1, |_| {});
        assert_eq!(reader.get(&1).await.unwrap(), Some(text(5_000)), "{what}");
        forge(&l2, 1, change);
        assert_eq!(reader.lookup(&1).await, Lookup::Miss, "{what}");
        assert_eq!((reader.stats().damaged, reader.stats().undecodable), (1, 1), "{what}: {:?}", reader.stats());
    }
    // The bytes of one key under another, and of one area in another: with checksums that fit.
    let l2 = MemoryL2::new();
    node(&l2, build).mset([(1, Some(text(50))), (2, Some(text(60)))]).await.unwrap();
    let two = l2.peek("t.2").unwrap();
    forge(&l2, 1, |bytes| *bytes = two.to_vec());
    let reader = node(&l2, build);
    assert_eq!((reader.get(&1).await.unwrap(), reader.stats().damaged), (None, 1));
    let other = build(bare(&l2).area("other")).build().unwrap();
    other.set(&1, text(50)).await.unwrap();
    let elsewhere = l2.peek("other.1").unwrap();
    forge(&l2, 1, |bytes| *bytes = elsewhere.to_vec());
    assert_eq!((reader.get(&1).await.unwrap(), reader.stats().damaged), (None, 2));
    // A value of another schema, said to be of this one.
    let later = build(bare(&l2).schema_version(1)).build().unwrap();
    later.set(&3, text(50)).await.unwrap();
    forge(&l2, 3, |bytes| bytes[12] = 0);
    assert_eq!((reader.get(&3).await.unwrap(), reader.stats().damaged), (None, 3));
    // A value that is whole, without the layer: said to be none of ours.
    node(&l2, |node| node).set(&4, text(50)).await.unwrap();
    assert_eq!((reader.get(&4).await.unwrap(), reader.stats().foreign_layer), (None, 1));
}

/// As with values of another build (`deploys.rs`): a young one is left to those who wait for it, an older one is replaced.
#[tokio::test(start_paused = true)]
async fn what_other_layers_or_another_key_wrote_gives_way_when_it_is_a_moment_old() {
    let cases: [(&str, Build, Build); 5] = [
        ("a layer more", |node| node, |node| node.encrypt(keys(1))),
        ("a layer less", |node| node.layer(Inverted::default()), |node| node),
        ("compressed, and nobody to undo it", |node| node.compress(Zstd), |node| node),
        ("of another compression", |node| node.compress(Zstd), |node| node.compress(Lz4)),
        ("of a key that is unknown", |node| node.encrypt(keys(1)), |node| node.encrypt(keys(2))),
    ];
    for (what, old, new) in cases {
        for leases in [true, false] {
            for batch in [false, true] {
                let (clock, loads) = (ManualClock::new(), Arc::new(AtomicUsize::new(0)));
                let l2 = MemoryL2::with_clock(clock.clone());
                let l2 = if leases { l2.with_leases() } else { l2 };
                let node = |build: Build| {
                    let loads = loads.clone();
                    let load = move |_| {
                        loads.fetch_add(1, SeqCst);
                        ready(Ok::<_, std::io::Error>(Some(text(4000))))
                    };
                    build(bare(&l2).clock(clock.clone())).loader(load).build().expect("a good configuration")
                };
                node(old).set(&1, text(5000)).await.unwrap();
                let (reader, bytes) = (node(new), l2.peek("t.1"));
                let read = async || match batch {
                    false => reader.get(&1).await.unwrap(),
                    true => reader.mget(&[1]).await.into_values().unwrap().remove(0),
                };
                clock.tick(ms(249));
                assert_eq!(read().await, Some(text(4000)), "{what}");
                assert_eq!((l2.peek("t.1"), loads.load(SeqCst)), (bytes.clone(), 1), "{what}: it stays");
                let stats = reader.stats();
                assert_eq!(stats.foreign_layer + stats.foreign_key_id, 1, "{what}: {stats:?}");
                clock.tick(ms(1));
                assert_eq!(read().await, Some(text(4000)), "{what}");
                settle().await;
                assert_ne!(l2.peek("t.1"), bytes, "{what}, leases: {leases}, batch: {batch}");
                assert_eq!(read().await, Some(text(4000)), "{what}");
                assert_eq!(loads.load(SeqCst), 2, "{what}: it was stored");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_write_has_a_nonce_of_its_own_and_nothing_of_the_value_is_seen() {
    let l2 = MemoryL2::new();
    let writer = node(&l2, |node| node.encrypt(keys(1)));
    let (mut nonces, secret) = (std::collections::HashSet::new(), text(64));
    for _ in 0..100 {
        writer.set(&1, secret.clone()).await.unwrap();
        let (_, extras, payload) = stored(&l2, 1);
        assert_eq!((extras.as_slice(), payload.len()), (&[1, 3, 64, 0, 0, 0][..], 4 + 24 + 64 + 16));
        assert!(!payload.windows(8).any(|part| secret.windows(8).any(|of| of == part)), "in the clear");
        nonces.insert(payload[4..28].to_vec());
    }
    assert_eq!(nonces.len(), 100);
    let said = format!("{:?}", EncryptionKeys::new(1, &[b'k'; 32]).also_reads(2, &[7; 32]));
    assert_eq!(said, "EncryptionKeys { numbers: [1, 2], .. }");
    let cx = LayerContext::new("user.secret", b"envelope", 5);
    assert_eq!(format!("{cx:?}"), "LayerContext { length: 5, .. }");
}

#[tokio::test(start_paused = true)]
async fn extras_that_lie_are_misses_without_memory_for_what_they_claim() {
    let build: Build = |node| node.compress(Zstd).compress(Lz4).layer(Inverted::default());
    let claims = |claimed: u32| move |bytes: &mut Vec<u8>| bytes[42..46].copy_from_slice(&claimed.to_le_bytes());
    for (n, (change, cause)) in [
        // Of compression: the length of what it was.
        (Box::new(claims(u32::MAX)) as Box<dyn Fn(&mut Vec<u8>)>, "damaged"),
        (Box::new(claims((1 << 20) + 1)), "damaged"),
        (Box::new(claims(1 << 20)), "damaged"),
        (Box::new(claims(4_999)), "damaged"),
        (Box::new(claims(5_001)), "damaged"),
        (Box::new(claims(0)), "damaged"),
        // Layers twice, in another order, none, unknown.
        (Box::new(|bytes| bytes[46] = 1), "layer"),
        (Box::new(|bytes| (bytes[41], bytes[46]) = (200, 1)), "layer"),
        (Box::new(|bytes| bytes[41] = 9), "layer"),
        (Box::new(|bytes| bytes[40] = 0), "version"),
        (Box::new(|bytes| bytes[40] = 1), "version"),
        (Box::new(|bytes| bytes[40] = 255), "version"),
        (Box::new(|bytes| bytes[30] = 6), "version"),
        (Box::new(|bytes| bytes[30] = 0), "version"),
        (Box::new(|bytes| bytes[31] = 0xFF), "damaged"),
        (Box::new(|bytes| bytes[11] = 0), "version"),
        (Box::new(|bytes| bytes[11] = 3), "version"),
    ]
    .into_iter()
    .enumerate()
    {
        let l2 = MemoryL2::new();
        node(&l2, build).set(&1, text(5_000)).await.unwrap();
        assert_eq!(layers_of(&l2, 1), [1, 200]);
        forge(&l2, 1, change);
        let reader = node(&l2, build);
        assert_eq!(reader.get(&1).await.unwrap(), None, "{n}");
        let stats = reader.stats();
        let counted = [("damaged", stats.damaged), ("layer", stats.foreign_layer), ("version", stats.foreign_version)];
        for (of, count) in counted {
            assert_eq!(count, u64::from(of == cause), "{n}: {of}");
        }
        assert_eq!(stats.undecodable, 1, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_compressed_bomb_is_a_miss() {
    let zeros = vec![0; 64 << 20];
    let bombs = [(1_u8, zstd::bulk::compress(&zeros, 1).unwrap()), (2, lz4_flex::block::compress(&zeros[..16 << 20]))];
    let build: Build = |node| node.compress(Zstd).compress(Lz4);
    for (id, bomb) in bombs {
        let l2 = MemoryL2::new();
        for stated in [5_000_u32, 1 << 20, 64 << 20] {
            node(&l2, |node| node).set(&1, bomb.clone()).await.unwrap();
            forge(&l2, 1, |bytes| {
                (bytes[11], bytes[30]) = (1, 6);
                let extras = [&[1, id][..], &stated.to_le_bytes()].concat();
                bytes.splice(40..40, extras);
            });
            let reader = node(&l2, build);
            assert_eq!((reader.get(&1).await.unwrap(), reader.stats().damaged), (None, 1), "{id}: {stated}");
        }
    }
}

/// Turns each byte around. With something wrong about it.
#[derive(Clone, Copy, Default)]
struct Inverted(&'static str);

impl Layer for Inverted {
    fn id(&self) -> u8 {
        200
    }
    fn apply(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
        assert_eq!(cx.length(), bytes.len());
        match self.0 {
            "fails" => Err("no".into()),
            "panics" => panic!("at the layer"),
            "is left out" => Ok(None),
            "grows" => Ok(Some(vec![0; 2 << 20])),
            _ => Ok(Some(bytes.iter().map(|byte| !byte).collect())),
        }
    }
    fn undo(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
        match self.0 {
            "panics later" => panic!("at the layer"),
            "fails later" => Err(LayerError::Damaged),
            "is too long" => Ok(vec![0; cx.length() + 1]),
            _ => Ok(bytes.iter().map(|byte| !byte).collect()),
        }
    }
}

/// Stores nothing of the bytes.
struct Emptied;

impl Layer for Emptied {
    fn id(&self) -> u8 {
        202
    }
    fn apply(&self, _: &[u8], _: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
        Ok(Some(vec![]))
    }
    fn undo(&self, _: &[u8], cx: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
        Ok(vec![0; cx.length()])
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_fails_loses_no_answer() {
    // What grows is made short again, and yet no reader would take it.
    for defect in ["fails", "panics", "is left out", "grows"] {
        let l2 = MemoryL2::new();
        let load = |_| async { Ok::<_, LoadError>(Some(vec![1])) };
        let cache = bare(&l2).layer(Inverted(defect)).layer(Emptied).loader(load).build().unwrap();
        assert_eq!(cache.get(&1).await.unwrap(), Some(vec![1]), "{defect}");
        assert_eq!(cache.set(&1, vec![2]).await.unwrap_err().kind(), ErrorKind::Codec, "{defect}");
        assert_eq!(l2.peek("t.1"), None, "{defect}");
    }
    for defect in ["panics later", "fails later", "is too long"] {
        let l2 = MemoryL2::new();
        node(&l2, |node| node.layer(Inverted::default())).set(&1, vec![1, 2]).await.unwrap();
        let reader = bare(&l2).layer(Inverted(defect)).build().unwrap();
        assert_eq!((reader.get(&1).await.unwrap(), reader.stats().damaged), (None, 1), "{defect}");
    }
}

/// What a layer of somebody else is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Said>>>);

/// The key, the envelope, the length.
type Said = (String, Vec<u8>, usize);

impl Layer for Told {
    fn id(&self) -> u8 {
        201
    }
    fn apply(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
        crate::common::lock(&self.0).push((cx.key().to_owned(), cx.envelope().to_vec(), cx.length()));
        Ok(Some(bytes.to_vec()))
    }
    fn undo(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
        crate::common::lock(&self.0).push((cx.key().to_owned(), cx.envelope().to_vec(), cx.length()));
        Ok(bytes.to_vec())
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_is_told_the_same_of_a_value_on_both_ways() {
    // A key that is too long for the store is told in full.
    let l2 = MemoryL2::new().with_limits(Limits::default().max_key_bytes(64));
    let told = Told::default();
    let builder = LevelCache::<String, Vec<u8>>::builder().area("a b").ttl(secs(7)).l2_with_codec(l2, RawBytes);
    let cache = builder.compress(Zstd).layer(told.clone()).encrypt(keys(1)).build().unwrap();
    let key = "k".repeat(300);
    for value in [Some(text(5_000)), Some(text(5)), None] {
        cache.set(&key, value.clone()).await.unwrap();
        assert_eq!(cache.get(&key).await.unwrap(), value);
        let said = std::mem::take(&mut *crate::common::lock(&told.0));
        assert_eq!(said.len(), 2);
        assert_eq!(said[0], said[1]);
        let (name, envelope, length) = &said[0];
        assert!(name.starts_with("a~20b.kkkk") && name.len() > 300, "{name}");
        assert_eq!(envelope[22..26], 7_000_u32.to_le_bytes());
        let compressed = value.as_ref().is_some_and(|value| value.len() > 1_000);
        assert_eq!(envelope.len(), 30 + 1 + if compressed { 10 } else { 5 });
        assert_eq!(*length == value.map_or(0, |value| value.len()), !compressed);
    }
}
