//! The trial of a value: whether its bytes come back as they were written.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::traits::codec::Codec;

/// What is wrong with bytes that a codec has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The codec can't read them.
    Unreadable,
    /// What it reads is written as other bytes.
    Different,
}

impl Lost {
    /// For people.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Unreadable => {
                "what is written can't be read back: a field that is skipped (skip_serializing_if, skip_serializing), \
                 or a Deserialize that wants something else than Serialize writes"
            }
            Self::Different => {
                "what is read back is another value: a variant or field that is skipped in one direction, \
                 or a Deserialize that changes what it reads"
            }
        }
    }
}

/// Decodes `written`, encodes that again and compares the bytes. A panic of the codec is bytes that can't be read.
pub(crate) fn comes_back<V, C: Codec<V> + ?Sized>(codec: &C, written: &[u8]) -> Result<(), Lost> {
    let again = || {
        let value = codec.decode(written).ok()?;
        let mut out = Vec::with_capacity(written.len());
        codec.encode(&value, &mut out).ok().map(|()| out)
    };
    let again = catch_unwind(AssertUnwindSafe(again)).ok().flatten().ok_or(Lost::Unreadable)?;
    if again == written || sorted(&again) == sorted(written) { Ok(()) } else { Err(Lost::Different) }
}

/// A map of another order: it has the same bytes in other places.
fn sorted(bytes: &[u8]) -> [usize; 256] {
    let mut counts = [0; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    counts
}
