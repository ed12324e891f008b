//! What replies mean for the callers of a store.

use accelerator_core::head::{Head, Kind};
use accelerator_core::{Bytes, Filled, L2Read, StoreErrorKind};

use crate::commands::reply::{Reply, Status};
use crate::error::Fault;
use crate::token::Proof;

/// A plain read: a value, but no placeholder of a lease, no mark of the protocol, nothing that was invalidated softly.
pub(crate) fn read(reply: Reply) -> Result<Option<Bytes>, Fault> {
    match reply.status {
        Status::Missing => Ok(None),
        Status::Value if reply.stale || is_placeholder(&reply) || is_mark(&reply.value) => Ok(None),
        Status::Value => Ok(Some(reply.value)),
        _ => Err(unexpected(&reply)),
    }
}

/// A read that takes the lease where nothing is. `proof` makes one of a CAS number.
pub(crate) fn read_or_lease(reply: Reply, proof: impl FnOnce(u64) -> Proof) -> Result<L2Read, Fault> {
    match reply.status {
        Status::Missing => return Ok(L2Read::NoLease),
        Status::Value => {}
        _ => return Err(unexpected(&reply)),
    }
    match Head::parse(&reply.value).map(|head| head.kind) {
        Some(Kind::Hold) => return Ok(L2Read::Held),
        // A lease that its holder has renewed.
        Some(Kind::Lease) => return Ok(L2Read::Busy),
        _ => {}
    }
    let placeholder = is_placeholder(&reply);
    if !reply.stale && !placeholder {
        let seen = (reply.cas > 0).then(|| proof(reply.cas).token());
        return Ok(L2Read::Hit { bytes: reply.value, seen });
    }
    if reply.cas == 0 {
        return Err(Fault::unsupported(
            "it was started with -C, without CAS numbers, so it has no leases: start it without -C",
        ));
    }
    if !reply.won {
        return Ok(L2Read::Busy);
    }
    let stale = (reply.stale && !reply.value.is_empty()).then_some(reply.value);
    Ok(L2Read::Leased { token: proof(reply.cas).of_lease().token(), stale })
}

/// A read of whatever is there.
pub(crate) fn seen(reply: &Reply) -> Result<(), Fault> {
    match reply.status {
        Status::Missing | Status::Value => Ok(()),
        _ => Err(unexpected(reply)),
    }
}

/// An unconditional write.
pub(crate) fn stored(reply: &Reply) -> Result<(), Fault> {
    match reply.status {
        Status::Done => Ok(()),
        Status::TooLarge => Err(too_large()),
        Status::Refused => {
            Err(Fault::new(StoreErrorKind::Rejected, "out of memory: nothing was stored, and the old value is gone"))
        }
        _ => Err(unexpected(reply)),
    }
}

/// A write in place of one item.
pub(crate) fn filled(reply: &Reply) -> Result<Filled, Fault> {
    match reply.status {
        Status::Done => Ok(Filled::Stored),
        Status::Replaced | Status::Gone => Ok(Filled::Lost),
        Status::TooLarge => Err(too_large()),
        Status::Refused => Ok(Filled::Refused),
        _ => Err(unexpected(reply)),
    }
}

/// A delete, of any item or of one.
pub(crate) fn deleted(reply: &Reply) -> Result<(), Fault> {
    match reply.status {
        Status::Done | Status::Gone | Status::Replaced => Ok(()),
        _ => Err(unexpected(reply)),
    }
}

pub(crate) fn too_large() -> Fault {
    Fault::new(StoreErrorKind::TooLarge, "the value is too large: it was not stored, and the old one is gone")
}

/// A conditional write that was not sent.
pub(crate) fn over_the_limit() -> Fault {
    Fault::new(StoreErrorKind::TooLarge, "the value exceeds max_value_bytes and was not sent")
}

/// An item without bytes that somebody has a lease for. A value without bytes has no lease: those that this store writes
/// never get one, and a foreign one only by commands that this store doesn't send.
fn is_placeholder(reply: &Reply) -> bool {
    reply.value.is_empty() && (reply.won || reply.leased)
}

/// Whether this is a note of the lease protocol, which readers without leases don't understand.
fn is_mark(value: &[u8]) -> bool {
    Head::parse(value).is_some_and(|head| matches!(head.kind, Kind::Lease | Kind::Hold))
}

fn unexpected(reply: &Reply) -> Fault {
    match reply.status {
        Status::Refused | Status::TooLarge => Fault::new(StoreErrorKind::Rejected, "the server failed"),
        _ => Fault::protocol("the answer doesn't fit the request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::pool::Which;

    fn value(bytes: &[u8]) -> Reply {
        let value = Bytes::copy_from_slice(bytes);
        Reply { status: Status::Value, value, cas: 5, left: 0, flags: 0, won: false, leased: false, stale: false }
    }

    fn only(status: Status) -> Reply {
        Reply { status, cas: 0, ..value(b"") }
    }

    fn proof(cas: u64) -> Proof {
        Proof { server: 1, witnesses: Which::NotYounger { era: 0, than: 3 }, cas, leased: false }
    }

    fn leased(reply: Reply) -> L2Read {
        read_or_lease(reply, proof).expect("a reading")
    }

    #[test]
    fn a_value_without_bytes_is_a_value_and_a_placeholder_is_none() {
        assert_eq!(read(value(b"")).unwrap(), Some(Bytes::new()));
        assert_eq!(read(Reply { leased: true, ..value(b"") }).unwrap(), None);
        assert_eq!(read(Reply { won: true, ..value(b"") }).unwrap(), None);
        let (token, leased_token) = (proof(5).token(), proof(5).of_lease().token());
        assert_eq!(leased(value(b"")), L2Read::Hit { bytes: Bytes::new(), seen: Some(token) });
        assert_eq!(leased(Reply { leased: true, ..value(b"") }), L2Read::Busy);
        assert_eq!(leased(Reply { won: true, ..value(b"") }), L2Read::Leased { token: leased_token, stale: None });
    }

    #[test]
    fn what_was_invalidated_softly_is_stale_with_leases_and_none_without() {
        let stale = || Reply { stale: true, ..value(b"old") };
        let old = Some(Bytes::from_static(b"old"));
        assert_eq!(read(stale()).unwrap(), None);
        let token = proof(5).of_lease().token();
        assert_eq!(leased(Reply { won: true, ..stale() }), L2Read::Leased { token, stale: old });
        assert_eq!(leased(Reply { leased: true, ..stale() }), L2Read::Busy);
        let empty = Reply { stale: true, won: true, ..value(b"") };
        assert_eq!(leased(empty), L2Read::Leased { token, stale: None }, "a placeholder, invalidated");
    }

    #[test]
    fn a_value_that_somebody_refreshes_early_is_a_hit() {
        for reply in [Reply { won: true, ..value(b"v") }, Reply { leased: true, ..value(b"v") }] {
            assert!(matches!(leased(reply), L2Read::Hit { seen: Some(_), .. }));
        }
    }

    #[test]
    fn marks_are_seen_by_those_who_take_leases_only() {
        for (kind, expected) in [(Kind::Hold, L2Read::Held), (Kind::Lease, L2Read::Busy)] {
            let mark = Head::random(kind).to_bytes();
            assert_eq!(read(value(&mark)).unwrap(), None, "{kind:?}");
            assert_eq!(leased(value(&mark)), expected);
            assert_eq!(leased(Reply { stale: true, won: true, ..value(&mark) }), expected, "invalidated softly");
        }
        for kind in [Kind::Value, Kind::Absent] {
            assert!(read(value(&Head::random(kind).to_bytes())).unwrap().is_some(), "{kind:?}");
        }
    }

    #[test]
    fn without_cas_numbers_there_are_hits_and_no_leases() {
        assert!(matches!(leased(Reply { cas: 0, ..value(b"v") }), L2Read::Hit { seen: None, .. }));
        for reply in [Reply { cas: 0, won: true, ..value(b"") }, Reply { cas: 0, leased: true, ..value(b"") }] {
            let error = read_or_lease(reply, proof).expect_err("no lease").of("a:1");
            assert_eq!(error.kind(), StoreErrorKind::Unsupported);
            assert!(error.to_string().contains("-C"), "{error}");
        }
    }

    #[test]
    fn writes_and_deletes_say_what_happened() {
        let kind = |fault: Fault| fault.of("a:1").kind();
        assert_eq!(filled(&only(Status::Done)).unwrap(), Filled::Stored);
        assert_eq!(filled(&only(Status::Replaced)).unwrap(), Filled::Lost);
        assert_eq!(filled(&only(Status::Gone)).unwrap(), Filled::Lost);
        assert_eq!(filled(&only(Status::Refused)).unwrap(), Filled::Refused);
        assert_eq!(kind(filled(&only(Status::TooLarge)).unwrap_err()), StoreErrorKind::TooLarge);
        assert_eq!(kind(stored(&only(Status::TooLarge)).unwrap_err()), StoreErrorKind::TooLarge);
        assert_eq!(kind(stored(&only(Status::Refused)).unwrap_err()), StoreErrorKind::Rejected);
        for status in [Status::Done, Status::Gone, Status::Replaced] {
            assert!(deleted(&only(status)).is_ok());
        }
        assert_eq!(kind(deleted(&only(Status::Refused)).unwrap_err()), StoreErrorKind::Rejected);
        assert_eq!(kind(read(only(Status::Done)).unwrap_err()), StoreErrorKind::Protocol);
        assert_eq!(kind(stored(&only(Status::Missing)).unwrap_err()), StoreErrorKind::Protocol);
        assert_eq!(leased(only(Status::Missing)), L2Read::NoLease);
    }
}
