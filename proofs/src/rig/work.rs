//! Reads whose work is polled in place, and moves into a task where somebody waits for it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use shuttle::future::block_on;

use crate::level::drive::in_place::{first_poll, launch};
use crate::level::drive::in_task::move_to_task;
use crate::level::drive::wait::LoadsWith;
use crate::level::flight::join::Join;
use crate::rig::{Cache, Flight, Follow, InPlace, Led, Outcome, Step, Waited, Wire, Work};

/// As `read/one.rs`: where a read stands.
pub(crate) enum Stage<'c> {
    Joined(Step),
    LeadingBatch(InPlace<'c>),
}

impl Cache {
    /// `get` with a loader: leads in place, or follows and moves the work into a task.
    pub(crate) async fn get_by_work(self: &Arc<Self>, wire: &Arc<Wire>) -> Outcome {
        let stage = match self.join(false) {
            Join::Lead(flight) => match launch_first(self, flight, wire).await {
                Ok(outcome) => return outcome,
                Err(in_place) => Stage::LeadingBatch(in_place),
            },
            joined => Stage::Joined(Step::new(joined)),
        };
        self.get_on(stage, wire).await
    }

    pub(crate) async fn get_on<'c>(self: &'c Arc<Self>, mut stage: Stage<'c>, wire: &Arc<Wire>) -> Outcome {
        loop {
            let flight = match stage {
                Stage::Joined(Step::Hit(value)) => return Outcome::Value(value),
                Stage::Joined(Step::Lead(led)) => match take_over(self, led, wire).await {
                    Ok(outcome) => return outcome,
                    Err(Some(in_place)) => {
                        stage = Stage::LeadingBatch(in_place);
                        continue;
                    }
                    Err(None) => None,
                },
                Stage::LeadingBatch(in_place) => match in_place.await {
                    Ok(outcome) => return outcome,
                    Err(flight) => flight,
                },
                Stage::Joined(Step::Follow(flight)) => {
                    move_to_task(&flight);
                    Some(flight)
                }
            };
            let waited = match flight {
                Some(flight) => Follow::new(flight, LoadsWith::Loader).await,
                None => Waited::Restart,
            };
            stage = Stage::Joined(match waited {
                Waited::Over(outcome) => return outcome,
                Waited::Lead(led) => Step::Lead(led),
                Waited::Restart | Waited::TooLong => Step::new(self.join(false)),
            });
        }
    }
}

/// As `get_first` of `read/one.rs`: nobody can have waited for this flight before.
pub(crate) async fn launch_first<'c>(
    cache: &'c Arc<Cache>,
    flight: Arc<Flight>,
    wire: &Arc<Wire>,
) -> Result<Outcome, InPlace<'c>> {
    let mut flight = Some(flight);
    let launched = std::future::poll_fn(|cx| {
        Poll::Ready(flight.take().map(|flight| launch(cache, flight, |_| Ok(Work::new(wire)), cx)))
    });
    launched.await.unwrap_or(Ok(Outcome::Failed)).map_err(|flight| InPlace::new(cache, flight))
}

/// Takes over a flight that may have had a leader before, for whom others wait. `Err`: it goes on.
pub(crate) async fn take_over<'c>(
    cache: &'c Arc<Cache>,
    led: Led,
    wire: &Arc<Wire>,
) -> Result<Outcome, Option<InPlace<'c>>> {
    first_poll(cache, led, |_| Ok(Work::new(wire))).await
}

/// Polls once and drops.
pub(crate) fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    block_on(std::future::poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    }))
}
