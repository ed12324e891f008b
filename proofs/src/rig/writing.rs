//! Writing, as `level/write` does it.

use shuttle::future::block_on;
use shuttle::sync::atomic::Ordering::SeqCst;

use crate::level::flight::token::Registered;
use crate::rig::{Cache, Entry, KEY};
use crate::sync::lock;

impl Cache {
    pub(crate) fn begin(&self) -> Registered {
        self.table.begin(&KEY, || self.generation())
    }

    fn purge(&self) {
        self.table.invalidate(&KEY, || *lock(&self.l1) = None);
    }

    /// `del`: purge; with an L2: its turn, delete there, purge again.
    pub(crate) fn del(&self) {
        let at = self.call_del();
        self.end_del(&at);
    }

    /// What `del` does when it is called.
    pub(crate) fn call_del(&self) -> Registered {
        self.purge();
        self.begin()
    }

    /// What it does in its task.
    pub(crate) fn end_del(&self, at: &Registered) {
        let turn = self.l2.is_some().then(|| block_on(self.table.turn(&KEY, at.hash).lock_owned()));
        if turn.is_some() {
            self.write_l2(None);
            self.table.overtake(&KEY, at);
            self.purge();
        }
        self.unregister(at);
    }

    fn unregister(&self, at: &Registered) {
        self.table.commit(&KEY, at.hash, at.token, None, || self.generation(), |_| {});
    }

    /// `set` from its registration on, without the purge that the engine makes at the call: the table must do without.
    /// `in_turn`: as the engine does it; else as in protocols §1, which needs no turns to keep L1 at one with L2.
    pub(crate) fn set(&self, at: &Registered, value: u64, in_turn: bool) {
        let sealed = self.seal(value);
        let turn = in_turn.then(|| block_on(self.table.turn(&KEY, at.hash).lock_owned()));
        if turn.is_some() && self.table.is_overtaken(&KEY, at, self.generation()) {
            return self.unregister(at);
        }
        self.write_l2(Some(sealed));
        self.table.commit_write(
            &KEY,
            at,
            || self.generation(),
            |valid| {
                *lock(&self.l1) = valid.then_some(Entry { value, generation: at.token.generation });
            },
        );
        drop(turn);
    }

    /// As `write/delete.rs`.
    pub(crate) fn clear(&self) {
        let mut before = self.generation.fetch_add(1, SeqCst);
        if self.l2.is_some() {
            self.cleared_at.fetch_max(self.clock.fetch_add(1, SeqCst), SeqCst);
            before = self.generation.fetch_add(1, SeqCst);
        }
        *lock(&self.l1) = None;
        self.cleared.fetch_max(before + 1, SeqCst);
    }
}
