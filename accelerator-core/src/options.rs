//! What a single call can ask for.

use std::time::Duration;

/// How one read behaves. The default is what the builder set up.
///
/// ```
/// use accelerator_core::ReadOptions;
/// let strict = ReadOptions::new().allow_stale(false);
/// # let _ = strict;
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReadOptions {
    pub(crate) allow_stale: bool,
    pub(crate) disable_load: bool,
    pub(crate) force_refresh: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { allow_stale: true, disable_load: false, force_refresh: false }
    }
}

impl ReadOptions {
    /// The default options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `false` forbids a stale value to this call. `true` (the default) gives what the builder's `stale_on_error` allows.
    #[must_use]
    pub fn allow_stale(mut self, yes: bool) -> Self {
        self.allow_stale = yes;
        self
    }

    /// `true`: don't start the loader; a value that is in neither level is `None`. A load that is already running for
    /// the key is joined.
    #[must_use]
    pub fn disable_load(mut self, yes: bool) -> Self {
        self.disable_load = yes;
        self
    }

    /// `true`: don't accept what L1 and L2 hold, load: the source is asked after the call has begun.
    ///
    /// A load that already runs for the key is not joined, and what it finds is not cached any more. Many such calls of
    /// one key share loads: who comes while another one's load runs waits for it to end, and shares the next with all who
    /// waited. (Keys of `mget_with` are not shared between calls.)
    #[must_use]
    pub fn force_refresh(mut self, yes: bool) -> Self {
        self.force_refresh = yes;
        self
    }
}

/// How one write behaves.
///
/// ```
/// use accelerator_core::WriteOptions;
/// use std::time::Duration;
/// let short = WriteOptions::new().ttl(Duration::from_secs(5));
/// # let _ = short;
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WriteOptions {
    pub(crate) ttl: Option<Duration>,
}

impl WriteOptions {
    /// The default options: the builder's TTLs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How long this value is fresh, in both levels, instead of the builder's TTLs. A TTL of zero stores nothing: the
    /// key is removed from both levels.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}
