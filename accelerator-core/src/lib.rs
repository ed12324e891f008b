//! Contracts and engine of `accelerator`, a multi-level cache.
//!
//! Users depend on the facade crate `accelerator`; authors of stores depend on this crate alone.

mod backoff;
mod cache;
mod codecs;
mod entry;
mod error;
mod inside;
mod key;
mod level;
pub mod memoize;
mod options;
mod pulse;
mod sync;
#[cfg(feature = "testkit")]
pub mod testkit;
mod time;
mod traits;
mod wake;
mod watch;

pub use backoff::Backoff;
pub use cache::{
    Answers, Batch, Begin, Body, BoxFuture, BusHealth, BusState, BusyOps, Cache, CacheFuture, Delays, FailedLoad,
    FlightOps, Gaps, GuardOps, L2Errors, LastGap, LoadTicket, Lookup, Probe, ShutdownReport, Stats, Tickets,
    WarmupReport, WriteGuard,
};
#[cfg(feature = "json")]
pub use codecs::json::Json;
#[cfg(any(feature = "lz4", feature = "zstd"))]
pub use codecs::layers::compress::Compress;
#[cfg(feature = "lz4")]
pub use codecs::layers::compress::Lz4;
#[cfg(feature = "zstd")]
pub use codecs::layers::compress::Zstd;
#[cfg(feature = "encrypt")]
pub use codecs::layers::encrypt::EncryptionKeys;
#[cfg(feature = "msgpack")]
pub use codecs::msgpack::MessagePack;
#[cfg(feature = "postcard")]
pub use codecs::postcard::Postcard;
#[cfg(feature = "bytes")]
pub use codecs::raw_bytes::RawBytes;
pub use entry::Entry;
pub use error::{CacheError, CacheResult, ErrorKind, LoadError, StoreError, StoreErrorKind, StoreResult};
pub use key::CacheKey;
#[cfg(feature = "metrics")]
pub use level::{BUS_METRIC_NAMES, METRIC_NAMES};
pub use level::{Key, LevelCache, LevelCacheBuilder, Value};
pub use options::{ReadOptions, WriteOptions};
pub use pulse::PulsePoint;
pub use time::Clock;
pub use traits::bus::{BusEvent, BusLimits, GapCause, InvalidationBus};
pub use traits::codec::Codec;
pub use traits::l1::{L1Stats, L1Store, NoL1};
pub use traits::l2::head;
pub use traits::l2::outcomes::Outcomes;
pub use traits::l2::unclaimed::Unclaimed;
pub use traits::l2::{Filled, HoldOwner, L2Read, L2Store, LeaseToken, Limits};
pub use traits::layer::{Layer, LayerContext, LayerError};
pub use traits::loader::{BatchLoader, Loaded, Loader};
pub use traits::shape::Shape;

#[doc(hidden)]
pub use memoize::expansion as __private;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use futures_util::stream::BoxStream;
