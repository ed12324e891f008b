//! Read: one who waits for the flights of others until it has an answer or leads: a `get`, or who loads with a future of
//! its own (`ticket/begin.rs`).
//!
//! ```text
//! over       the answer, or the error
//! missed     its leader had nothing to load with: join again, knowing that L2 has nothing
//! gone       join again
//! given up   lead it
//! too long   its work is stuck in one poll, or its holder gives no sign of life: join again; the second time nobody is
//!            waited for
//! ```

use std::sync::Arc;

use crate::cache::Lookup;
use crate::error::CacheError;
use crate::level::bounds::{Key, Value};
use crate::level::drive::in_task::move_to_task;
use crate::level::drive::wait::LoadsWith;
use crate::level::local::host::{Follow, Led, Step, Waited};
use crate::level::local::outcome::Outcome;
use crate::level::local::{Flight, Local};
use crate::level::remote::permit::L2Use;

/// Where a read stands that could not end in its first poll.
pub(crate) enum Stage<K: Key, V: Value> {
    Joined(Step<K, V>),
    /// Its own work has moved into a task; without a flight it starts again.
    Moved(Option<Arc<Flight<K, V>>>),
}

/// What following came to.
pub(crate) enum Followed<K: Key, V: Value> {
    /// L1 or another's flight has the answer.
    Hit(Option<V>),
    /// The load of another failed.
    Failed { error: CacheError, stale: Lookup<V> },
    /// It is this read's turn to load.
    Lead(Led<K, V>),
    /// The second flight whose work is stuck.
    Stuck,
    /// There is no answer, and this read has nothing to load with.
    Nothing,
}

/// A read that follows.
pub(crate) struct Follower<'e, K: Key, V: Value> {
    local: &'e Arc<Local<K, V>>,
    key: &'e K,
    heir: LoadsWith,
    fresh_is_enough: bool,
    /// What it would make of L2, if it led.
    pub(crate) l2: L2Use,
    stuck: bool,
}

impl<'e, K: Key, V: Value> Follower<'e, K, V> {
    /// `heir`: what it would load with.
    pub(crate) fn new(
        local: &'e Arc<Local<K, V>>,
        key: &'e K,
        heir: LoadsWith,
        fresh_is_enough: bool,
        l2: L2Use,
    ) -> Self {
        Self { local, key, heir, fresh_is_enough, l2, stuck: false }
    }

    /// Joins once more; it was counted when it joined first.
    pub(crate) fn join_again(&self) -> Stage<K, V> {
        let borrowed = self.heir != LoadsWith::Loader;
        Stage::Joined(Step::new(self.local.join_again(self.key, borrowed, self.fresh_is_enough)))
    }

    /// Waits, from one flight to the next.
    pub(crate) async fn follow(&mut self, stage: Stage<K, V>) -> Followed<K, V> {
        let mut stage = stage;
        let loads = self.heir != LoadsWith::Nothing;
        loop {
            let flight = match stage {
                Stage::Joined(Step::Hit(value)) => return Followed::Hit(value),
                Stage::Joined(Step::Lead(led)) => return Followed::Lead(led),
                Stage::Joined(Step::Follow(flight)) => {
                    move_to_task(&flight);
                    Some(flight)
                }
                Stage::Moved(flight) => flight,
            };
            let waited = match flight {
                Some(flight) => Follow::new(flight, self.heir).await,
                None => Waited::Restart,
            };
            match waited {
                Waited::Over(Outcome::Value(value)) => return Followed::Hit(value),
                Waited::Over(Outcome::Failed { error, stale }) => return Followed::Failed { error, stale },
                Waited::Over(Outcome::Missed) | Waited::TooLong if !loads => return Followed::Nothing,
                Waited::Over(Outcome::Missed) => self.l2 = self.l2.after_miss(),
                Waited::Lead(led) => return Followed::Lead(led),
                Waited::Restart => {}
                // Twice would be a chain as long as the number of those who wait.
                Waited::TooLong if self.stuck => return Followed::Stuck,
                Waited::TooLong => self.stuck = true,
            }
            stage = self.join_again();
        }
    }
}
