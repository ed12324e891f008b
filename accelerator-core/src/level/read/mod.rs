//! TODO

pub(crate) mod forced;
pub(crate) mod hit;
pub(crate) mod many;
pub(crate) mod many_inline;
pub(crate) mod one;
pub(crate) mod pass;
pub(crate) mod refresh;
