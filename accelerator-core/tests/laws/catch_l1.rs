//! L1 stores with one defect each, and the laws that name it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use accelerator_core::testkit::MemoryL1;
use accelerator_core::testkit::laws::l1::failures;
use accelerator_core::{Entry, L1Stats, L1Store};

type Memory = MemoryL1<u64, String>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Defect {
    Sound,
    IgnoresRemoval,
    IgnoresClear,
    ClearsOnRemoval,
    BansRemovedKeys,
    BansAfterClear,
    KeepsTheOldEntry,
    ForgetsTheGeneration,
    ForgetsAbsence,
    MissingIsAbsence,
    UsesHalfOfTheKey,
    KeepsFew,
    OverflowsOnLife,
    RefusesTheDead,
    CountsInserts,
    KeepsACopyPerThread,
}
use Defect::*;

struct Broken {
    defect: Defect,
    memory: Memory,
    seen: Mutex<Seen>,
}

/// What the defects remember.
#[derive(Default)]
struct Seen {
    removed: HashSet<u64>,
    inserts: u64,
    cleared: bool,
}

thread_local! {
    static COPIES: RefCell<HashMap<u64, Entry<String>>> = RefCell::default();
}

impl L1Store<u64, String> for Broken {
    fn get(&self, key: &u64) -> Option<Entry<String>> {
        match self.defect {
            UsesHalfOfTheKey => self.memory.get(&(key & u64::from(u32::MAX))),
            MissingIsAbsence => Some(self.memory.get(key).unwrap_or_else(|| Entry::new(None, 0, 1, 1, 0))),
            KeepsACopyPerThread => COPIES.with_borrow_mut(|copies| {
                if !copies.contains_key(key)
                    && let Some(entry) = self.memory.get(key)
                {
                    copies.insert(*key, entry);
                }
                copies.get(key).cloned()
            }),
            _ => self.memory.get(key),
        }
    }

    fn insert(&self, key: u64, entry: Entry<String>) {
        let mut seen = self.seen.lock().expect("lock");
        seen.inserts += 1;
        match self.defect {
            BansRemovedKeys if seen.removed.contains(&key) => {}
            BansAfterClear if seen.cleared => {}
            KeepsTheOldEntry if self.memory.get(&key).is_some() => {}
            ForgetsTheGeneration => {
                let life = entry.life().as_millis() as u64;
                self.memory.insert(key, Entry::new(entry.into_value(), 0, life, life, 0));
            }
            ForgetsAbsence if entry.value().is_none() => self.memory.remove(&key),
            UsesHalfOfTheKey => self.memory.insert(key & u64::from(u32::MAX), entry),
            OverflowsOnLife => {
                assert!(entry.life().as_millis() < 1 << 60, "overflow");
                self.memory.insert(key, entry);
            }
            RefusesTheDead if entry.life().is_zero() => {}
            KeepsACopyPerThread => COPIES.with_borrow_mut(|copies| {
                copies.insert(key, entry.clone());
                self.memory.insert(key, entry);
            }),
            _ => self.memory.insert(key, entry),
        }
    }

    fn remove(&self, key: &u64) {
        self.seen.lock().expect("lock").removed.insert(*key);
        match self.defect {
            IgnoresRemoval => {}
            ClearsOnRemoval => self.memory.clear(),
            UsesHalfOfTheKey => self.memory.remove(&(key & u64::from(u32::MAX))),
            _ => {
                COPIES.with_borrow_mut(|copies| copies.remove(key));
                self.memory.remove(key);
            }
        }
    }

    fn clear(&self) {
        self.seen.lock().expect("lock").cleared = true;
        if self.defect != IgnoresClear {
            COPIES.with_borrow_mut(HashMap::clear);
            self.memory.clear();
        }
    }

    fn stats(&self) -> L1Stats {
        let inserts = self.seen.lock().expect("lock").inserts;
        if self.defect == CountsInserts { L1Stats::new(inserts, None) } else { self.memory.stats() }
    }
}

/// The laws that a store with this defect breaks.
fn caught(defect: Defect) -> Vec<&'static str> {
    failures(|| {
        COPIES.with_borrow_mut(HashMap::clear);
        let memory = if defect == KeepsFew { Memory::with_capacity(8) } else { Memory::new() };
        Broken { defect, memory, seen: Mutex::default() }
    })
}

#[test]
fn a_store_without_defect_keeps_all_laws() {
    assert_eq!(caught(Sound), [""; 0]);
}

#[test]
fn each_defect_is_named_by_the_laws_it_breaks() {
    let expected: &[(Defect, &[&str])] = &[
        (
            IgnoresRemoval,
            &[
                "a_removed_key_is_gone",
                "a_removal_is_seen_by_other_threads",
                "the_last_removal_wins_over_concurrent_inserts",
            ],
        ),
        (IgnoresClear, &["clear_removes_everything", "clear_wins_over_earlier_inserts_of_all_threads"]),
        (ClearsOnRemoval, &["removing_a_missing_key_is_harmless", "remove_leaves_other_keys"]),
        (BansRemovedKeys, &["removing_a_missing_key_is_harmless", "a_removed_key_can_be_inserted_again"]),
        (BansAfterClear, &["a_cleared_store_takes_new_entries"]),
        (
            KeepsTheOldEntry,
            &[
                "known_absence_is_kept_apart_from_missing",
                "insert_replaces",
                "a_dead_entry_leaves_no_older_one",
                "a_living_entry_replaces_a_dead_one",
            ],
        ),
        (ForgetsTheGeneration, &["get_gives_exactly_what_was_inserted", "insert_replaces"]),
        (ForgetsAbsence, &["known_absence_is_kept_apart_from_missing"]),
        (UsesHalfOfTheKey, &["entries_are_kept_apart_by_key"]),
        (
            KeepsFew,
            &["entries_within_capacity_are_kept", "remove_leaves_other_keys", "an_insert_is_seen_by_other_threads"],
        ),
        (OverflowsOnLife, &["an_endless_life_is_kept"]),
        (RefusesTheDead, &["a_dead_entry_leaves_no_older_one"]),
        (CountsInserts, &["stats_count_no_more_than_was_inserted"]),
        (KeepsACopyPerThread, &["a_removal_is_seen_by_other_threads"]),
    ];
    for (defect, laws) in expected {
        assert_eq!(caught(*defect), *laws, "{defect:?}");
    }
    // No part of an entry can be told from none: everything that must be gone is still there.
    let laws = caught(MissingIsAbsence);
    assert!(laws.contains(&"a_key_never_inserted_is_missing"), "{laws:?}");
    assert!(laws.contains(&"known_absence_is_kept_apart_from_missing"), "{laws:?}");
}
