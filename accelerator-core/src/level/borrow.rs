//! Read: a caller who loads with a future of its own, by ticket (`begin`) or lent (`get_or_load`).

use std::future::Future;
use std::iter::once;
use std::sync::Arc;
use std::task::Poll;

use crate::cache::{Begin, LoadTicket};
use crate::error::{CacheError, CacheResult, ErrorKind, LoadError};
use crate::level::engine::{End, Engine, Key, Outcome, Stale, Value};
use crate::level::join::Join;
use crate::level::latent::By;
use crate::level::lease::{L2Use, Look};
use crate::level::read::Step;
use crate::level::stats::Count;
use crate::level::ticker::{Limit, NoRuntime};
use crate::level::ticket::{Leads, ticket};
use crate::level::wait::{Follow, Heir, Led, Waited};
use crate::pulse::Pulse;
use crate::traits::loader::Loaded;
use crate::watch::watch;

impl<K: Key, V: Value> Engine<K, V> {
    /// A read that leads with a future of its own: the value, or the ticket. `limited`: that future has a limit.
    pub(crate) async fn begin_on(
        self: &Arc<Self>,
        key: &K,
        first: Step<K, V>,
        allow_stale: bool,
        limited: bool,
    ) -> Begin<V> {
        let mut step = first;
        let (mut l2, mut timed_out, mut stuck) = (L2Use::Read, false, false);
        loop {
            let waited = match step {
                Step::Hit(value) => return Begin::Hit(value),
                Step::Lead(led) => Waited::Lead(led),
                Step::Follow(flight) => {
                    self.move_to_task(&flight);
                    Follow::new(flight, Heir::Body).await
                }
            };
            step = match waited {
                Waited::Over(Outcome::Missed) => {
                    l2 = l2.after_miss();
                    Step::new(self.join_again(key, true, true))
                }
                Waited::Over(Outcome::Failed { stale: Some(value), .. }) if allow_stale => {
                    self.counters.one(Count::StaleServed);
                    return Begin::Hit(value);
                }
                // The source is slow, and the leader had less time for it than this caller has: one of all who waited
                // leads anew. Twice would be a chain as long as their number.
                Waited::Over(Outcome::Failed { error, .. })
                    if error.kind() == ErrorKind::Timeout && !limited && !timed_out =>
                {
                    timed_out = true;
                    Step::new(self.join_again(key, true, true))
                }
                Waited::Over(Outcome::Failed { error, .. }) if limited => return Begin::Failed(error),
                Waited::Over(Outcome::Failed { error, .. }) => return Begin::Failed(self.with_look(key, error)),
                Waited::Over(Outcome::Value(value)) => return Begin::Hit(value),
                Waited::Lead(led) => {
                    let look = match led.flight() {
                        Some(flight) => self.l2_for_ticket(flight.key(), led.l2(l2)).await,
                        None => None,
                    };
                    return self.begin_with(led, look);
                }
                // The work of somebody's loader is stuck in one poll. Twice would be a chain as well.
                Waited::TooLong if stuck => {
                    let error = self.overdue.error(self.policy.loader_timeout);
                    return Begin::Failed(if limited { error } else { self.with_look(key, error) });
                }
                Waited::TooLong => {
                    stuck = true;
                    Step::new(self.join_again(key, true, true))
                }
                Waited::Restart => Step::new(self.join_again(key, true, true)),
            };
        }
    }

    /// For one who runs a body of its own after this error, and looks into L1 when its turn comes.
    fn with_look(self: &Arc<Self>, key: &K, error: CacheError) -> CacheError {
        // An error may be kept for long; the cache is not to live as long as that.
        let (engine, key) = (Arc::downgrade(self), key.clone());
        error.with_look(move || engine.upgrade()?.fresh(&key))
    }

    /// Reads L2 for a ticket, and the clock after it; `None`: there is no L2.
    pub(crate) async fn l2_for_ticket(self: &Arc<Self>, key: &K, l2: L2Use) -> Option<(Look<K, V>, u64)> {
        let remote = self.remote.as_ref()?;
        let mut look = std::pin::pin!(self.l2_look(remote, key, l2));
        let (mut pulse, mut suspended) = (Pulse::default(), false);
        let look = std::future::poll_fn(|cx| {
            // Once is a round trip. More often, it waits for the lease of another process, which may take long.
            if std::mem::replace(&mut suspended, true) {
                pulse.poll(look.as_mut(), || [self.pulses.point(self.table.hash(key))], cx)
            } else {
                look.as_mut().poll(cx)
            }
        })
        .await;
        let now = self.now();
        if l2.is_first() && !look.found.as_ref().is_some_and(|found| found.until.is_fresh(now, 0)) {
            self.counters.one(Count::L2Miss);
        }
        Some((look, now))
    }

    /// What the holder of a ticket gets, given what L2 has; `None`: there is no L2.
    pub(crate) fn begin_with(&self, led: Led<K, V>, look: Option<(Look<K, V>, u64)>) -> Begin<V> {
        let Some(flight) = led.take() else { return Begin::Lead(LoadTicket::detached()) };
        // Another leader was faster than the look into L2.
        if let Some(Outcome::Value(value)) = flight.result().cloned() {
            self.give_up(&flight, false);
            return Begin::Hit(value);
        }
        let Some((mut look, now)) = look else { return Begin::Lead(LoadTicket::new(flight)) };
        match look.take_fresh(now, 0) {
            Some(Stale { value, until }) => match self.finish(flight, End::Found { value, until }) {
                Outcome::Value(value) => Begin::Hit(value),
                _ => Begin::Lead(LoadTicket::detached()),
            },
            None => Begin::Lead(ticket(flight, look)),
        }
    }

    /// `get_or_load` behind the L1 hit.
    pub(crate) async fn get_or_load_on<T, E>(
        self: &Arc<Self>,
        key: &K,
        body: impl Future<Output = Result<T, E>>,
    ) -> CacheResult<Option<V>>
    where
        T: Into<Loaded<V>>,
        E: Into<LoadError>,
    {
        if self.is_closed() {
            return Err(CacheError::shutdown());
        }
        let begun = match self.join_latent(key, By::Ticket, true) {
            Join::Hit(value) => return Ok(value),
            Join::Lead(latent) => Leads::new(self, key, latent).look_and_begin().await,
            Join::Follow(flight) => self.begin_on(key, Step::Follow(flight), true, true).await,
        };
        let ticket = match begun {
            Begin::Hit(value) => return Ok(value),
            Begin::Failed(error) | Begin::Unavailable(error) => return Err(error),
            Begin::Lead(ticket) => ticket,
        };
        // The body runs here, under the hard limit; if this future is dropped, so is the ticket.
        let (mut body, mut limit, mut pulse) = (std::pin::pin!(body), None, Pulse::default());
        let timeout = self.policy.loader_timeout;
        let answer = std::future::poll_fn(|cx| {
            let polled = watch(|| once(&ticket), || pulse.poll(body.as_mut(), || ticket.pulse_point(), cx));
            if let Poll::Ready(answer) = polled {
                return Poll::Ready(answer.map_err(CacheError::loader));
            }
            match self.poll_limit(limit.get_or_insert_with(|| Limit::new(self.ticker.clone(), timeout)), cx) {
                Poll::Ready(Ok(())) => Poll::Ready(Err(self.overdue.error(timeout))),
                // Without a runtime the body is its caller's own business; it has no limit then.
                Poll::Ready(Err(NoRuntime)) | Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match answer {
            Ok(loaded) => {
                let (loaded, value) = watch(
                    || once(&ticket),
                    || {
                        let loaded: Loaded<V> = loaded.into();
                        let value = loaded.value.clone();
                        (loaded, value)
                    },
                );
                // A panic of user code is this caller's answer; those who wait hear of it by the ticket.
                Self::caught("a Clone, a weigher or the L1 store", || ticket.fill(loaded)).map(|()| value)
            }
            Err(error) => {
                let stale = ticket.stale();
                ticket.fail(error.clone());
                stale.ok_or(error)
            }
        }
    }
}
