//! What is asked for: a trace from a file, or a stream by Zipf's law.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use liblzma::read::XzDecoder;

use crate::args::Args;

const PRODUCTS: u32 = 100_000;
const REQUESTS: u64 = 1_000_000;
/// The popularity of the product of rank r is 1 / r^EXPONENT; shops are near 1.
const EXPONENT: f64 = 1.0;
/// The same stream in every run, so that runs compare.
const SEED: u64 = 0x5eed;
const XZ_MAGIC: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// Requests, and the products that must exist for them.
pub(crate) struct Stream {
    pub(crate) origin: String,
    /// In the order of their time.
    pub(crate) keys: Vec<u32>,
    /// Ascending; may hold some that nobody asks for.
    pub(crate) products: Vec<u32>,
    pub(crate) distinct: usize,
}

/// The stream that the options ask for.
pub(crate) fn read(args: &Args) -> anyhow::Result<Stream> {
    let Some(path) = &args.trace else { return Ok(zipf(args.requests.unwrap_or(REQUESTS))) };
    let origin = format!("trace {}", path.display());
    let mut keys = trace(path).with_context(|| format!("--trace {}", path.display()))?;
    keys.truncate(args.requests.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)));
    let products = distinct(&keys);
    Ok(Stream { origin, distinct: products.len(), keys, products })
}

fn distinct(keys: &[u32]) -> Vec<u32> {
    let mut all = keys.to_vec();
    all.sort_unstable();
    all.dedup();
    all
}

/// All keys of a trace file. It is read whole, also where only a part is replayed: a damaged file is refused always.
fn trace(path: &Path) -> anyhow::Result<Vec<u32>> {
    let mut bytes = fs::read(path).context("can't read the file; check the path, or leave --trace out")?;
    // By content: downloads lose their extensions.
    if bytes.starts_with(XZ_MAGIC) {
        let mut plain = Vec::new();
        let unpacked = XzDecoder::new_multi_decoder(&*bytes).read_to_end(&mut plain);
        unpacked.context("the xz data is cut short or damaged; get the file again (`xz -t` checks it)")?;
        bytes = plain;
    }
    let (keys, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        let length = bytes.len();
        bail!("its {length} bytes are not a whole number of 4-byte keys: cut short, or no trace; get the file again");
    }
    if keys.is_empty() {
        bail!("the file is empty; give one with little-endian u32 keys, or leave --trace out");
    }
    Ok(keys.iter().map(|key| u32::from_le_bytes(*key)).collect())
}

/// Requests by Zipf's law.
fn zipf(requests: u64) -> Stream {
    let mut random = fastrand::Rng::with_seed(SEED);
    // Popular products are spread over the table; neighbours on a database page would flatter the database.
    let mut by_rank: Vec<u32> = (1..=PRODUCTS).collect();
    random.shuffle(&mut by_rank);
    let mut total = 0.0;
    let mut up_to_rank = Vec::with_capacity(by_rank.len());
    for rank in 1..=PRODUCTS {
        total += f64::from(rank).powf(-EXPONENT);
        up_to_rank.push(total);
    }
    let draw = |_| {
        let point = random.f64() * total;
        let rank = up_to_rank.partition_point(|&sum| sum <= point);
        by_rank[rank.min(by_rank.len() - 1)]
    };
    let keys: Vec<u32> = (0..requests).map(draw).collect();
    let origin = format!("Zipf's law, exponent {EXPONENT:.1}");
    Stream { origin, distinct: distinct(&keys).len(), keys, products: (1..=PRODUCTS).collect() }
}
