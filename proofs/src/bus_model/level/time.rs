//! Of which those files use this alone.

pub(crate) mod policy {
    pub(crate) const RECOVERY_OVERHEAD: usize = 96;
}
