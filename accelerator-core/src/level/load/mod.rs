//! From a led flight to its end: L2, the source, the fill.
//!
//! The rooms `read` and `ticket` begin a load here. It calls `remote` and the configured loaders, and ends in `local`. The
//! files named `…_inline` are for loads that may be ready at once: those make no flight.

pub(crate) mod many;
pub(crate) mod many_store;
pub(crate) mod matching;
pub(crate) mod one;
pub(crate) mod one_inline;
pub(crate) mod open_key;
