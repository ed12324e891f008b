//! What a message of another node does to L1.
//!
//! 1. decode all keys; one that can't be: forget all of L1
//! 2. purge each under the fence, as `del` does: no load or backfill in progress can store what it has read

use crate::level::bounds::{Key, Value};
use crate::level::bus::Bus;
use crate::level::bus::message::Content;
use crate::level::local::Local;
use crate::level::wire::wall_clock;

impl<K: Key, V: Value> Bus<K, V> {
    /// `false`: a key could not be decoded, and L1 has forgotten all.
    pub(crate) fn apply(&self, content: &Content<'_>) -> bool {
        match content {
            Content::Keys(texts) => self.purge(texts),
            Content::Clear { also_l2: true } => {
                self.clear_here();
                true
            }
            Content::Clear { also_l2: false } => {
                self.local.forget_all();
                true
            }
            Content::Hello => true,
        }
    }

    fn purge(&self, texts: &[&str]) -> bool {
        // 1: a key's own code.
        let keys = || texts.iter().map(|text| (self.text.decode)(text)).collect::<Option<Vec<K>>>();
        let Ok(Some(keys)) = Local::<K, V>::caught("a key's decode", keys) else {
            self.local.forget_all();
            return false;
        };
        // 2
        for key in keys {
            // Where user code panics, L1 has lost the key all the same.
            let _ = Local::<K, V>::caught("the L1 store", || self.local.purge(&key));
        }
        true
    }

    /// What `clear` does on the node that calls it.
    pub(crate) fn clear_here(&self) {
        let mark = |l2: &super::ClearsL2| {
            l2.cleared.clear(wall_clock::to_clear(&*l2.store, self.local.clock.unix_exact()));
        };
        let clear = || self.local.clear(self.l2.as_ref().map(|l2| || mark(l2)));
        let _ = Local::<K, V>::caught("the L1 store", clear);
    }
}
