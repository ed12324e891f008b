//! One random operation where writers guard.
//!
//! Every change of a row is made under a write guard, so nobody may read an older version from the commit on, whether the
//! guard is finished, dropped or killed with its process. Beside the guards, keys are deleted and set though nothing has
//! changed. Half of the keys have one writer, the other half as many as there are processes.

use std::time::Duration;

use accelerator::L1Store;

use crate::event::{Guards, Verb, What};
use crate::row::{Id, Row};
use crate::time::now;
use crate::worker::calls::nanos;
use crate::worker::operations::Space;

/// A hold lasts 10 s from when the server has it. A commit that was surely earlier counts.
const SURELY_HELD: Duration = Duration::from_secs(8);

impl<L1: L1Store<Id, Row>> Space<L1> {
    pub(crate) async fn guarded_step(&self, guards: Guards, random: &mut fastrand::Rng) {
        let id = self.pick(random);
        match random.u32(..1000) {
            0..500 => self.get(id).await,
            500..580 => self.mget(self.several(random)).await,
            580..640 => self.get_or_load(id).await,
            640..670 => self.force_refresh(id).await,
            670..690 => self.cancelled_get(id, random.u64(..3000)).await,
            690..730 => self.lookup(id).await,
            730..860 => self.change(guards, id, random).await,
            860..930 => self.needless_del(&[id]).await,
            930..970 => self.needless_del(&self.several(random)).await,
            _ => self.set(guards, id).await,
        }
    }

    /// Whether this process may write the key, and for a key with one writer, its turn.
    async fn turn(&self, guards: Guards, id: Id) -> Option<Option<tokio::sync::MutexGuard<'_, ()>>> {
        if id % 2 == 1 {
            return Some(None);
        }
        if (id as usize / 2) % guards.processes != guards.process {
            return None;
        }
        let turn = self.shared.turns.get(id as usize)?;
        Some(Some(turn.lock().await))
    }

    async fn change(&self, guards: Guards, id: Id, random: &mut fastrand::Rng) {
        let Some(_turn) = self.turn(guards, id).await else { return self.needless_del(&[id]).await };
        let begin = now();
        let Ok(guard) = self.cache.write_guard(&id).await else { return };
        if random.u32(..8) == 0 {
            self.needless_del(&[id]).await;
        }
        let version = self.shared.client.write(id).await;
        if now().saturating_sub(begin) < nanos(SURELY_HELD) {
            self.shared.journal.push(id, begin, What::Committed(version));
        }
        if random.u32(..4) == 0 {
            tokio::time::sleep(Duration::from_micros(random.u64(..5000))).await;
        }
        // Of few keys the holds would be there all the time.
        if random.u32(..50) == 0 {
            return drop(guard);
        }
        let begin = now();
        let done = guard.finish().await;
        self.shared.calls.ended(Verb::WriteGuard, begin);
        self.invalidated(Verb::WriteGuard, id, begin, version, done.is_ok());
    }

    /// Deletes what has not changed.
    async fn needless_del(&self, ids: &[Id]) {
        let begin = now();
        let (verb, done) = match ids {
            [id] => (Verb::Del, self.cache.del(id).await),
            many => (Verb::Mdel, self.cache.mdel(many).await),
        };
        self.shared.calls.ended(verb, begin);
        if done.is_err() {
            self.shared.calls.unconfirmed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Sets what the only writer of the key knows to be the row. One that is given up may come late, so none is sent
    /// where the server is stopped.
    async fn set(&self, guards: Guards, id: Id) {
        if !guards.sets || id % 2 == 1 {
            return self.get(id).await;
        }
        let Some(_turn) = self.turn(guards, id).await else { return self.get(id).await };
        let row = Row::of(id, self.shared.client.read(id).await);
        if self.cache.set(&id, row).await.is_err() {
            self.shared.calls.unconfirmed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
}
