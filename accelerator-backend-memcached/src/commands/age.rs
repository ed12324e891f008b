//! How old an item is, by the clock of its server.
//!
//! Each item of this store carries what it was given to live (its client flags), and a read asks for what is left. Both
//! count the ticks of one clock, so no clock of a node takes part in it. See docs/adr/0037-ages-on-memcached.md.

use std::time::Duration;

use crate::commands::reply::Reply;

/// An item was stored within one tick, and is read within another.
const TICK_MS: u64 = 1_000;
/// The server makes each tick a little longer than a second (measured: half a millisecond), until it has lost a second
/// and skips one. So much per tick is allowed for, and for the tick that is under way.
const LATE_MS: u64 = 4;

/// How long ago the item was stored, at most. `None`: nobody can tell, as it is not of this store, or not of its version.
pub(crate) fn most(reply: &Reply) -> Option<Duration> {
    if reply.flags == 0 || reply.left == 0 {
        return None;
    }
    let ticks = u64::from(reply.flags.checked_sub(reply.left)?);
    let late = (LATE_MS * (ticks + 1)).min(TICK_MS);
    Some(Duration::from_millis(TICK_MS * (ticks + 1) + late))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::reply::Status;
    use accelerator_core::Bytes;

    fn age(flags: u32, left: u32) -> Option<u64> {
        let (status, value) = (Status::Value, Bytes::new());
        let reply = Reply { status, value, cas: 0, left, flags, won: false, leased: false, stale: false };
        most(&reply).and_then(|age| u64::try_from(age.as_millis()).ok())
    }

    #[test]
    fn an_age_covers_both_ticks_and_what_the_server_is_late() {
        for (flags, left, expected) in
            [(60, 60, 1_004), (60, 59, 2_008), (60, 1, 60_240), (2_592_000, 1, 2_592_000_000 + 1_000)]
        {
            assert_eq!(age(flags, left), Some(expected), "{flags} {left}");
        }
    }

    #[test]
    fn of_items_of_others_nothing_is_known() {
        for (flags, left) in [(0, 60), (60, 0), (60, 61), (0, 0)] {
            assert_eq!(age(flags, left), None, "{flags} {left}");
        }
    }
}
