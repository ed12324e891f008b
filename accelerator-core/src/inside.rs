//! Whether this thread is inside of a cache: it holds a lock under which code of the user runs (the key's `Hash`, `Eq`,
//! `Clone` and `Drop`, the L1 store, and the `Clone`, `Drop` and weighers that it calls).
//!
//! That code must not wait for the lock that its own thread holds. What it asks of a cache is done as soon as the lock is
//! released ([`later`]), or it panics with a message that names the rule ([`enter`]).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many calls may wait for one lock to be released.
const MOST_LATER: usize = 100_000;

type Call = Box<dyn FnOnce()>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Outside,
    Inside,
    /// And calls wait for the way out.
    Called,
}

thread_local! {
    static WHERE: Cell<Where> = const { Cell::new(Where::Outside) };
    static CALLS: RefCell<VecDeque<Call>> = const { RefCell::new(VecDeque::new()) };
    /// A store drops a value, maybe on the way of a hit: under locks of its own, and none of ours.
    static DROPPING: Cell<bool> = const { Cell::new(false) };
    /// The calls are being made, one after another.
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// This thread is inside until this is dropped, which must come after the lock was released.
pub(crate) struct Inside(());

/// # Panics
/// The thread is inside already: user code called the cache in a way that can't be answered there.
#[inline(always)]
pub(crate) fn enter() -> Inside {
    if WHERE.get() != Where::Outside {
        refuse();
    }
    WHERE.set(Where::Inside);
    Inside(())
}

#[inline(always)]
pub(crate) fn is_inside() -> bool {
    WHERE.get() != Where::Outside
}

/// Whether code of the user runs that a store calls, as far as that is known without a cost for hits.
pub(crate) fn is_called() -> bool {
    is_inside() || DROPPING.get()
}

/// Runs what drops a value for a store.
#[inline(always)]
pub(crate) fn dropping<T>(drops: impl FnOnce() -> T) -> T {
    let before = DROPPING.replace(true);
    let out = drops();
    DROPPING.set(before);
    out
}

/// [`enter`]'s panic, for who must not even begin.
#[cold]
#[inline(never)]
#[expect(clippy::panic, reason = "the other end is a thread that waits for itself for ever")]
pub(crate) fn refuse() -> ! {
    panic!("{RULE}");
}

/// What user code is told that breaks it.
pub(crate) const RULE: &str = "the code of a key, a value, a weigher or an L1 store (Clone, Drop, Hash, Eq) called a cache \
     that was calling it; there it may call stats, set, mset, del, mdel and clear, and wait for none of them: see \
     `Value`";

/// Makes the call when this thread is outside again. `false`: too many wait already, or the thread ends.
pub(crate) fn later(call: impl FnOnce() + 'static) -> bool {
    let queued = CALLS.try_with(|calls| {
        let mut calls = calls.borrow_mut();
        let has_room = calls.len() < MOST_LATER;
        if has_room {
            calls.push_back(Box::new(call));
        }
        has_room
    });
    WHERE.set(Where::Called);
    queued == Ok(true)
}

impl Drop for Inside {
    #[inline(always)]
    fn drop(&mut self) {
        if WHERE.replace(Where::Outside) == Where::Called {
            call_all();
        }
    }
}

#[cold]
#[inline(never)]
fn call_all() {
    // A call that enters and leaves comes by here as well: what it leaves is done by the loop that made it.
    if CALLING.replace(true) {
        return;
    }
    while let Some(call) = CALLS.try_with(|calls| calls.borrow_mut().pop_front()).ok().flatten() {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
            forget_panic(payload);
        }
    }
    CALLING.set(false);
}

/// User code panicked where nobody gets an error for it. The panic's own message has gone to the panic hook.
#[cold]
pub(crate) fn report_panic(what: &'static str) {
    let report =
        move || tracing::warn!(target: "accelerator", what, "user code panicked; the cache went on without it");
    // Who writes logs is foreign, too.
    if is_inside() {
        later(report);
    } else {
        report();
    }
}

/// Drops what a panic carried; that may be a user's own, and panic in turn.
pub(crate) fn forget_panic(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}
