//! The answers of a batch loader, each with who asked for it.
//!
//! Most loaders answer in the order in which they were asked: then nothing is searched for. What nobody asked for is
//! dropped. What is left out is said to be; but a key that was invalidated between two of its occurrences is asked for
//! twice, and answered once.

use hashbrown::HashTable;

use crate::traits::loader::Loaded;

/// The keys that one call of a batch loader was for, in the order of that call.
pub(crate) trait Asking<K, V> {
    fn len(&self) -> usize;

    /// The key at this place; `None`: it is over.
    fn key(&self, at: usize) -> Option<&K>;

    /// The hash of the key, while it waits for its answer.
    fn hash(&self, at: usize) -> Option<u64>;

    /// Whether the key at this place waits, and is this one.
    fn asks_for(&self, at: usize, key: &K) -> bool;

    /// The answer of the key at this place, which waits.
    fn answer(&mut self, at: usize, loaded: Loaded<V>);

    /// No answer was left for the key at this place; `twin`: the place of the same key, which had one.
    fn left_out(&mut self, at: usize, twin: Option<usize>);
}

/// Hands out the answers; `hash_of` is the hash of the slot table.
#[inline(always)]
pub(crate) fn hand_out<K: Eq, V, A: Asking<K, V>>(
    asking: &mut A,
    found: Vec<(K, Loaded<V>)>,
    hash_of: impl Fn(&K) -> u64,
) {
    // Made when an answer first comes out of turn.
    let mut index = None;
    let mut answered = 0;
    for (turn, (key, loaded)) in found.into_iter().enumerate() {
        let at = if asking.asks_for(turn, &key) {
            Some(turn)
        } else {
            let hash = hash_of(&key);
            let index = index.get_or_insert_with(|| index_of(asking.len(), |at| asking.hash(at)));
            index.find(hash, |&(own, at)| own == hash && asking.asks_for(at, &key)).map(|&(_, at)| at)
        };
        if let Some(at) = at {
            asking.answer(at, loaded);
            answered += 1;
        }
    }
    if answered < asking.len() {
        hand_out_rest(asking, hash_of);
    }
}

#[cold]
fn hand_out_rest<K: Eq, V, A: Asking<K, V>>(asking: &mut A, hash_of: impl Fn(&K) -> u64) {
    let answered = |at| if asking.hash(at).is_none() { asking.key(at).map(&hash_of) } else { None };
    let index = index_of(asking.len(), answered);
    for at in 0..asking.len() {
        if let Some(hash) = asking.hash(at) {
            let twin = index.find(hash, |&(_, twin)| asking.key(twin) == asking.key(at)).map(|&(_, twin)| twin);
            asking.left_out(at, twin);
        }
    }
}

/// The places that have a hash.
fn index_of(places: usize, hash: impl Fn(usize) -> Option<u64>) -> HashTable<(u64, usize)> {
    let mut index = HashTable::with_capacity(places);
    for (hash, at) in (0..places).filter_map(|at| Some((hash(at)?, at))) {
        index.insert_unique(hash, (hash, at), |entry: &(u64, usize)| entry.0);
    }
    index
}
