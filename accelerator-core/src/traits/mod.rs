//! What plugs in: the contracts of stores, codecs, layers, loaders and buses.

pub(crate) mod bus;
pub(crate) mod codec;
pub(crate) mod l1;
pub(crate) mod l2;
pub(crate) mod layer;
pub(crate) mod loader;
pub(crate) mod shape;
