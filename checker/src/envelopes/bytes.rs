//! Real envelopes, and what becomes of them.

use std::time::Duration;

use accelerator::testkit::MemoryL2;
use accelerator::{Codec, LevelCache, LevelCacheBuilder, LoadError, Lookup, Postcard};
use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::envelopes::bombs::{Bombs, ENVELOPE, layer, sign};
use crate::envelopes::setups::Setup;

pub(crate) const TTL: Duration = Duration::from_secs(3600);
/// So many keys have an envelope.
const KEYS: u64 = 32;

/// A value with parts that claim lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Doc {
    id: u64,
    name: String,
    tags: Vec<String>,
    parent: Option<Box<Doc>>,
}

impl Doc {
    fn random(id: u64, random: &mut fastrand::Rng) -> Self {
        let mut text = |most: usize| {
            let len = random.usize(..most);
            std::iter::repeat_with(|| random.alphanumeric()).take(len).collect::<String>()
        };
        let (name, tags) = (text(60), vec![text(8), text(300), String::new()]);
        let parent = random.bool().then(|| Box::new(Self::loaded()));
        Self { id, name, tags, parent }
    }

    /// What the loader answers; never written otherwise.
    pub(crate) fn loaded() -> Self {
        Self { id: u64::MAX, name: "loaded".into(), tags: Vec::new(), parent: None }
    }
}

pub(crate) struct Envelope {
    pub(crate) key: u64,
    /// The key as L2 knows it.
    pub(crate) wire: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) means: Lookup<Doc>,
    /// The same value of the same key, in another way that is none of the reader's.
    foreign: Vec<Vec<u8>>,
}

/// A cache of the area and schema that the reader has.
pub(crate) fn cache(store: MemoryL2, setup: &Setup) -> LevelCacheBuilder<u64, Doc> {
    (setup.build)(plain(store))
}

fn plain(store: MemoryL2) -> LevelCacheBuilder<u64, Doc> {
    LevelCache::builder().area("doc").share_area(true).l2(store).ttl(TTL).null_ttl(TTL)
}

/// Writes values, and takes their bytes from the store.
pub(crate) async fn write(
    store: &MemoryL2,
    setup: &Setup,
    random: &mut fastrand::Rng,
) -> anyhow::Result<Vec<Envelope>> {
    let mut envelopes = Vec::new();
    for key in 0..KEYS {
        let value = (key % 4 != 3).then(|| Doc::random(key, random));
        let ours = |store| cache(store, setup);
        let (wire, bytes) = written(store, ours, key, &value).await?;
        let schema = written(store, |store| ours(store).schema_version(1), key, &value).await?;
        let codec = written(store, |store| ours(store).codec(Other), key, &value).await?;
        let area = written(store, |store| ours(store).area("other"), key, &value).await?;
        let layers = written(store, |store| (setup.other)(plain(store)), key, &value).await?;
        let means = value.map_or(Lookup::Absent, Lookup::Hit);
        envelopes.push(Envelope { key, wire, bytes, means, foreign: vec![schema.1, codec.1, area.1, layers.1] });
    }
    Ok(envelopes)
}

/// What a cache writes for `value`, and where.
async fn written(
    store: &MemoryL2,
    builder: impl FnOnce(MemoryL2) -> LevelCacheBuilder<u64, Doc>,
    key: u64,
    value: &Option<Doc>,
) -> anyhow::Result<(String, Vec<u8>)> {
    store.wipe();
    builder(store.clone()).build()?.set(&key, value.clone()).await?;
    let wire = store.keys().pop().context("nothing was written")?;
    let bytes = store.peek(&wire).context("nothing was written")?.to_vec();
    store.wipe();
    Ok((wire, bytes))
}

/// What is done to an envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    RandomBytes,
    /// Random bytes behind a head of ours.
    RandomBody,
    Truncated,
    Extended,
    BitFlipped,
    /// The bytes of another key.
    AnotherKey,
    /// Another schema, codec, area or other layers.
    Foreign,
    /// The beginning of one, the end of another.
    Spliced,
    /// What is made to hurt, with a checksum that fits.
    Bomb,
    /// Flipped bits, with a checksum that fits.
    ForgedBits,
    /// Another payload, with a checksum that fits.
    ForgedPayload,
    /// Other layers, with a checksum that fits.
    ForgedLayers,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::RandomBytes,
        Self::RandomBody,
        Self::Truncated,
        Self::Extended,
        Self::BitFlipped,
        Self::AnotherKey,
        Self::Foreign,
        Self::Spliced,
        Self::Bomb,
        Self::ForgedBits,
        Self::ForgedPayload,
        Self::ForgedLayers,
    ];

    /// Whether somebody has made a checksum for it, who can write to L2: only what is encrypted is safe from him.
    pub(crate) fn is_forged(self) -> bool {
        matches!(self, Self::ForgedBits | Self::ForgedPayload | Self::ForgedLayers)
    }

    /// The bytes to be put in place of `of`; never its own.
    pub(crate) fn bytes(self, of: &Envelope, all: &[Envelope], bombs: &Bombs, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = of.bytes.clone();
        let other = &all[random.usize(..all.len())].bytes;
        match self {
            Self::RandomBytes => bytes = noise(random),
            Self::RandomBody => {
                bytes.truncate(10);
                bytes.extend(noise(random));
            }
            Self::Truncated => bytes.truncate(random.usize(..of.bytes.len())),
            Self::Extended => bytes.extend(noise(random)),
            Self::BitFlipped => flip(&mut bytes, random),
            Self::AnotherKey => bytes.clone_from(other),
            Self::Foreign => bytes.clone_from(&of.foreign[random.usize(..of.foreign.len())]),
            Self::Spliced => {
                let at = random.usize(..bytes.len().min(other.len()));
                bytes.truncate(at);
                bytes.extend(&other[at..]);
            }
            Self::Bomb => bombs.put_into(&mut bytes, random),
            Self::ForgedBits => (0..random.usize(1..6)).for_each(|_| flip(&mut bytes, random)),
            Self::ForgedPayload => {
                let at = random.usize(ENVELOPE.min(bytes.len())..=bytes.len());
                bytes.truncate(at);
                bytes.extend(noise(random));
            }
            Self::ForgedLayers => {
                let lengths = [0, 1, 300, 1 << 20, u32::MAX, random.u32(..2_000)];
                let steps: Vec<(u8, u32)> =
                    (0..random.usize(..4)).map(|_| (random.u8(..5), lengths[random.usize(..lengths.len())])).collect();
                layer(&mut bytes, &steps);
            }
        }
        if bytes == of.bytes {
            bytes.push(0);
        }
        if self.is_forged() || matches!(self, Self::Bomb) {
            sign(&mut bytes, &of.wire);
            // A changed checksum, or bits that were flipped back.
            if bytes == of.bytes {
                bytes.truncate(ENVELOPE - 1);
            }
        }
        bytes
    }
}

fn flip(bytes: &mut [u8], random: &mut fastrand::Rng) {
    bytes[random.usize(..bytes.len())] ^= 1 << random.u32(..8);
}

fn noise(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(..200)];
    random.fill(&mut bytes);
    bytes
}

/// Postcard under another number.
struct Other;

impl Codec<Doc> for Other {
    fn id(&self) -> u8 {
        200
    }

    fn encode(&self, value: &Doc, out: &mut Vec<u8>) -> Result<(), LoadError> {
        Postcard.encode(value, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Doc, LoadError> {
        Postcard.decode(bytes)
    }
}
