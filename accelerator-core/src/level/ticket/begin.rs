//! Read: a caller who loads with a future of its own, by ticket (`begin`) or lent (`get_or_load`).

use std::future::Future;
use std::iter::once;
use std::sync::Arc;
use std::task::Poll;

use crate::cache::{Begin, FailedLoad, LoadTicket, Lookup};
use crate::error::{CacheError, CacheResult, ErrorKind, LoadError};
use crate::level::bounds::{Key, Value};
use crate::level::drive::host::give_up;
use crate::level::drive::wait::LoadsWith;
use crate::level::engine::Engine;
use crate::level::flight::join::Join;
use crate::level::flight::reservation::LedBy;
use crate::level::local::Local;
use crate::level::local::host::{Led, Step};
use crate::level::local::outcome::{End, Outcome};
use crate::level::read::follow::{Followed, Follower, Stage};
use crate::level::remote::look::Look;
use crate::level::remote::permit::L2Use;
use crate::level::ticket::hold::{TicketToCome, ticket};
use crate::level::time::ticker::NoRuntime;
use crate::pulse::Pulse;
use crate::traits::loader::Loaded;
use crate::watch::watch;

/// A read that leads with a future of its own: the value, or the ticket. `limited`: that future has a limit.
pub(crate) async fn begin_on<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    first: Step<K, V>,
    allow_stale: bool,
    limited: bool,
) -> Begin<V> {
    let mut follower = Follower::new(&engine.local, key, LoadsWith::Body, true, L2Use::Read);
    let (mut stage, mut timed_out) = (Stage::Joined(first), false);
    loop {
        let error = match follower.follow(stage).await {
            Followed::Hit(value) => return Begin::Hit(value),
            Followed::Lead(led) => {
                let look = match led.flight() {
                    Some(flight) => l2_for_ticket(engine, flight.key(), follower.l2.led(led.is_beside())).await,
                    None => None,
                };
                return begin_with(engine, led, look);
            }
            Followed::Failed { error, stale } => match engine.local.served(stale, allow_stale).ok_or(error) {
                Ok(value) => return Begin::Hit(value),
                // The source is slow, and the leader had less time for it than this caller has: one of all who waited
                // leads anew. Twice would be a chain as long as their number.
                Err(error) if error.kind() == ErrorKind::Timeout && !limited && !timed_out => {
                    timed_out = true;
                    stage = follower.join_again();
                    continue;
                }
                Err(error) => error,
            },
            // A ticket can always be loaded with: it is never told `Nothing`.
            Followed::Stuck | Followed::Nothing => engine.local.overdue.error(),
        };
        return Begin::Failed(if limited { error.into() } else { with_look(engine, key, error) });
    }
}

/// For one who runs a body of its own after this error, and looks into L1 when its turn comes.
fn with_look<K: Key, V: Value>(engine: &Arc<Engine<K, V>>, key: &K, error: CacheError) -> FailedLoad<V> {
    // It may be kept for long; the cache is not to live as long as that.
    let (local, key) = (Arc::downgrade(&engine.local), key.clone());
    FailedLoad::new(error, move || {
        local.upgrade().and_then(|local| local.fresh(&key)).map_or(Lookup::Miss, |entry| Lookup::of(entry.into_value()))
    })
}

/// Reads L2 where there is one; the value, or the ticket.
pub(crate) async fn look_and_begin<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    leads: TicketToCome<'_, K, V>,
) -> Begin<V> {
    let look = l2_for_ticket(engine, leads.key(), L2Use::Read).await;
    leads.begin(engine.remote.as_ref().zip(look).map(|(remote, (look, now))| (remote, look, now)))
}

/// Reads L2 for a ticket, and the clock after it; `None`: there is no L2.
pub(crate) async fn l2_for_ticket<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    l2: L2Use,
) -> Option<(Look<K, V>, u64)> {
    let remote = engine.remote.as_ref()?;
    let mut look = std::pin::pin!(remote.look_to_load(key, l2));
    let (mut pulse, mut suspended) = (Pulse::default(), false);
    let look = std::future::poll_fn(|cx| {
        // Once is a round trip. More often, it waits for the lease of another process, which may take long. (One poll for
        // both: what it answers would be copied once more where two meet.)
        let again = std::mem::replace(&mut suspended, true);
        pulse.poll_from(again, look.as_mut(), || [engine.local.pulses.point(engine.local.table.hash(key))], cx)
    })
    .await;
    let now = engine.local.now();
    if !look.found.as_ref().is_some_and(|found| found.until.is_fresh(now, 0)) {
        remote.count_missed(l2, 1);
    }
    Some((look, now))
}

/// What the holder of a ticket gets, given what L2 has; `None`: there is no L2.
pub(crate) fn begin_with<K: Key, V: Value>(
    engine: &Arc<Engine<K, V>>,
    led: Led<K, V>,
    look: Option<(Look<K, V>, u64)>,
) -> Begin<V> {
    let Some(flight) = led.take() else { return Begin::Lead(LoadTicket::detached()) };
    // Another leader was faster than the look into L2.
    if let Some(Outcome::Value(value)) = flight.result().cloned() {
        give_up(&flight, false);
        return Begin::Hit(value);
    }
    let Some((mut look, now)) = look else { return Begin::Lead(ticket(flight, None, None)) };
    match look.take_fresh(now, 0) {
        Some(found) => match engine.local.finish(flight, End::Found(found)) {
            Outcome::Value(value) => Begin::Hit(value),
            _ => Begin::Lead(LoadTicket::detached()),
        },
        None => Begin::Lead(ticket(flight, engine.remote.as_ref(), Some(look))),
    }
}

/// `get_or_load` behind the L1 hit.
pub(crate) async fn get_or_load_on<K: Key, V: Value, T, E>(
    engine: &Arc<Engine<K, V>>,
    key: &K,
    body: impl Future<Output = Result<T, E>>,
) -> CacheResult<Option<V>>
where
    T: Into<Loaded<V>>,
    E: Into<LoadError>,
{
    if engine.local.is_closed() {
        return Err(CacheError::shutdown());
    }
    engine.tend();
    let begun = match engine.local.join_reserved(key, LedBy::Ticket, true) {
        Join::Hit(value) => return Ok(value),
        Join::Lead(reserved) => look_and_begin(engine, TicketToCome::new(&engine.local, key, reserved)).await,
        Join::Follow(flight) => begin_on(engine, key, Step::Follow(flight), true, true).await,
    };
    let ticket = match begun {
        Begin::Hit(value) => return Ok(value),
        Begin::Failed(failed) => return Err(failed.into_error()),
        Begin::Unavailable(error) => return Err(error),
        Begin::Lead(ticket) => ticket,
    };
    // The body runs here, under the hard limit; if this future is dropped, so is the ticket.
    let (mut body, mut limit, mut pulse) = (std::pin::pin!(body), None, Pulse::default());
    let timeout = engine.local.policy.loader_timeout;
    let answer = std::future::poll_fn(|cx| {
        let polled = watch(|| once(&ticket), || pulse.poll(body.as_mut(), || ticket.pulse_point(), cx));
        if let Poll::Ready(answer) = polled {
            return Poll::Ready(answer.map_err(CacheError::loader));
        }
        match engine.local.tasks.poll_limit(limit.get_or_insert_with(|| engine.local.tasks.limit(timeout)), cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(engine.local.overdue.error())),
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
            Local::<K, V>::caught("a Clone, a weigher or the L1 store", || ticket.fill(loaded)).map(|()| value)
        }
        Err(error) => {
            let stale = ticket.stale();
            ticket.fail(error.clone());
            stale.ok_or(error)
        }
    }
}
