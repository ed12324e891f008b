//! The task that keeps a store connected.
//!
//! 1 dial · 2 carry the connection until it ends · 3 wait a moment, and again

use std::future::poll_fn;
use std::mem;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use accelerator_core::{Backoff, StoreErrorKind};
use redis::aio::MultiplexedConnection;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::connection::dial::Connected;
use crate::connection::{EpochGuard, Missing};

/// The longest wait before the first retry.
const FIRST_WAIT: Duration = Duration::from_millis(25);
/// The longest wait between two tries: a server that is back is found again within this and a round trip.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// The same where the server refuses the login: it writes such tries down.
pub(crate) const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(5);
/// A connection that lived for so long was a good one.
const GOOD: Duration = Duration::from_secs(1);
/// How often the name of a server that became a replica is asked anew for the one that took its place.
const REPLICA: Duration = Duration::from_secs(10);
/// From so many calls at once the connection lets others run first whenever it is woken: those who send next do so
/// together, and the server gets their commands in one piece. (A task that is woken by a sender would else run between
/// each two of them.)
const CROWD: usize = 4;

/// Connects and stays connected, until it is dropped. A connection that is there already is published.
pub(crate) async fn stay_connected(guard: EpochGuard, mut first: Option<Connected>) {
    let target = &guard.shared.dialer.target;
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut said = String::new();
    loop {
        // 1
        let connected = match first.take() {
            Some(connected) => Ok(connected),
            None => match guard.shared.dialer.dial().await {
                Ok(connected) if !guard.up(connected.connection.clone()) => return,
                dialed => dialed,
            },
        };
        let mut longest = LONGEST_WAIT;
        let missing = match connected {
            Ok(connected) => {
                tracing::info!(server = %target, "connected to Redis");
                let since = Instant::now();
                // 2
                let Some(end) = attend(&guard, connected).await else { return };
                if since.elapsed() >= GOOD {
                    backoff.reset();
                }
                said.clear();
                end
            }
            Err(error) => {
                if error.kind() == StoreErrorKind::Rejected {
                    longest = LONGEST_REFUSED_WAIT;
                }
                Missing::Failed(error.to_string())
            }
        };
        let says = missing.to_string();
        if says != said {
            tracing::warn!(server = %target, "not connected to Redis: {says}");
            said = says;
        }
        if !guard.down(missing) {
            return;
        }
        // 3
        tokio::time::sleep(backoff.pause_within(longest)).await;
    }
}

/// Runs the driver, and looks regularly whether answers come. Where calls were sent and none came since the last look,
/// the server is asked for a sign of life; without one until the next look the connection is given up.
///
/// Says why the connection is over. None, if another task has taken over.
async fn attend(guard: &EpochGuard, connected: Connected) -> Option<Missing> {
    let shared = &guard.shared;
    let since = Instant::now();
    let Connected { connection, mut driver } = connected;
    let mut looks = interval_at(tokio::time::Instant::now() + shared.silence, shared.silence);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut ping, mut received) = (None, shared.dialer.received.load(Ordering::Relaxed));
    let mut gave_way = false;
    let end = poll_fn(|cx| {
        gave_way = !gave_way && shared.health.in_flight() >= CROWD;
        if gave_way {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if driver.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Missing::Closed));
        }
        while looks.poll_tick(cx).is_ready() {
            let before = mem::replace(&mut received, shared.dialer.received.load(Ordering::Relaxed));
            if received != before {
                shared.health.hear();
            }
            let Some(look) = guard.look() else { return Poll::Ready(None) };
            if look.replica && since.elapsed() >= REPLICA {
                return Poll::Ready(Some(Missing::Replica));
            } else if look.heard {
                ping = None;
            } else if ping.is_some() {
                return Poll::Ready(Some(Missing::Silent));
            } else if look.asked {
                ping = Some(Box::pin(sign_of_life(connection.clone())));
            }
        }
        if ping.as_mut().is_some_and(|ping| ping.as_mut().poll(cx).is_ready()) {
            ping = None;
            shared.health.hear();
        }
        Poll::Pending
    })
    .await;
    // Before the driver goes and its calls with it: they tell their callers why.
    end.filter(|end| guard.down(end.clone()))
}

/// Any answer is one.
async fn sign_of_life(mut connection: MultiplexedConnection) {
    // Without one the driver ends, or the next look finds that there was none.
    let _ = connection.send_packed_command(&redis::cmd("PING")).await;
}
