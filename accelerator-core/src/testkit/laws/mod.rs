//! The laws of stores, buses, codecs, layers and keys: what the engine relies on, one function per law.
//!
//! Not to be called by hand: [`l1_laws!`](crate::l1_laws), [`l2_laws!`](crate::l2_laws),
//! [`bus_laws!`](crate::bus_laws), [`codec_laws!`](crate::codec_laws), [`layer_laws!`](crate::layer_laws) and [`key_laws!`](crate::key_laws) make one test of each, so that the name of a
//! failing test says what is broken. A law fails by panicking. `failures` of each module runs all laws and names those
//! that are broken, for tests of the laws themselves.

pub mod bus;
mod bus_tools;
pub mod codec;
pub mod key;
pub mod l1;
mod l1_removal;
pub mod l2;
mod l2_age;
mod l2_batch;
mod l2_hold;
mod l2_lease;
mod l2_lease_batch;
mod l2_lease_time;
mod l2_limits;
mod l2_outcomes;
mod l2_race;
mod l2_renew;
mod l2_time;
mod l2_token;
pub mod layer;
mod macros;
mod outage;
pub mod restart;
mod time;
mod together;

pub use outage::Outage;
pub use time::Time;
#[doc(hidden)]
pub use together::Together;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// A law that takes longer found a store that hangs: say so instead of hanging with it.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs the law of an asynchronous store to its end.
#[doc(hidden)]
pub fn judge(law: impl Future<Output = ()>) {
    let judged = super::block_on(async { tokio::time::timeout(LONGEST, law).await });
    assert!(judged.is_ok(), "the law did not end within {LONGEST:?}: the store hangs");
}

/// The same in paused time: a law that waits for what never comes is over at once.
#[doc(hidden)]
pub fn judge_in_paused_time(law: impl Future<Output = ()>) {
    super::block_on_paused(async { tokio::time::timeout(LONGEST, law).await }).expect("a law that ends");
}

/// The names of the laws that panic.
fn broken<'a>(laws: impl IntoIterator<Item = (&'static str, Box<dyn FnOnce() + 'a>)>) -> Vec<&'static str> {
    let judged = laws.into_iter().map(|(name, law)| (name, catch_unwind(AssertUnwindSafe(law))));
    judged.filter(|(_, outcome)| outcome.is_err()).map(|(name, _)| name).collect()
}
