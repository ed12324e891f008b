//! The task that keeps a store connected.
//!
//! 1 dial · 2 carry the connection until it ends · 3 wait a moment, and again

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use accelerator_core::StoreErrorKind;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio::time::{MissedTickBehavior, interval_at};

use crate::dial::Stream;
use crate::line::{Missing, Tenure};

/// The longest wait before the first retry; each failure doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(25);
/// The longest wait between two tries: a server that is back is found again within this and a round trip.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// The same where the server refuses the login: it writes such tries down.
pub(crate) const LONGEST_REFUSED_WAIT: Duration = Duration::from_secs(5);
/// A connection that lived for so long was a good one.
const GOOD: Duration = Duration::from_secs(1);
/// How often the name of a server that became a replica is asked anew for the one that took its place.
const REPLICA: Duration = Duration::from_secs(10);
/// Commands that wait for the connection's attention. More than callers at once in most services: waiting for room
/// costs more than the room.
const QUEUE: usize = 1024;

/// Connects and stays connected, until it is dropped.
pub(crate) async fn keep(tenure: Tenure, mut first: Option<Stream>) {
    let target = &tenure.line.dialer.target;
    let mut failures = 0_u32;
    let mut said = String::new();
    loop {
        // 1
        let stream = match first.take() {
            Some(stream) => Ok(stream),
            None => tenure.line.dialer.dial().await,
        };
        let mut longest = LONGEST_WAIT;
        let missing = match stream {
            Ok(stream) => {
                let since = Instant::now();
                // 2
                let Some(end) = carry(&tenure, stream).await else { return };
                if since.elapsed() >= GOOD {
                    failures = 0;
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
        if !tenure.down(missing) {
            return;
        }
        // 3 full jitter: a fleet that lost its server doesn't come back as one
        let most = (FIRST_WAIT * 2_u32.saturating_pow(failures)).min(longest);
        failures = failures.saturating_add(1).min(10);
        tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
    }
}

/// Publishes the connection and carries its bytes until it ends, and says why. None, if another task has taken over.
async fn carry(tenure: &Tenure, stream: Stream) -> Option<Missing> {
    // The login is behind us. No time limits: callers have theirs, and a timer per call costs more than a look now and
    // then.
    let login = RedisConnectionInfo::default().set_skip_set_lib_name();
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(QUEUE);
    let Ok((connection, driver)) = MultiplexedConnection::new_with_config(&login, stream, config).await else {
        return Some(Missing::Closed);
    };
    if !tenure.up(connection.clone()) {
        return None;
    }
    tracing::info!(server = %tenure.line.dialer.target, "connected to Redis");
    attend(tenure, connection, driver).await
}

/// Runs the driver, and looks regularly whether answers come. Where calls were sent and none came since the last look,
/// the server is asked for a sign of life; without one until the next look the connection is given up.
async fn attend(tenure: &Tenure, connection: MultiplexedConnection, driver: impl Future<Output = ()>) -> Option<Missing> {
    let line = &tenure.line;
    let since = Instant::now();
    let mut driver = pin!(driver);
    let mut looks = interval_at(tokio::time::Instant::now() + line.silence, line.silence);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ping = None;
    let end = poll_fn(|cx| {
        if driver.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Missing::Closed);
        }
        while looks.poll_tick(cx).is_ready() {
            let look = tenure.look();
            if look.replica && since.elapsed() >= REPLICA {
                return Poll::Ready(Missing::Replica);
            } else if look.heard {
                ping = None;
            } else if ping.is_some() {
                return Poll::Ready(Missing::Silent);
            } else if look.asked {
                ping = Some(Box::pin(sign_of_life(connection.clone())));
            }
        }
        if ping.as_mut().is_some_and(|ping| ping.as_mut().poll(cx).is_ready()) {
            ping = None;
            line.hear();
        }
        Poll::Pending
    })
    .await;
    // Before the driver goes and its calls with it: they tell their callers why.
    tenure.down(end.clone()).then_some(end)
}

/// Any answer is one.
async fn sign_of_life(mut connection: MultiplexedConnection) {
    // Without one the driver ends, or the next look finds that there was none.
    let _ = connection.send_packed_command(&redis::cmd("PING")).await;
}
