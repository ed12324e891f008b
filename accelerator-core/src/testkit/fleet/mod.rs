//! What several nodes over one server must see, whichever server it is: for the tests of stores that have one.
//!
//! Like [`restart`](crate::testkit::laws::restart) they are called by hand: each makes nodes of its own by a function of
//! the test, and takes what it does to the server from the test, too. They wait in real time.

mod batches;
mod deploy;
mod guards;
mod pause;
pub mod rollout;
mod trips;
mod values;

pub use batches::overlapping_batches_load_each_key_once;
pub use deploy::a_new_build_fills_at_once;
pub use guards::{guards_stand_beside_what_others_do, holds_are_bounded, recovery_leaves_a_guard_alone};
pub use pause::{leases_given_up_are_given_back, nobody_waits_for_reads_given_up, one_node_loads_for_all};
pub use trips::each_call_has_its_trips;
pub use values::large_values_are_stored_and_read;

use std::time::Duration;

use crate::error::LoadError;
use crate::traits::codec::Codec;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

/// Numbers as they are, so that nothing depends on a codec that is a feature.
struct Numbers;

impl Codec<u64> for Numbers {
    fn id(&self) -> u8 {
        201
    }

    fn encode(&self, value: &u64, out: &mut Vec<u8>) -> Result<(), LoadError> {
        out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, LoadError> {
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }
}
