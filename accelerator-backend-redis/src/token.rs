//! What a string in Redis means, and the token that proves what was seen.

use accelerator_core::head::{HEAD_LEN, Head, Kind};
use accelerator_core::{Bytes, L2Read, LeaseToken};

/// First byte of our tokens: a token of another store, or of zeros, proves nothing here.
const MARK: u8 = b'R';

/// The token of a string: the mark, how many of its first ten bytes there are, and those bytes.
///
/// Ten bytes are a whole head, and so a nonce. Foreign strings may be shorter: they are compared whole.
pub(crate) fn token(string: &[u8]) -> LeaseToken {
    let seen = &string[..string.len().min(HEAD_LEN)];
    let mut out = [0; 32];
    out[0] = MARK;
    // At most ten.
    out[1] = seen.len() as u8;
    out[2..2 + seen.len()].copy_from_slice(seen);
    LeaseToken::new(out)
}

/// The bytes that a token of ours has seen.
pub(crate) fn seen(token: &LeaseToken) -> Option<&[u8]> {
    let [MARK, length @ 0..=10, rest @ ..] = token.proof() else { return None };
    rest.get(..usize::from(*length))
}

/// The bytes of the lease that a token of ours stands for: what was seen may be a value.
pub(crate) fn lease(token: &LeaseToken) -> Option<&[u8]> {
    seen(token).filter(|seen| Head::parse(seen).is_some_and(|head| head.kind == Kind::Lease))
}

/// What a reader with a lease in mind is told about a string that is there.
pub(crate) fn leased_read(string: Vec<u8>) -> L2Read {
    match Head::parse(&string).map(|head| head.kind) {
        Some(Kind::Lease) => L2Read::Busy,
        Some(Kind::Hold) => L2Read::Held,
        // Values, and what we can't read: the engine judges those, and may replace exactly what was seen.
        _ => L2Read::Hit { seen: Some(token(&string)), bytes: string.into() },
    }
}

/// What a plain reader is told: marks that are no values are not there.
pub(crate) fn plain_read(string: Vec<u8>) -> Option<Bytes> {
    match leased_read(string) {
        L2Read::Hit { bytes, .. } => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_gives_back_what_it_has_seen() {
        for string in [&b""[..], b"short", b"ten bytes.", b"more than ten bytes"] {
            assert_eq!(seen(&token(string)), Some(&string[..string.len().min(10)]));
        }
    }

    #[test]
    fn a_token_of_another_store_has_seen_nothing() {
        let mut too_long = *token(b"").proof();
        too_long[1] = 11;
        assert_eq!(seen(&LeaseToken::new([0; 32])), None);
        assert_eq!(seen(&LeaseToken::new([255; 32])), None);
        assert_eq!(seen(&LeaseToken::new(too_long)), None);
    }

    #[test]
    fn marks_are_no_values() {
        for kind in [Kind::Lease, Kind::Hold] {
            assert_eq!(plain_read(Head::random(kind).to_bytes().to_vec()), None, "{kind:?}");
        }
        for kind in [Kind::Value, Kind::Absent] {
            assert!(plain_read(Head::random(kind).to_bytes().to_vec()).is_some(), "{kind:?}");
        }
        assert_eq!(plain_read(b"foreign".to_vec()).as_deref(), Some(&b"foreign"[..]));
    }
}
