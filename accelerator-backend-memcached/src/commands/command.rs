//! Commands as they go over the wire.

use std::time::Duration;

use accelerator_core::{StoreError, StoreErrorKind, StoreResult};

/// The longest relative time; memcached takes more for a date.
const LONGEST_SECONDS: u64 = 30 * 24 * 60 * 60;
/// Shorter leases may be over at once, in seconds: memcached's clock ticks in them.
pub(crate) const SHORTEST_LEASE: u32 = 2;
/// What stands behind a key in the name of the item that says who holds it. Keys of the engine don't have it.
const OF_HOLDS: &str = "!";
/// The longest key, prefix included: memcached takes 250 bytes, and there is to be room for the name of its holds.
pub(crate) const LONGEST_KEY: usize = 250 - OF_HOLDS.len();

/// One request. Each is answered by one reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command<'a> {
    /// Reads a key, with what it lives and was given to live; with a time, whoever misses gets the lease for so many
    /// seconds.
    Read { key: &'a str, lease: Option<u32> },
    /// Reads a key, and its CAS number.
    See { key: &'a str },
    /// Stores a value for `ttl` seconds, with them as its flags; with a CAS number, only in place of the item that has it.
    Store { key: &'a str, value: &'a [u8], ttl: u32, cas: Option<u64> },
    /// Deletes a key; with a CAS number, only the item that has it.
    Delete { key: &'a str, cas: Option<u64> },
    /// Something about the item that says who holds a key.
    Hold { key: &'a str, what: OfHold<'a> },
}

/// What is asked about the holds of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OfHold<'a> {
    /// The item.
    Look,
    /// The item, with its CAS number and what it has to live.
    Read,
    /// The same; where there is none, an empty one is made.
    Claim,
    Store {
        value: &'a [u8],
        ttl: u32,
        cas: u64,
    },
    Delete {
        cas: u64,
    },
}

impl<'a> Command<'a> {
    pub(crate) fn key(&self) -> &'a str {
        match self {
            Self::Read { key, .. }
            | Self::See { key }
            | Self::Store { key, .. }
            | Self::Delete { key, .. }
            | Self::Hold { key, .. } => key,
        }
    }

    /// Whether it may bring a lease.
    pub(crate) fn leases(&self) -> bool {
        matches!(self, Self::Read { lease: Some(_), .. })
    }

    /// Appends the request. The reply repeats `opaque`.
    pub(crate) fn write(&self, prefix: &str, opaque: u32, out: &mut Vec<u8>) {
        let (name, mark) = match self {
            Self::Read { .. } | Self::See { .. } => ("mg ", ""),
            Self::Store { .. } => ("ms ", ""),
            Self::Delete { .. } => ("md ", ""),
            Self::Hold { what: OfHold::Look | OfHold::Read | OfHold::Claim, .. } => ("mg ", OF_HOLDS),
            Self::Hold { what: OfHold::Store { .. }, .. } => ("ms ", OF_HOLDS),
            Self::Hold { what: OfHold::Delete { .. }, .. } => ("md ", OF_HOLDS),
        };
        for part in [name, prefix, self.key(), mark] {
            out.extend_from_slice(part.as_bytes());
        }
        match self {
            Self::Read { lease: None, .. } => out.extend_from_slice(b" v t f"),
            Self::Read { lease: Some(seconds), .. } => {
                out.extend_from_slice(b" v t f c");
                number(b" N", u64::from(*seconds), out);
            }
            Self::See { .. } => out.extend_from_slice(b" v c"),
            Self::Store { value, ttl, .. } | Self::Hold { what: OfHold::Store { value, ttl, .. }, .. } => {
                number(b" ", value.len() as u64, out);
                number(b" T", u64::from(*ttl), out);
                if let Self::Store { .. } = self {
                    // For whoever reads it: what is left of it says how old it is.
                    number(b" F", u64::from(*ttl), out);
                }
            }
            Self::Delete { .. } | Self::Hold { what: OfHold::Delete { .. }, .. } => {}
            Self::Hold { what: OfHold::Look, .. } => out.extend_from_slice(b" v"),
            Self::Hold { what: OfHold::Read, .. } => out.extend_from_slice(b" v c t"),
            Self::Hold { what: OfHold::Claim, .. } => {
                out.extend_from_slice(b" v c t");
                number(b" N", u64::from(SHORTEST_LEASE), out);
            }
        }
        if let Self::Store { cas: Some(cas), .. }
        | Self::Delete { cas: Some(cas), .. }
        | Self::Hold { what: OfHold::Store { cas, .. } | OfHold::Delete { cas }, .. } = self
        {
            number(b" C", *cas, out);
        }
        number(b" O", u64::from(opaque), out);
        out.extend_from_slice(b"\r\n");
        if let Self::Store { value, .. } | Self::Hold { what: OfHold::Store { value, .. }, .. } = self {
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn number(before: &[u8], n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(before);
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

/// A TTL in whole seconds: rounded up, at least one, at most thirty days.
pub(crate) fn seconds(ttl: Duration) -> u32 {
    let up = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    up.clamp(1, LONGEST_SECONDS) as u32
}

/// The time of a lease in whole seconds.
pub(crate) fn lease_seconds(lease: Duration) -> u32 {
    seconds(lease).max(SHORTEST_LEASE)
}

/// Refuses a key that would be another command, or that the server refuses.
pub(crate) fn check_key(prefix: &str, key: &str) -> StoreResult<()> {
    if prefix.len() + key.len() > LONGEST_KEY {
        return Err(StoreError::new(StoreErrorKind::TooLarge, "the key exceeds max_key_bytes"));
    }
    if key.is_empty() || key.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
        return Err(StoreError::new(StoreErrorKind::Rejected, "the key is empty, or has a space or control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(command: &Command<'_>) -> String {
        let mut out = Vec::new();
        command.write("p.", 7, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn commands_are_written_as_memcached_reads_them() {
        let key = "k";
        assert_eq!(wire(&Command::Read { key, lease: None }), "mg p.k v t f O7\r\n");
        assert_eq!(wire(&Command::Read { key, lease: Some(3) }), "mg p.k v t f c N3 O7\r\n");
        assert_eq!(wire(&Command::See { key }), "mg p.k v c O7\r\n");
        let store = |cas| Command::Store { key, value: b"a\r\n", ttl: 60, cas };
        assert_eq!(wire(&store(None)), "ms p.k 3 T60 F60 O7\r\na\r\n\r\n");
        assert_eq!(wire(&store(Some(u64::MAX))), "ms p.k 3 T60 F60 C18446744073709551615 O7\r\na\r\n\r\n");
        assert_eq!(wire(&Command::Delete { key, cas: None }), "md p.k O7\r\n");
        assert_eq!(wire(&Command::Delete { key, cas: Some(0) }), "md p.k C0 O7\r\n");
        let hold = |what| wire(&Command::Hold { key, what });
        assert_eq!(hold(OfHold::Look), "mg p.k! v O7\r\n");
        assert_eq!(hold(OfHold::Read), "mg p.k! v c t O7\r\n");
        assert_eq!(hold(OfHold::Claim), "mg p.k! v c t N2 O7\r\n");
        assert_eq!(hold(OfHold::Store { value: b"a", ttl: 11, cas: 5 }), "ms p.k! 1 T11 C5 O7\r\na\r\n");
        assert_eq!(hold(OfHold::Delete { cas: 5 }), "md p.k! C5 O7\r\n");
    }

    #[test]
    fn times_are_rounded_up_and_stay_relative() {
        let ms = Duration::from_millis;
        let cases = [(ms(0), 1), (ms(1), 1), (ms(1000), 1), (ms(1001), 2), (ms(2999), 3)];
        for (ttl, expected) in cases {
            assert_eq!(seconds(ttl), expected, "{ttl:?}");
        }
        let month = Duration::from_secs(LONGEST_SECONDS);
        for ttl in [month, month + ms(1), Duration::from_secs(u64::from(u32::MAX) + 1), Duration::MAX] {
            assert_eq!(u64::from(seconds(ttl)), LONGEST_SECONDS, "{ttl:?}");
        }
        assert_eq!([ms(0), ms(1000), ms(2001)].map(lease_seconds), [2, 2, 3]);
    }

    #[test]
    fn keys_that_would_be_more_than_a_key_are_refused() {
        for key in ["", "a b", "a\r\nmd b", "a\0", "a\u{7f}", "\t"] {
            assert!(check_key("p", key).is_err(), "{key:?}");
        }
        assert!(check_key("", &"x".repeat(LONGEST_KEY)).is_ok());
        assert!(check_key("p", &"x".repeat(LONGEST_KEY)).is_err());
    }
}
