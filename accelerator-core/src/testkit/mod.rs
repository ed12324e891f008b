//! How you prove it: stores in memory, scripted faults, a clock that tests move, and the laws a store must keep
//! (feature `testkit`).
//!
//! A store of your own is proved with one line in a test file, and needs no dependency but this crate:
//!
//! ```
//! use accelerator_core::testkit::{MemoryL1, MemoryL2};
//! accelerator_core::l1_laws!(my_l1, MemoryL1::new());
//! accelerator_core::l2_laws!(my_l2, MemoryL2::new());
//! accelerator_core::bus_laws!(my_bus, accelerator_core::testkit::MemoryBus::new());
//! ```
//!
//! Code here is for tests: it asserts, and it prefers plain to fast.

mod clock;
mod fault;
mod faulty;
mod faulty_bus;
mod faulty_store;
#[cfg(all(unix, feature = "testkit-server"))]
pub mod fleet;
mod gate;
mod granted;
mod holds;
pub mod laws;
mod memory_bus;
mod memory_l1;
mod memory_l2;
mod memory_l2_store;
#[cfg(all(unix, feature = "testkit-server"))]
pub mod server;

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use clock::{ManualClock, settle};
pub use fault::{Call, Fault, Op, Then};
pub use faulty::Faulty;
pub use gate::Gate;
pub use memory_bus::{Arrival, MemoryBus};
pub use memory_l1::MemoryL1;
pub use memory_l2::MemoryL2;

/// Runs a future to its end on a current-thread tokio runtime of its own, with timers (and I/O, where tokio has it).
///
/// What the law macros use, so that a store's crate needs no tokio for its tests.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a current-thread runtime").block_on(future)
}

/// The same in paused time.
fn block_on_paused<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a current-thread runtime").block_on(future)
}

/// A failed assertion while the lock was held must not turn every later failure into "poisoned".
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
