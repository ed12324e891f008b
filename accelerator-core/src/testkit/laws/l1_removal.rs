//! The laws of an L1 store about what must be gone, and about threads.

use std::sync::Barrier;
use std::thread;

use super::l1::{SOME, entry, text};
use crate::traits::l1::L1Store;

/// How often each thread of a law does its work.
const ROUNDS: u64 = 2_000;

/// When `remove` has returned, the key is gone; the promise of every invalidation rests on it.
pub fn a_removed_key_is_gone<S: L1Store<u64, String> + ?Sized>(store: &S) {
    for key in 0..SOME {
        store.insert(key, entry("value"));
        store.remove(&key);
        assert!(store.get(&key).is_none(), "an entry survived its removal");
    }
    assert!((0..SOME).all(|key| store.get(&key).is_none()), "an entry came back after its removal");
}

/// Removing what isn't there does nothing.
pub fn removing_a_missing_key_is_harmless<S: L1Store<u64, String> + ?Sized>(store: &S) {
    store.remove(&1);
    store.insert(1, entry("value"));
    store.remove(&2);
    store.remove(&2);
    assert_eq!(text(store, 1).as_deref(), Some("value"), "removing a missing key removed another");
}

/// Only the key that is named is removed.
pub fn remove_leaves_other_keys<S: L1Store<u64, String> + ?Sized>(store: &S) {
    for key in 0..SOME {
        store.insert(key, entry(&key.to_string()));
    }
    store.remove(&(SOME / 2));
    for key in (0..SOME).filter(|&key| key != SOME / 2) {
        assert_eq!(text(store, key), Some(key.to_string()), "key {key} went with another");
    }
}

/// A removal is not a ban.
pub fn a_removed_key_can_be_inserted_again<S: L1Store<u64, String> + ?Sized>(store: &S) {
    for round in 0..SOME {
        store.insert(1, entry(&round.to_string()));
        assert_eq!(text(store, 1), Some(round.to_string()), "an insert after a removal was lost");
        store.remove(&1);
    }
}

/// When `clear` has returned, everything is gone, however shortly before it was inserted.
pub fn clear_removes_everything<S: L1Store<u64, String> + ?Sized>(store: &S) {
    // Often, because stores that clear by time stamp have the length of a clock's tick to go wrong.
    for round in 0..SOME {
        for key in 0..SOME {
            store.insert(key, entry("value"));
        }
        store.clear();
        assert!((0..SOME).all(|key| store.get(&key).is_none()), "an entry survived clear in round {round}");
    }
}

/// A store can be used after `clear`. A single entry may be lost right after it, but not every one.
pub fn a_cleared_store_takes_new_entries<S: L1Store<u64, String> + ?Sized>(store: &S) {
    store.insert(1, entry("old"));
    store.clear();
    let taken = (0..1000).any(|_| {
        store.insert(1, entry("new"));
        thread::yield_now();
        text(store, 1).as_deref() == Some("new")
    });
    assert!(taken, "a cleared store takes no entries");
}

/// Stores are shared: what one thread inserted, the others see.
pub fn an_insert_is_seen_by_other_threads<S: L1Store<u64, String> + ?Sized>(store: &S) {
    thread::scope(|scope| {
        scope.spawn(|| (0..SOME).for_each(|key| store.insert(key, entry(&key.to_string()))));
    });
    for key in 0..SOME {
        assert_eq!(text(store, key), Some(key.to_string()), "another thread's insert is not seen");
    }
}

/// What one thread removed is gone for the others.
pub fn a_removal_is_seen_by_other_threads<S: L1Store<u64, String> + ?Sized>(store: &S) {
    for key in 0..SOME {
        store.insert(key, entry("value"));
        // Read here, so that a copy kept by this thread would show.
        let _ = store.get(&key);
    }
    thread::scope(|scope| {
        scope.spawn(|| (0..SOME).for_each(|key| store.remove(&key)));
    });
    assert!((0..SOME).all(|key| store.get(&key).is_none()), "another thread's removal is not seen");
}

/// Whatever was inserted before the call is gone when `clear` returns, and stays gone, also where two threads clear.
pub fn clear_wins_over_earlier_inserts_of_all_threads<S: L1Store<u64, String> + ?Sized>(store: &S) {
    let start = Barrier::new(3);
    let work = |mine: u64| {
        start.wait();
        for round in 0..ROUNDS {
            // A key of its own each time: nobody but this thread inserts it, and only once.
            let key = mine * ROUNDS + round;
            store.insert(key, entry("value"));
            store.clear();
            assert!(store.get(&key).is_none(), "an entry came back after clear");
        }
    };
    thread::scope(|scope| {
        (0..3).for_each(|mine| drop(scope.spawn(move || work(mine))));
    });
}

/// Threads that insert and remove the same keys leave a sane store: each entry is one that was inserted under its key,
/// and what is removed when they are done is gone for good.
pub fn the_last_removal_wins_over_concurrent_inserts<S: L1Store<u64, String> + ?Sized>(store: &S) {
    const KEYS: u64 = 4;
    let start = Barrier::new(2);
    let work = |mine: u64| {
        start.wait();
        for round in 0..ROUNDS {
            let key = round % KEYS;
            store.insert(key, entry(&format!("{key} of {mine}")));
            if let Some(seen) = text(store, key) {
                assert!(seen.starts_with(&format!("{key} of ")), "key {key} answers {seen:?}");
            }
            if (round / KEYS) % 3 == mine {
                store.remove(&key);
            }
        }
    };
    thread::scope(|scope| {
        (0..2).for_each(|mine| drop(scope.spawn(move || work(mine))));
    });
    for key in 0..KEYS {
        store.remove(&key);
    }
    assert!((0..KEYS).all(|key| store.get(&key).is_none()), "an entry survived the last removal");
}
