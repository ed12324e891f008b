//! Read: a caller who accepts nothing that is cached (`force_refresh`).
//!
//! It gets an answer that the source was asked for after the call began.
//!
//! ```text
//! nobody loads for such a caller   lead; any other flight of the key goes on, for its own callers and for neither level
//! somebody does, begun before      wait until it is over, then look again
//! somebody does, begun since       follow
//! ```
//! So a crowd of such callers makes two loads at most, and still one flight can be joined at a time.

use std::sync::Arc;

use crate::error::CacheResult;
use crate::level::drive::wait::{Follow, Heir, Led, Waited};
use crate::level::engine::{Engine, Flight, Key, Value};
use crate::level::flight::forced::Forced;
use crate::level::load::one::How;
use crate::level::stats::counters::Count;
use crate::options::ReadOptions;

impl<K: Key, V: Value> Engine<K, V> {
    fn join_forced(self: &Arc<Self>, key: &K, since: u64) -> Forced<Arc<Flight<K, V>>> {
        self.table.join_forced(key, since, self, || self.generation())
    }

    /// A read that accepts nothing that is cached.
    pub(crate) async fn get_forced(self: &Arc<Self>, key: &K, options: ReadOptions) -> CacheResult<Option<V>> {
        let since = self.table.moment(key);
        self.counters.one(Count::Miss);
        let (mut joined, mut late) = (false, false);
        loop {
            let (flight, counts) = match self.join_forced(key, since) {
                Forced::Lead(flight) => match self.lead_in_place(Led::new(flight), How::refresh(true)).await {
                    Ok(outcome) => return self.answer(outcome, options.allow_stale).unwrap_or(Ok(None)),
                    Err(Some(flight)) => (flight, true),
                    Err(None) => continue,
                },
                Forced::Follow(flight) => (flight, true),
                Forced::After(flight) => (flight, false),
            };
            if !std::mem::replace(&mut joined, true) {
                self.counters.one(Count::Joined);
            }
            self.move_to_task(&flight);
            match Follow::new(flight, Heir::Loader).await {
                Waited::Over(outcome) if counts => {
                    if let Some(answer) = self.answer(outcome, options.allow_stale) {
                        return answer;
                    }
                }
                // Its leader disappeared: nothing was asked for yet, or is not any more.
                Waited::Lead(led) => {
                    if let Ok(outcome) = self.lead_in_place(led, How::refresh(true)).await {
                        return self.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
                    }
                }
                Waited::Over(_) | Waited::Restart => {}
                Waited::TooLong if !late => late = true,
                Waited::TooLong => return self.load_alone(key).await,
            }
        }
    }
}
