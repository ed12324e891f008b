//! Reading, as `level/read`, `level/load` and `level/local/commit.rs` do it.

use std::sync::Arc;

use shuttle::sync::atomic::Ordering::SeqCst;

use crate::level::drive::host::release;
use crate::level::drive::wait::LoadsWith;
use crate::level::flight::join::Join;
use crate::level::flight::state::is_unshared;
use crate::level::flight::token::Token;
use crate::rig::{Cache, Entry, Flight, Follow, Joined, KEY, Led, Outcome, Waited};
use crate::sync::lock;

impl Cache {
    pub(crate) fn join(self: &Arc<Self>, borrowed: bool) -> Joined {
        let make = |key, hash, token| Flight::new(key, hash, token, borrowed, self.clone());
        self.table.join(&KEY, self, || self.generation(), make, || self.l1())
    }

    /// `get_or_load`: leads with a ticket, or follows.
    pub(crate) async fn get(self: &Arc<Self>) -> Outcome {
        if let Some(value) = self.l1() {
            return Outcome::Value(value);
        }
        let mut joined = self.join(true);
        loop {
            let waited = match joined {
                Join::Hit(value) => return Outcome::Value(value),
                Join::Lead(flight) => return self.load(Led::new(flight)),
                Join::Follow(flight) => Follow::new(flight, LoadsWith::Body).await,
            };
            joined = match waited {
                Waited::Over(outcome) => return outcome,
                Waited::Lead(led) => return self.load(led),
                Waited::Restart | Waited::TooLong => self.join(true),
            };
        }
    }

    /// Steps 1 to 5 of a load.
    pub(crate) fn load(&self, led: Led) -> Outcome {
        let value = self.l2().unwrap_or_else(|| {
            self.loads.fetch_add(1, SeqCst);
            let value = self.source.load(SeqCst);
            if let Some(flight) = led.flight() {
                self.fill(flight, value);
            }
            value
        });
        self.finish(led, Outcome::Value(value))
    }

    /// As `Remote::fill`.
    fn fill(&self, flight: &Flight, value: u64) {
        if self.l2.is_some() {
            let sealed = self.seal(value);
            let (hash, token) = (flight.hash(), flight.token());
            if let Some(_turn) = self.table.turn_to_fill(&KEY, hash, token, || self.generation()) {
                self.write_l2(Some(sealed));
            }
        }
    }

    /// As `Local::finish`.
    pub(crate) fn finish(&self, led: Led, outcome: Outcome) -> Outcome {
        led.take().map_or(outcome, |flight| self.end_flight(flight, outcome))
    }

    /// As `Ending::end`.
    pub(super) fn end_flight(&self, flight: Arc<Flight>, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Value(value) => self.commit(&flight, value),
            Outcome::Failed => release(&flight),
        }
        if !is_unshared(&flight) {
            flight.publish(outcome);
        }
        outcome
    }

    fn commit(&self, flight: &Arc<Flight>, value: u64) {
        let (hash, token) = (flight.hash(), flight.token());
        let store = self.store(value, token);
        self.table.commit(&KEY, hash, token, Some(flight), || self.generation(), store);
    }

    /// What to do under the table's lock, for a commit that begins now.
    pub(crate) fn store(&self, value: u64, token: Token) -> impl FnOnce(bool) {
        // Harmless where L1 stamps its entries, as ours does; but the table promises it to every L1.
        let cleared = self.cleared.load(SeqCst);
        move |valid| {
            assert!(!valid || token.generation >= cleared, "a fill from before a clear was let through");
            if valid {
                *lock(&self.l1) = Some(Entry { value, generation: token.generation });
            }
        }
    }

    /// `lookup`: reads L2 outside any flight, and fills L1 with it.
    pub(crate) fn lookup(&self) -> Option<u64> {
        if let Some(value) = self.l1() {
            return Some(value);
        }
        let at = self.begin();
        let found = self.l2();
        self.table.commit(
            &KEY,
            at.hash,
            at.token,
            None,
            || self.generation(),
            |valid| {
                if let (true, Some(value)) = (valid, found) {
                    *lock(&self.l1) = Some(Entry { value, generation: at.token.generation });
                }
            },
        );
        found
    }
}
