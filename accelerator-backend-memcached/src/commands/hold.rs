//! Holds: an item of its own beside the key, on the same server, which says who holds the key.
//!
//! ```text
//! hold     1 read the item (or make an empty one) · 2 write it in place of what was read, then delete the key
//! unhold   1 read the item · 2 write it without this owner in place of what was read, then delete the key
//! read     read the key, then the item, in one piece: where somebody holds the key, nothing that is there is a value
//! set      write the key, then read the item, in one piece: where somebody holds the key, delete it again
//! ```
//!
//! The order is what makes it hold. The item is there before the key is deleted: a lease of before is ended by the
//! delete, and whoever gets one later reads the item after it. A `set` that does not see the item came before the
//! delete. Nobody deletes the item but by its CAS number, so no `del` or `set` ends a hold.
//!
//! The server tells the time: an item has so many seconds left, and each hold ends so many seconds before its item.

use std::time::Duration;

use accelerator_core::head::{HEAD_LEN, Head, Kind};
use accelerator_core::{HoldOwner, Outcomes, StoreErrorKind, StoreResult};

use crate::commands::command::{Command, OfHold, seconds};
use crate::commands::exchange::{Servers, Shared};
use crate::commands::lease::Conditional;
use crate::commands::reply::{Reply, Status};
use crate::error::Fault;
use crate::token::Proof;

/// The most holds of one key at once.
const MOST_HOLDS: usize = 256;
/// How often a change of the item is tried that others change at the same time. One of those who try at once succeeds.
const MOST_TRIES: usize = 1024;
/// An owner, and how many seconds before the end of the item its hold ends.
const ONE: usize = 12;
/// The longest item.
pub(crate) const LONGEST: usize = HEAD_LEN + MOST_HOLDS * ONE;

/// Whether the item says that the key is held.
pub(crate) fn is_held(reply: &Reply) -> Result<bool, Fault> {
    match reply.status {
        Status::Missing => Ok(false),
        Status::Value => Ok(is_of_holds(&reply.value)),
        _ => Err(Fault::protocol("the answer doesn't fit the request")),
    }
}

fn is_of_holds(value: &[u8]) -> bool {
    Head::parse(value).is_some_and(|head| head.kind == Kind::Hold)
}

/// The holds of a key, with the seconds that each has left.
#[derive(Debug, Default, PartialEq)]
struct Holds(Vec<(u64, u32)>);

impl Holds {
    /// Of an item with so many seconds left.
    fn read(value: &[u8], left: u32) -> Self {
        let all = if is_of_holds(value) { &value[HEAD_LEN..] } else { &[] };
        let one = |bytes: &[u8]| {
            let (owner, before) = bytes.split_first_chunk()?;
            let lasts = left.saturating_sub(u32::from_le_bytes(*before.first_chunk()?));
            (lasts > 0).then_some((u64::from_le_bytes(*owner), lasts))
        };
        Self(all.chunks_exact(ONE).filter_map(one).collect())
    }

    /// How long the item has to live, in seconds; `None`: nobody holds the key.
    fn lasts(&self) -> Option<u32> {
        self.0.iter().map(|(_, lasts)| *lasts).max()
    }

    fn write(&self) -> Vec<u8> {
        let last = self.lasts().unwrap_or_default();
        let mut out = Head::random(Kind::Hold).to_bytes().to_vec();
        for (owner, lasts) in &self.0 {
            out.extend_from_slice(&owner.to_le_bytes());
            out.extend_from_slice(&(last - lasts).to_le_bytes());
        }
        out
    }
}

impl Servers {
    /// Holds the key for at least so long.
    pub(crate) async fn hold(&self, key: &str, owner: HoldOwner, hold: Duration) -> StoreResult<()> {
        // The server's clock ticks in seconds: with one less, it might be over early.
        self.change(key, owner, Some(seconds(hold.saturating_add(Duration::from_secs(1))))).await
    }

    pub(crate) async fn unhold(&self, key: &str, owner: HoldOwner) -> StoreResult<()> {
        self.change(key, owner, None).await
    }

    async fn change(&self, key: &str, owner: HoldOwner, hold: Option<u32>) -> StoreResult<()> {
        let fail = |why: Fault| Err(why.of(&self.of(key).name));
        let ask = if hold.is_some() { OfHold::Claim } else { OfHold::Read };
        let delete = Command::Delete { key, cas: None };
        for _ in 0..MOST_TRIES {
            // 1
            let item = self.one(Command::Hold { key, what: ask }, |reply, server, witnesses| {
                is_held(&reply)?;
                Ok((Proof { server: server.hash, witnesses, cas: reply.cas, leased: false }, reply))
            });
            let (proof, reply) = item.await?;
            match (reply.status, hold) {
                (Status::Missing, None) => {
                    return self.one(delete, |reply, _, _| crate::commands::interpret::deleted(&reply)).await;
                }
                (Status::Missing, Some(_)) => {
                    return fail(Fault::new(StoreErrorKind::Rejected, "out of memory: the key is not held"));
                }
                _ => {}
            }
            if proof.cas == 0 {
                return fail(Fault::unsupported("it was started with -C, without CAS numbers, so it has no holds"));
            }
            let mut holds = Holds::read(&reply.value, reply.left);
            holds.0.retain(|(of, _)| *of != owner.0);
            if let Some(lasts) = hold {
                if holds.0.len() >= MOST_HOLDS {
                    return fail(Fault::new(StoreErrorKind::Rejected, "too many writers hold the key"));
                }
                holds.0.push((owner.0, lasts));
            }
            // 2
            let value = holds.write();
            let what = match holds.lasts() {
                Some(ttl) => OfHold::Store { value: &value, ttl, cas: proof.cas },
                None => OfHold::Delete { cas: proof.cas },
            };
            let commands = vec![
                (0, Conditional { command: Command::Hold { key, what }, proof }),
                (1, Conditional { command: delete, proof }),
            ];
            let mut answers = Outcomes::new(commands.len());
            let out = Shared::new(&mut answers);
            self.conditional(commands, |at, outcome| out.put(at, outcome), written).await;
            let (item, deleted) = (answers.take(0).transpose()?.flatten(), answers.take(1).transpose()?.flatten());
            // Where no connection vouches for the number any more, neither was sent.
            if item == Some(true) && deleted.is_some() {
                return Ok(());
            }
        }
        fail(Fault::new(StoreErrorKind::Rejected, "too many writers hold the key at the same time"))
    }
}

/// Whether the write was in place of what was read.
fn written(reply: &Reply) -> Result<bool, Fault> {
    match reply.status {
        Status::Done => Ok(true),
        Status::Replaced | Status::Gone => Ok(false),
        Status::Refused => Err(Fault::new(StoreErrorKind::Rejected, "out of memory: the key is not held")),
        _ => Err(Fault::protocol("the answer doesn't fit the request")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_come_back_with_what_they_have_left() {
        let holds = Holds(vec![(7, 11), (u64::MAX, 3), (8, 30)]);
        let item = holds.write();
        assert_eq!(holds.lasts(), Some(30));
        assert_eq!(Holds::read(&item, 30), holds);
        assert_eq!(Holds::read(&item, 26), Holds(vec![(7, 7), (8, 26)]), "four seconds later one is over");
        assert_eq!(Holds::read(&item, 1), Holds(vec![(8, 1)]));
        assert_eq!(Holds::read(&item, 0), Holds::default());
    }

    #[test]
    fn what_is_no_item_of_holds_holds_nothing() {
        for value in [&b""[..], b"foreign", &Head::random(Kind::Value).to_bytes()] {
            assert_eq!(Holds::read(value, 30), Holds::default());
            assert!(!is_of_holds(value));
        }
        let cut = &Holds(vec![(7, 11)]).write()[..HEAD_LEN + 5];
        assert_eq!(Holds::read(cut, 30), Holds::default());
    }

    #[test]
    fn the_longest_item_has_room_for_all_holds() {
        let all = Holds((0..MOST_HOLDS as u64).map(|owner| (owner, 10)).collect());
        assert_eq!(all.write().len(), LONGEST);
    }
}
