//! What plugs in: the contracts of stores, codecs and loaders.

pub(crate) mod codec;
pub mod head;
pub(crate) mod l1;
pub(crate) mod l2;
pub(crate) mod limits;
pub(crate) mod loader;
pub(crate) mod outcomes;
pub(crate) mod shape;
pub(crate) mod unclaimed;
