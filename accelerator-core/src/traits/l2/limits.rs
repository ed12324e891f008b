//! What an L2 store takes, and what it can do.

use std::time::Duration;

/// What a store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest key in bytes; the engine hashes longer ones.
    pub max_key_bytes: usize,
    /// Longest value in bytes; the engine does not send longer ones, nor any of more than the cache's `max_value_bytes`
    /// (1 MiB unless given).
    pub max_value_bytes: usize,
    /// TTLs are rounded up to a multiple of this by the engine.
    pub ttl_granularity: Duration,
    /// Whether `get_or_lease` and its companions work.
    pub leases: bool,
    /// The shortest lease that surely stands for a while, where [`renew`](crate::L2Store::renew) works: holders take leases
    /// of this length and renew them. `None`: there is no `renew`; a lease is taken for as long as a load may take.
    pub shortest_lease: Option<Duration>,
    /// Whether reads tell how old a value is: [`get_aged`](crate::L2Store::get_aged),
    /// [`get_or_lease_aged`](crate::L2Store::get_or_lease_aged), and [`Outcomes::put_aged`](crate::Outcomes::put_aged) in
    /// batches.
    pub ages: bool,
}

impl Default for Limits {
    /// Keys of 64 KiB, values of 64 MiB, milliseconds, no leases.
    fn default() -> Self {
        Self {
            max_key_bytes: 64 << 10,
            max_value_bytes: 64 << 20,
            ttl_granularity: Duration::from_millis(1),
            leases: false,
            shortest_lease: None,
            ages: false,
        }
    }
}

impl Limits {
    /// The defaults with another longest key, in bytes.
    #[must_use]
    pub fn max_key_bytes(mut self, bytes: usize) -> Self {
        self.max_key_bytes = bytes;
        self
    }

    /// The defaults with another longest value, in bytes.
    #[must_use]
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// The defaults with another grain of TTLs.
    #[must_use]
    pub fn ttl_granularity(mut self, grain: Duration) -> Self {
        self.ttl_granularity = grain;
        self
    }

    /// Says that `get_or_lease` and its companions work.
    #[must_use]
    pub fn leases(mut self, yes: bool) -> Self {
        self.leases = yes;
        self
    }

    /// Says that [`renew`](crate::L2Store::renew) works, and the shortest lease that is of use.
    #[must_use]
    pub fn shortest_lease(mut self, lease: Duration) -> Self {
        self.shortest_lease = Some(lease);
        self
    }

    /// Says that reads tell how old a value is.
    #[must_use]
    pub fn ages(mut self, yes: bool) -> Self {
        self.ages = yes;
        self
    }
}
