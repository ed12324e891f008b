//! Deploys in steps: nodes of two builds side by side, and none has a miss.

use std::future::ready;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use super::LONG;
#[cfg(all(feature = "encrypt", feature = "postcard"))]
use crate::EncryptionKeys;
#[cfg(all(feature = "msgpack", feature = "postcard"))]
use crate::MessagePack;
#[cfg(all(
    feature = "postcard",
    any(feature = "encrypt", feature = "msgpack", all(feature = "lz4", feature = "zstd"))
))]
use crate::Postcard;
use crate::error::LoadError;
use crate::level::{LevelCache, LevelCacheBuilder};
use crate::traits::codec::Codec;
use crate::traits::l1::NoL1;
use crate::traits::l2::L2Store;
#[cfg(all(feature = "lz4", feature = "postcard", feature = "zstd"))]
use crate::{Lz4, Zstd};

/// Long enough for a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one build of a service calls on the builder, `codec` included.
pub type Build = fn(LevelCacheBuilder<u64, String>) -> LevelCacheBuilder<u64, String>;

/// Takes the place of a codec until the build names one.
struct Missing;

impl Codec<String> for Missing {
    fn id(&self) -> u8 {
        255
    }

    fn encode(&self, _: &String, _: &mut Vec<u8>) -> Result<(), LoadError> {
        Err("the build names no codec".into())
    }

    fn decode(&self, _: &[u8]) -> Result<String, LoadError> {
        Err("the build names no codec".into())
    }
}

fn node<S: L2Store>(store: S, area: &str, build: Build, loads: &Arc<AtomicU64>) -> LevelCache<u64, String, NoL1> {
    let loads = Arc::clone(loads);
    let load = move |key: u64| {
        loads.fetch_add(1, SeqCst);
        ready(Ok::<_, io::Error>(Some(value(key))))
    };
    let plain =
        LevelCache::builder().area(area).share_area(true).ttl(LONG).l2_timeout(PATIENCE).l2_with_codec(store, Missing);
    build(plain).loader(load).build().expect("a cache")
}

/// Some are long, and can be compressed.
fn value(key: u64) -> String {
    format!("value {key} ").repeat(if key.is_multiple_of(2) { 1 } else { 400 })
}

/// Every build reads what those of the step before it and its own have written, alone, in batches and as a node that just
/// starts, and the step before it reads what it writes: no value is loaded twice, and none is taken for a miss. In an area
/// in which the store has nothing yet.
pub async fn no_step_of_a_rollout_has_a_miss<S: L2Store + Clone>(store: S, area: &str, builds: &[Build]) {
    let loads = Arc::default();
    let (mut next, mut before) = (0, Vec::new());
    for (step, pair) in builds.windows(2).enumerate() {
        let (old, new) = (node(store.clone(), area, pair[0], &loads), node(store.clone(), area, pair[1], &loads));
        let mut all = before;
        // A step is taken when what is older than the one before it is over.
        before = Vec::new();
        for writer in [&old, &new] {
            before = (next..next + 4).collect();
            next += 4;
            assert_eq!(writer.get(&before[0]).await.expect("a value"), Some(value(before[0])));
            writer.mget(&before[..3]).await.into_values().expect("values");
            writer.set(&before[3], value(before[3])).await.expect("confirmed");
            all.extend(&before);
        }
        let loaded = loads.load(SeqCst);
        for reader in [&old, &new, &node(store.clone(), area, pair[1], &loads)] {
            for key in &all {
                assert_eq!(reader.get(key).await.expect("a value"), Some(value(*key)), "step {step}");
            }
            let values = reader.mget(&all).await.into_values().expect("values");
            assert!(all.iter().zip(values).all(|(key, found)| found == Some(value(*key))), "step {step}");
            assert_eq!(reader.stats().undecodable, 0, "step {step}: {:?}", reader.stats());
        }
        assert_eq!(loads.load(SeqCst), loaded, "step {step}: all were in L2");
    }
}

/// Another codec, forth and back.
#[cfg(all(feature = "msgpack", feature = "postcard"))]
pub const CODECS: &[Build] = &[
    |node| node.codec(Postcard),
    |node| node.codec(Postcard).also_reads(MessagePack),
    |node| node.codec(MessagePack).also_reads(Postcard),
    |node| node.codec(MessagePack),
    |node| node.codec(MessagePack).also_reads(Postcard),
    |node| node.codec(Postcard).also_reads(MessagePack),
    |node| node.codec(Postcard),
];

/// Compression, another one, and none.
#[cfg(all(feature = "lz4", feature = "postcard", feature = "zstd"))]
pub const COMPRESSION: &[Build] = &[
    |node| node.codec(Postcard),
    |node| node.codec(Postcard).compress(Zstd.only_reads()),
    |node| node.codec(Postcard).compress(Zstd),
    |node| node.codec(Postcard).compress(Zstd).compress(Lz4.only_reads()),
    |node| node.codec(Postcard).compress(Zstd.only_reads()).compress(Lz4),
    |node| node.codec(Postcard).compress(Lz4),
    |node| node.codec(Postcard).compress(Lz4.only_reads()),
    |node| node.codec(Postcard),
];

/// A new key of encryption, and the old one gone.
#[cfg(all(feature = "encrypt", feature = "postcard"))]
pub const KEYS: &[Build] = &[
    |node| node.codec(Postcard).encrypt(EncryptionKeys::new(1, &secret(1))),
    |node| node.codec(Postcard).encrypt(EncryptionKeys::new(1, &secret(1)).also_reads(2, &secret(2))),
    |node| node.codec(Postcard).encrypt(EncryptionKeys::new(2, &secret(2)).also_reads(1, &secret(1))),
    |node| node.codec(Postcard).encrypt(EncryptionKeys::new(2, &secret(2))),
];

/// No secret.
#[cfg(all(feature = "encrypt", feature = "postcard"))]
fn secret(of: u8) -> [u8; 32] {
    std::array::from_fn(|n| of.wrapping_mul(31).wrapping_add(n as u8))
}
