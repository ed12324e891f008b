//! Caches of many types that are one type for the engine, so that it is compiled once.

use std::any::Any;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use accelerator_core::{Codec, L2Store, LevelCache, LevelCacheBuilder, LoadError, NoL1, Shape};

use crate::common::TTL;

/// A value of any type.
#[derive(Clone)]
pub(crate) struct Dyn(Arc<dyn Any + Send + Sync>, fn(&Dyn, &Dyn) -> bool, fn(&Dyn) -> String);

impl Dyn {
    pub(crate) fn new<V: PartialEq + Debug + Send + Sync + 'static>(value: V) -> Self {
        let same = |one: &Self, other: &Self| one.of::<V>().is_some() && one.of::<V>() == other.of::<V>();
        Self(Arc::new(value), same, |value| format!("{:?}", value.of::<V>()))
    }

    pub(crate) fn of<V: 'static>(&self) -> Option<&V> {
        self.0.downcast_ref()
    }
}

impl PartialEq for Dyn {
    fn eq(&self, other: &Self) -> bool {
        self.1(self, other)
    }
}

impl Debug for Dyn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.2(self))
    }
}

/// A codec of `V` as one of any type.
struct Through<V, C>(C, PhantomData<fn() -> V>);

impl<V: PartialEq + Debug + Send + Sync + 'static, C: Codec<V>> Codec<Dyn> for Through<V, C> {
    fn id(&self) -> u8 {
        self.0.id()
    }
    fn encode(&self, value: &Dyn, out: &mut Vec<u8>) -> Result<(), LoadError> {
        self.0.encode(value.of().ok_or("another type")?, out)
    }
    fn decode(&self, bytes: &[u8]) -> Result<Dyn, LoadError> {
        self.0.decode(bytes).map(Dyn::new)
    }
    fn shape(&self) -> Shape {
        self.0.shape()
    }
}

/// The codec, for values of the type `V`.
#[derive(Clone)]
pub(crate) struct AnyCodec(Arc<dyn Codec<Dyn>>);

impl AnyCodec {
    pub(crate) fn new<V: PartialEq + Debug + Send + Sync + 'static>(codec: impl Codec<V>) -> Self {
        Self(Arc::new(Through(codec, PhantomData)))
    }
}

impl Codec<Dyn> for AnyCodec {
    fn id(&self) -> u8 {
        self.0.id()
    }
    fn encode(&self, value: &Dyn, out: &mut Vec<u8>) -> Result<(), LoadError> {
        self.0.encode(value, out)
    }
    fn decode(&self, bytes: &[u8]) -> Result<Dyn, LoadError> {
        self.0.decode(bytes)
    }
    fn shape(&self) -> Shape {
        self.0.shape()
    }
}

/// A cache of an L2 alone, of whichever build.
pub(crate) fn cache(l2: &(impl L2Store + Clone), codec: AnyCodec) -> LevelCacheBuilder<u64, Dyn, NoL1> {
    LevelCache::<u64, Dyn>::builder().area("any").share_area(true).ttl(TTL).l2_with_codec(l2.clone(), codec)
}
