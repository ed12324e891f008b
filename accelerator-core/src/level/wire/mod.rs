//! TODO

pub(crate) mod cleared;
pub(crate) mod envelope;
pub(crate) mod schema;
pub(crate) mod trials;
pub(crate) mod wall_clock;
pub(crate) mod wire_key;
