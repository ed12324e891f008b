//! What caches tell each other, as bytes.
//!
//! ```text
//!  0 "CB" | 2 version | 3 type | 4 flags | 5 origin u64 | 13 number u64 | 21 sent_at ms u48 | 27 area length u16, area
//!    count u16, of each key: length u16, text | xxh3-64 of all that stands before
//! ```
//! Numbers are little endian. Nothing may follow. What can't be read is a lost message to its receiver, so another version
//! costs an L1 and nothing else.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: [u8; 2] = *b"CB";
const VERSION: u8 = 1;
const KEYS: u8 = 1;
const CLEAR: u8 = 2;
const HELLO: u8 = 3;
/// Of a clear: what L2 has is cleared, too.
const ALSO_L2: u8 = 1;
/// Up to the area.
const HEAD: usize = 29;
const CHECKSUM: usize = 8;
/// What a key takes beside its text.
const PER_KEY: usize = 2;
/// No message is larger, whatever the bus could carry.
const LARGEST: usize = 64 * 1024;

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// These keys have changed.
    Keys(Vec<&'a str>),
    /// All keys of the area may have.
    Clear { also_l2: bool },
    /// Nothing has; the number is that of the last message.
    Hello,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Which cache sent it: a random number for each that is built.
    pub(crate) origin: u64,
    /// Messages of an origin count from 1.
    pub(crate) number: u64,
    /// Unix milliseconds, by the sender's clock.
    pub(crate) sent_at: u64,
    pub(crate) area: &'a str,
    pub(crate) content: Content<'a>,
}

impl<'a> Message<'a> {
    pub(crate) fn encode(&self) -> Bytes {
        let (kind, flags, keys): (u8, u8, &[&str]) = match &self.content {
            Content::Keys(keys) => (KEYS, 0, keys),
            Content::Clear { also_l2 } => (CLEAR, if *also_l2 { ALSO_L2 } else { 0 }, &[]),
            Content::Hello => (HELLO, 0, &[]),
        };
        let text: usize = keys.iter().map(|key| PER_KEY + key.len()).sum();
        let mut out = Vec::with_capacity(HEAD + self.area.len() + PER_KEY + text + CHECKSUM);
        out.extend(MAGIC);
        out.extend([VERSION, kind, flags]);
        out.extend(self.origin.to_le_bytes());
        out.extend(self.number.to_le_bytes());
        out.extend(&self.sent_at.to_le_bytes()[..6]);
        push_text(self.area, &mut out);
        // Whoever splits keeps to `room`, which is less than what 16 bits count.
        out.extend(u16::try_from(keys.len()).unwrap_or(u16::MAX).to_le_bytes());
        keys.iter().for_each(|key| push_text(key, &mut out));
        out.extend(xxh3_64(&out).to_le_bytes());
        out.into()
    }

    /// `None`: damaged, of another version, or nothing of ours.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (said, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
        if xxh3_64(said) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let mut rest = said;
        if *take::<2>(&mut rest)? != MAGIC {
            return None;
        }
        let [version, kind, flags] = *take::<3>(&mut rest)?;
        let origin = u64::from_le_bytes(*take(&mut rest)?);
        let number = u64::from_le_bytes(*take(&mut rest)?);
        let [a, b, c, d, e, f] = *take::<6>(&mut rest)?;
        let sent_at = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        let area = take_text(&mut rest)?;
        let count = u16::from_le_bytes(*take(&mut rest)?);
        // A count alone takes no memory: each key has a length.
        let keys = (0..count).map(|_| take_text(&mut rest)).collect::<Option<Vec<_>>>()?;
        let content = match (version, kind, flags, count) {
            (VERSION, KEYS, 0, 1..) => Content::Keys(keys),
            (VERSION, CLEAR, 0 | ALSO_L2, 0) => Content::Clear { also_l2: flags == ALSO_L2 },
            (VERSION, HELLO, 0, 0) => Content::Hello,
            _ => return None,
        };
        rest.is_empty().then_some(Self { origin, number, sent_at, area, content })
    }
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    // An area has at most 400 bytes, and a key fits into a message.
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(u16::from_le_bytes(*take(rest)?));
    let (text, left) = rest.split_at_checked(length)?;
    *rest = left;
    std::str::from_utf8(text).ok()
}

/// How much of messages is for keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room(usize);

impl Room {
    /// In messages of at most `limit` bytes about this area.
    pub(crate) fn new(limit: usize, area: &str) -> Self {
        Self(limit.min(LARGEST).saturating_sub(HEAD + area.len() + PER_KEY + CHECKSUM))
    }

    /// Whether a key can be told at all.
    pub(crate) fn takes(self, key: &str) -> bool {
        PER_KEY + key.len() <= self.0
    }

    /// How many of these keys go into one message, from the first on; each of them fits.
    pub(crate) fn first<T: AsRef<str>>(self, keys: &[T]) -> usize {
        let mut left = self.0;
        let fits = |key: &&T| match left.checked_sub(PER_KEY + key.as_ref().len()) {
            Some(less) => {
                left = less;
                true
            }
            None => false,
        };
        keys.iter().take_while(fits).count().max(1).min(keys.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message<'a>(area: &'a str, content: Content<'a>) -> Message<'a> {
        Message { origin: 0x0807_0605_0403_0201, number: 258, sent_at: 1_748_779_200_000, area, content }
    }

    #[test]
    fn the_bytes_stay_as_they_are() {
        let keys = message("user", Content::Keys(vec!["7", "a~2eb"])).encode();
        let head: &[u8] = b"CB\x01\x01\x00\x01\x02\x03\x04\x05\x06\x07\x08\x02\x01\0\0\0\0\0\0\0\xee\x5c\x2b\x97\x01";
        let rest: &[u8] = b"\x04\0user\x02\0\x01\x007\x05\0a~2eb";
        assert_eq!(&keys[..keys.len() - CHECKSUM], [head, rest].concat());
        assert_eq!(&keys[keys.len() - CHECKSUM..], 0xaf47_e336_7f68_1272_u64.to_le_bytes());
        let clear = message("", Content::Clear { also_l2: true }).encode();
        assert_eq!((clear[3], clear[4], &clear[27..31]), (2, 1, &[0; 4][..]));
        assert_eq!(message("", Content::Hello).encode()[3], 3);
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        let good = message("a", Content::Keys(vec!["1"])).encode().to_vec();
        let changed = |at: usize, to: u8| {
            let mut bytes = good[..good.len() - CHECKSUM].to_vec();
            bytes[at] = to;
            bytes.extend(xxh3_64(&bytes).to_le_bytes());
            Message::decode(&bytes).is_some()
        };
        assert!(changed(3, KEYS) && !changed(0, b'X'), "magic");
        assert!(!changed(2, 2), "another version");
        assert!(!changed(3, 9) && !changed(3, HELLO), "another type, or one without keys");
        assert!(!changed(4, 2), "an unknown flag");
        assert!(!changed(30, 2) && !changed(30, 0), "a wrong count");
        for n in 0..good.len() {
            assert_eq!(Message::decode(&good[..n]), None, "cut at {n}");
        }
        assert_eq!(Message::decode(&[&good[..], &[0]].concat()), None);
    }

    #[test]
    fn keys_are_told_in_messages_within_the_limit() {
        let area = "a".repeat(100);
        let room = Room::new(1024, &area);
        let keys: Vec<String> = (0..500_usize).map(|n| "k".repeat(n % 40)).collect();
        let (mut left, mut messages) = (&keys[..], 0);
        while !left.is_empty() {
            let n = room.first(left);
            let some = left[..n].iter().map(String::as_str).collect();
            assert!(message(&area, Content::Keys(some)).encode().len() <= 1024);
            (left, messages) = (&left[n..], messages + 1);
        }
        assert_eq!(messages, 12);
        let longest = "k".repeat(room.0 - PER_KEY);
        assert!(room.takes(&longest) && !room.takes(&format!("{longest}k")));
        assert_eq!(message(&area, Content::Keys(vec![&longest])).encode().len(), 1024);
        assert_eq!(
            Room::new(usize::MAX, "").first(&vec![""; 100_000]),
            (LARGEST - HEAD - PER_KEY - CHECKSUM) / PER_KEY
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            origin: u64, number: u64, sent_at in 0_u64..1 << 48, area in ".{0,100}",
            keys in prop::collection::vec(".{0,60}", 0..60), kind in 0_u8..4,
        ) {
            let content = match kind {
                0 if !keys.is_empty() => Content::Keys(keys.iter().map(String::as_str).collect()),
                1 => Content::Clear { also_l2: false },
                2 => Content::Clear { also_l2: true },
                _ => Content::Hello,
            };
            let message = Message { origin, number, sent_at, area: &area, content };
            let bytes = message.encode();
            prop_assert_eq!(Message::decode(&bytes), Some(message));
        }

        #[test]
        fn a_changed_bit_is_seen(keys in prop::collection::vec(".{0,20}", 1..9), at: prop::sample::Index, bit in 0_u8..8) {
            let keys = keys.iter().map(String::as_str).collect();
            let mut bytes = message("area", Content::Keys(keys)).encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(Message::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_read_without_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..200), ours: bool) {
            if ours {
                bytes.splice(0..bytes.len().min(5), *b"CB\x01\x01\x00");
                let sum = xxh3_64(&bytes).to_le_bytes();
                bytes.extend(sum);
            }
            let _ = Message::decode(&bytes);
        }
    }
}
