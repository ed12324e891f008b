//! Batches cut into pieces that a server takes at once, and their answers put together again.

use accelerator_core::{StoreError, StoreResult};

use crate::refusal;

/// The most keys of one round trip: long enough to make it cheap, short enough not to keep others waiting.
const MOST_KEYS: usize = 512;
/// The most bytes of values of one round trip, as long as one value alone is not more.
const MOST_BYTES: usize = 4 << 20;

/// The outcomes of a batch, in the order of its input.
pub(crate) struct Answers<T>(Vec<Option<StoreResult<T>>>);

impl<T> Answers<T> {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| None).collect())
    }

    pub(crate) fn put(&mut self, position: usize, answer: StoreResult<T>) {
        self.0[position] = Some(answer);
    }

    /// One error for many keys.
    pub(crate) fn fail(&mut self, positions: &[usize], error: &StoreError) {
        for &position in positions {
            self.put(position, Err(refusal::again(error)));
        }
    }

    pub(crate) fn into_vec(self, missing: impl Fn() -> StoreError) -> Vec<StoreResult<T>> {
        self.0.into_iter().map(|answer| answer.unwrap_or_else(|| Err(missing()))).collect()
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
