//! Read: one key.
//!
//! 1. probe L1
//! 2. fresh: answer; inside the refresh window also start a refresh
//! 3. join the key's flight, or lead a new one
//! 4. (under the table's lock) probe L1 again
//! 5. leading: the work of `load.rs`, polled in place
//! 6. following: wait; if the leader disappears, take over; if it is late and gives no sign of life, lead beside it

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::entry::Entry;
use crate::error::{CacheError, CacheResult};
use crate::level::LevelCache;
use crate::level::drive::wait::{Follow, Heir, InPlace, Led, Waited};
use crate::level::engine::{End, Engine, Flight, Joined, Key, Outcome, Value};
use crate::level::flight::join::Join;
use crate::level::flight::reservation::By;
use crate::level::load::one::How;
use crate::level::remote::Found;
use crate::level::stats::counters::Count;
use crate::options::ReadOptions;
use crate::traits::l1::L1Store;

impl<K: Key, V: Value> Engine<K, V> {
    /// A `get` that L1 could not answer. The first poll joins or leads; who leads a load goes on in place, anybody else in
    /// a box.
    pub(crate) async fn get_missed(self: &Arc<Self>, key: &K, options: ReadOptions) -> CacheResult<Option<V>> {
        let first = std::future::poll_fn(|cx| Poll::Ready(self.get_first(key, options, cx)));
        let rest = match first.await {
            Ok(answer) => return answer,
            Err(rest) => rest,
        };
        let stage = match rest {
            Rest::Leads(in_place) => match in_place.await {
                Ok(outcome) => return self.answer(outcome, options.allow_stale).unwrap_or(Ok(None)),
                Err(flight) => Stage::Moved(flight),
            },
            Rest::Reads(led) => Stage::Joined(Step::Lead(led)),
            Rest::Follows(flight) => Stage::Joined(Step::Follow(flight)),
            Rest::Forced => return Box::pin(self.get_forced(key, options)).await,
        };
        Box::pin(self.get_on(key, options, stage)).await
    }

    /// Step 3 and, where it can end there, the first poll of step 5.
    #[cold]
    #[inline(never)]
    fn get_first<'e>(
        self: &'e Arc<Self>,
        key: &K,
        options: ReadOptions,
        cx: &mut Context<'_>,
    ) -> Result<CacheResult<Option<V>>, Rest<'e, K, V>> {
        if self.is_closed() {
            return Ok(Err(CacheError::shutdown()));
        }
        let loads = self.sources.exist() && !options.disable_load;
        if self.forces(options) {
            return Err(Rest::Forced);
        }
        let fresh = !options.force_refresh;
        let leads = |flight| Rest::Leads(InPlace::new(self, flight));
        if loads && self.remote.is_none() {
            return match self.join_latent(key, By::Leader, fresh) {
                Join::Hit(value) => Ok(Ok(value)),
                Join::Lead(latent) => self.launch_latent(key, latent, options.allow_stale, cx).map_err(leads),
                Join::Follow(flight) => Err(Rest::Follows(flight)),
            };
        }
        let launched = match self.join(key, !loads, fresh) {
            Join::Hit(value) => return Ok(Ok(value)),
            Join::Lead(flight) if loads => self.launch(flight, How::refresh(options.force_refresh), cx),
            // A miss with nothing to ask is over.
            Join::Lead(flight) if self.remote.is_none() => {
                self.finish(flight, End::Missed);
                return Ok(Ok(None));
            }
            Join::Lead(flight) => return Err(Rest::Reads(Led::new(flight))),
            Join::Follow(flight) => return Err(Rest::Follows(flight)),
        };
        let outcome = launched.map_err(leads)?;
        Ok(self.answer(outcome, options.allow_stale).unwrap_or(Ok(None)))
    }
}

/// How a read goes on that its first poll did not end.
enum Rest<'e, K: Key, V: Value> {
    /// Its own work suspended.
    Leads(InPlace<'e, K, V>),
    /// It leads, and has no loader.
    Reads(Led<K, V>),
    Follows(Arc<Flight<K, V>>),
    /// It accepts nothing that is cached.
    Forced,
}

/// Where a read stands that goes on in a box.
pub(crate) enum Stage<K: Key, V: Value> {
    Joined(Step<K, V>),
    /// Its own work has moved into a task; without a flight it starts again.
    Moved(Option<Arc<Flight<K, V>>>),
}

/// A [`Joined`] that owns what it leads: a future that holds it may be dropped before its first poll.
pub(crate) enum Step<K: Key, V: Value> {
    Hit(Option<V>),
    Lead(Led<K, V>),
    Follow(Arc<Flight<K, V>>),
}

impl<K: Key, V: Value> Step<K, V> {
    pub(crate) fn new(joined: Joined<K, V>) -> Self {
        match joined {
            Join::Hit(value) => Self::Hit(value),
            Join::Lead(flight) => Self::Lead(Led::new(flight)),
            Join::Follow(flight) => Self::Follow(flight),
        }
    }
}

impl<K: Key, V: Value, L1: L1Store<K, V>> LevelCache<K, V, L1> {
    /// Steps 1 and 2; `refresh`: a refresh may start.
    #[inline(always)]
    pub(crate) fn probe(&self, key: &K, allow_stale: bool, refresh: bool) -> Option<Option<V>> {
        self.probe_or(key, allow_stale, refresh, Some, || None)
    }

    /// [`probe`](Self::probe), with what to answer for a hit and for a miss: a value goes from where the store put it to
    /// where the caller wants it, without a stop between. Each stop costs more time than instructions (ADR 0006).
    #[inline(always)]
    pub(crate) fn probe_or<R>(
        &self,
        key: &K,
        allow_stale: bool,
        refresh: bool,
        hit: impl FnOnce(Option<V>) -> R,
        miss: impl FnOnce() -> R,
    ) -> R {
        // The clock first: nothing has to be kept across its call then.
        let now = self.engine.clock.now();
        let found = self.l1.get(key);
        let Some(entry) = &found else { return miss() };
        if entry.is_calm(now) && entry.generation() == self.engine.generation.load(Ordering::Relaxed) {
            self.engine.counters.l1_hit(entry.value().is_none());
            return hit(found.and_then(Entry::into_value));
        }
        drop(found);
        match self.engine.look_again(key, allow_stale, refresh) {
            Some(value) => hit(value),
            None => miss(),
        }
    }
}

impl<K: Key, V: Value> Engine<K, V> {
    #[cold]
    #[inline(never)]
    fn look_again(self: &Arc<Self>, key: &K, allow_stale: bool, refresh: bool) -> Option<Option<V>> {
        self.uneasy(key, self.l1.recheck(key)?, allow_stale, refresh)
    }

    /// Step 2 for an entry that is not simply fresh.
    #[cold]
    #[inline(never)]
    pub(crate) fn uneasy(
        self: &Arc<Self>,
        key: &K,
        entry: Entry<V>,
        allow_stale: bool,
        refresh: bool,
    ) -> Option<Option<V>> {
        if !self.is_of_now(&entry) {
            return None;
        }
        let now = self.now();
        if now < entry.fresh_until() {
            if refresh {
                self.refresh_ahead(key, now);
            }
            let value = entry.into_value();
            self.counters.l1_hit(value.is_none());
            return Some(value);
        }
        // The source failed a moment ago: don't ask it again for every read of a stale value.
        let throttled = || self.throttle.get(key, now).flatten().is_some();
        if allow_stale && self.policy.stale > 0 && now < entry.useful_until() && throttled() {
            self.counters.one(Count::StaleServed);
            return Some(entry.into_value());
        }
        None
    }

    /// Steps 3 to 6 of a read that could not end in its first poll.
    pub(crate) async fn get_on(
        self: &Arc<Self>,
        key: &K,
        options: ReadOptions,
        mut stage: Stage<K, V>,
    ) -> CacheResult<Option<V>> {
        let loads = self.sources.exist() && !options.disable_load;
        let (mut how, mut stuck) = (How::refresh(options.force_refresh), false);
        let heir = if loads { Heir::Loader } else { Heir::Nothing };
        loop {
            let follow = match stage {
                Stage::Joined(Step::Hit(value)) => return Ok(value),
                Stage::Joined(Step::Lead(led)) if loads => {
                    let how = How { l2: led.l2(how.l2), ..how };
                    match self.lead_in_place(led, how).await {
                        Ok(outcome) => return self.answer(outcome, options.allow_stale).unwrap_or(Ok(None)),
                        Err(flight) => flight,
                    }
                }
                Stage::Joined(Step::Lead(led)) => {
                    let outcome = self.inside(self.read_only(led)).await;
                    return self.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
                }
                Stage::Moved(flight) => flight,
                Stage::Joined(Step::Follow(flight)) => {
                    self.move_to_task(&flight);
                    Some(flight)
                }
            };
            let waited = match follow {
                Some(flight) => Follow::new(flight, heir).await,
                None => Waited::Restart,
            };
            stage = match waited {
                Waited::Over(outcome) => match self.answer(outcome, options.allow_stale) {
                    Some(answer) => return answer,
                    None if !loads => return Ok(None),
                    None => {
                        how.l2 = how.l2.after_miss();
                        Stage::Joined(Step::new(self.join_again(key, false, !options.force_refresh)))
                    }
                },
                Waited::Lead(led) if loads => Stage::Joined(Step::Lead(led)),
                Waited::Lead(led) => {
                    let outcome = self.inside(self.read_only(led)).await;
                    return self.answer(outcome, options.allow_stale).unwrap_or(Ok(None));
                }
                Waited::Restart => Stage::Joined(Step::new(self.join_again(key, !loads, !options.force_refresh))),
                Waited::TooLong if !loads => return Ok(None),
                // The work of another is stuck in one poll; the second time nobody is waited for.
                Waited::TooLong if stuck => return self.load_alone(key).await,
                Waited::TooLong => {
                    stuck = true;
                    Stage::Joined(Step::new(self.join_again(key, false, !options.force_refresh)))
                }
            };
        }
    }

    /// Step 5: polls the work in place until it is over (`Ok`) or has moved into a task (`Err`).
    pub(crate) async fn lead_in_place(
        self: &Arc<Self>,
        led: Led<K, V>,
        how: How,
    ) -> Result<Outcome<V>, Option<Arc<Flight<K, V>>>> {
        let mut led = Some(led);
        let first = std::future::poll_fn(|cx| {
            let flight = led.take().and_then(Led::take);
            Poll::Ready(flight.map(|flight| {
                // It may have been a ticket before, and others may hold tickets still.
                if flight.start_work() {
                    return self.launch(flight, how, cx);
                }
                self.give_up(&flight, false);
                Err(flight)
            }))
        });
        match first.await {
            None => Err(None),
            Some(Ok(outcome)) => Ok(outcome),
            Some(Err(flight)) => {
                // Others wait since a leader before us disappeared.
                if flight.is_awaited() {
                    self.move_to_task(&flight);
                }
                InPlace::new(self, flight).await
            }
        }
    }

    /// A flight without a loader: what L2 has, or nothing.
    async fn read_only(self: &Arc<Self>, led: Led<K, V>) -> Outcome<V> {
        let found = match (led.flight(), &self.remote) {
            (Some(flight), Some(remote)) => {
                let name = remote.name(flight.key());
                Some(self.l2_get(remote, flight.key(), &name).await)
            }
            _ => None,
        };
        let end = self.found_or_missed(found);
        led.take().map_or(Outcome::Missed, |flight| self.finish(flight, end))
    }

    /// The end of a flight without a loader.
    pub(crate) fn found_or_missed(&self, found: Option<Found<V>>) -> End<V> {
        match found {
            Some(Found::Hit { value, until }) if until.is_fresh(self.now(), 0) => End::Found { value, until },
            Some(_) => {
                self.counters.one(Count::L2Miss);
                End::Missed
            }
            None => End::Missed,
        }
    }
}
