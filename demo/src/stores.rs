//! The stores that the demo knows, and the cache built of them.

use std::sync::Arc;
use std::time::Duration;

use accelerator::stores::{MiniMokaL1, MokaL1, QuickCacheL1};
use accelerator::{CacheResult, L1Store, L2Store, LevelCache, NoL1};
use clap::builder::PossibleValuesParser;
use foldhash::fast::FixedState;

use crate::args::Args;
use crate::catalogue::{Catalogue, Product};

/// `Arc`, so that a hit copies a pointer and not a product.
pub(crate) type Value = Arc<Product>;
/// Any L1 store. Named at run time, hence `dyn`; a service that knows its store uses it by its own type and saves the
/// indirect call.
pub(crate) type AnyL1 = Arc<dyn L1Store<u32, Value>>;

/// Longer than any replay: the demo is about hits and misses, not about time.
pub(crate) const TTL: Duration = Duration::from_secs(3600);

type Make = fn(u64) -> AnyL1;
pub(crate) struct Table(&'static [(&'static str, Make)]);

/// A new store is one line here.
///
/// The hashers are fixed, so that a run by one thread repeats exactly; a service leaves them random, against keys made
/// to collide.
pub(crate) const L1: Table = Table(&[
    ("moka", |capacity| {
        Arc::new(MokaL1::builder().capacity(capacity).hasher(FixedState::default()).build().expect("it has a bound"))
    }),
    ("mini-moka", |capacity| {
        Arc::new(
            MiniMokaL1::builder().capacity(capacity).hasher(FixedState::default()).build().expect("it has a bound"),
        )
    }),
    ("quick-cache", |capacity| {
        Arc::new(
            QuickCacheL1::builder().capacity(capacity).hasher(FixedState::default()).build().expect("it has a bound"),
        )
    }),
    ("none", |_| Arc::new(NoL1)),
]);

impl Table {
    pub(crate) fn names(&self) -> PossibleValuesParser {
        PossibleValuesParser::new(self.0.iter().map(|(name, _)| *name))
    }

    /// The names of those that store anything.
    pub(crate) fn real(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).filter(|name| *name != "none").collect()
    }
}

/// An empty L1 as the options say.
pub(crate) fn l1(args: &Args) -> AnyL1 {
    // The names come from the same table, so the search always ends well.
    let make = L1.0.iter().find(|(name, _)| *name == args.l1).map(|(_, make)| *make);
    make.map_or_else(|| Arc::new(NoL1) as AnyL1, |make| make(args.capacity))
}

/// The cache as the options say, with the catalogue behind it.
pub(crate) fn cache(
    args: &Args,
    l2: Option<Arc<dyn L2Store>>,
    catalogue: Arc<Catalogue>,
) -> CacheResult<LevelCache<u32, Value>> {
    // Beside an L2 the default of `l1_ttl` is shorter than `ttl`, as nodes don't hear of each other's writes; here nobody
    // writes.
    let mut builder = LevelCache::builder().area("product").l1(l1(args)).ttl(TTL).l1_ttl(TTL);
    if let Some(store) = l2 {
        builder = builder.l2(store);
    }
    // This loader blocks its thread, which async code mostly must not: a point query takes microseconds, less than the
    // way to `spawn_blocking` and back. A database that may take milliseconds belongs there, or behind an async driver.
    builder
        .loader(move |id| {
            let catalogue = catalogue.clone();
            async move { catalogue.find(id).map(|product| product.map(Arc::new)) }
        })
        .build()
}
