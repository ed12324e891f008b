//! A number for each living thread, so that each can have a cell of its own in a fixed array.
//!
//! On the hit path this is one load of a thread-local without a destructor. (A general per-thread map costs ten
//! instructions more there.) Numbers are given back when their thread ends; threads beyond the last number share a cell
//! and add to it atomically.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

/// Cells per cache that belong to one thread each.
pub(crate) const CELLS: usize = 63;
/// The number of a thread without a cell.
const SHARED: usize = CELLS;

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(SHARED) };
    static OWNED: Owned = const { Owned(Cell::new(SHARED)) };
}

/// Numbers that are free again, and the next one never given.
static FREE: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));

/// Gives the thread's number back when the thread ends.
struct Owned(Cell<usize>);

impl Drop for Owned {
    fn drop(&mut self) {
        // What still counts after this, in other destructors, uses the shared cell.
        NUMBER.with(|n| n.set(SHARED));
        if self.0.get() != SHARED {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).0.push(self.0.get());
        }
    }
}

/// The number of this thread: below `CELLS`, or it has none (yet: see [`first_use`]).
#[inline(always)]
pub(crate) fn number() -> usize {
    NUMBER.get()
}

/// Gives this thread a number, if there is one left.
#[cold]
#[inline(never)]
pub(crate) fn first_use() -> Option<usize> {
    OWNED
        .try_with(|owned| {
            if owned.0.get() == SHARED {
                let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
                let number = free.0.pop().or_else(|| {
                    let next = free.1;
                    (next < SHARED).then(|| {
                        free.1 += 1;
                        next
                    })
                });
                owned.0.set(number?);
                NUMBER.set(owned.0.get());
            }
            Some(owned.0.get())
        })
        .ok()
        .flatten()
}
