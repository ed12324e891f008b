//! What an operation gets when it registers in a key's slot.

/// What an operation saw when it registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) generation: u32,
    pub(super) version: u64,
}

/// A registration that is not a flight: a `set`, a `del`, a lookup in L2.
pub(crate) struct Registered {
    pub(crate) hash: u64,
    pub(crate) token: Token,
    /// The place of this operation in the order of calls.
    pub(super) call: u64,
}

/// A flight that its leader has not made: what it needs to find its slot, and whoever followed meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    pub(crate) hash: u64,
    pub(crate) token: Token,
    /// Never used twice in a shard.
    pub(crate) id: u64,
}
