//! Batches cut into pieces that a server takes at once.

use accelerator_core::{Outcomes, StoreError};

use crate::server_error;

/// The most keys of one round trip: long enough to make it cheap, short enough not to keep others waiting.
const MOST_KEYS: usize = 512;
/// The most bytes of values of one round trip, as long as one value alone is not more.
const MOST_BYTES: usize = 4 << 20;

/// One error for many keys.
pub(crate) fn fail<T>(out: &mut Outcomes<T>, positions: &[usize], error: &StoreError) {
    for &position in positions {
        out.put(position, Err(server_error::again(error)));
    }
}

/// Positions of items of these sizes, a chunk at a time.
pub(crate) fn chunks(sizes: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let (mut chunks, mut chunk, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (position, size) in sizes {
        if chunk.len() == MOST_KEYS || (bytes + size > MOST_BYTES && !chunk.is_empty()) {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        chunk.push(position);
        bytes += size;
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(sizes: &[usize]) -> Vec<usize> {
        chunks(sizes.iter().copied().enumerate()).iter().map(Vec::len).collect()
    }

    #[test]
    fn chunks_are_cut_by_keys_and_by_bytes() {
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&[0; 512]), [512]);
        assert_eq!(lengths(&[0; 1025]), [512, 512, 1]);
        assert_eq!(lengths(&[1 << 20; 9]), [4, 4, 1]);
        assert_eq!(lengths(&[64 << 20, 1, 64 << 20]), [1, 1, 1]);
    }
}
