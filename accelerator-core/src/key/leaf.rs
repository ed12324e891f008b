//! Keys without parts: their text never holds a `.`.

use std::fmt::Write;
use std::sync::Arc;

use super::CacheKey;

macro_rules! integers {
    ($($Int:ty)+) => {$(
        impl CacheKey for $Int {
            fn encode(&self, out: &mut String) {
                // The formatter takes five times as long as the digits do.
                match u64::try_from(*self) {
                    Ok(number) => push_digits(number, out),
                    // Writing into a `String` has no error to report.
                    Err(_) => drop(write!(out, "{self}")),
                }
            }

            fn decode(text: &str) -> Option<Self> {
                if is_canonical_integer(text) { text.parse().ok() } else { None }
            }
        }
    )+};
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

/// The numbers below one hundred, two digits each: pieces of it are text, and need no look at their digits.
const PAIRS: &str = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
                     5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

fn push_digits(mut number: u64, out: &mut String) {
    let (mut pairs, mut count) = ([0_usize; 10], 0);
    while number >= 100 {
        // Below one hundred.
        pairs[count] = (number % 100) as usize;
        number /= 100;
        count += 1;
    }
    let first = number as usize * 2;
    out.push_str(&PAIRS[first + usize::from(number < 10)..first + 2]);
    for pair in pairs[..count].iter().rev() {
        out.push_str(&PAIRS[pair * 2..pair * 2 + 2]);
    }
}

/// Whether `text` starts as integers are written. `parse` looks at the rest; by itself it also takes `+5`, `05`, `-0`.
fn is_canonical_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits.as_bytes() {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => true,
        _ => false,
    }
}

impl CacheKey for bool {
    fn encode(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }

    fn decode(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl CacheKey for char {
    fn encode(&self, out: &mut String) {
        encode_str(self.encode_utf8(&mut [0; 4]), out);
    }

    fn decode(text: &str) -> Option<Self> {
        let decoded = decode_str(text)?;
        let mut chars = decoded.chars();
        let first = chars.next()?;
        chars.next().is_none().then_some(first)
    }
}

/// Borrowed text can be a key to look up with, and a part of what an own type hands its `encode` to; it is not decoded,
/// as there is nothing to borrow from.
impl CacheKey for &str {
    fn encode(&self, out: &mut String) {
        encode_str(self, out);
    }

    fn decode(_: &str) -> Option<Self> {
        None
    }
}

/// A borrowed key has the text of the key, so that a tuple can be written without cloning its parts; like borrowed text
/// it is not decoded.
impl<K: CacheKey> CacheKey for &K {
    fn encode(&self, out: &mut String) {
        (**self).encode(out);
    }

    fn decode(_: &str) -> Option<Self> {
        None
    }
}

macro_rules! owned_text {
    ($($Text:ty)+) => {$(
        impl CacheKey for $Text {
            fn encode(&self, out: &mut String) {
                encode_str(self, out);
            }

            fn decode(text: &str) -> Option<Self> {
                decode_str(text).map(Into::into)
            }
        }
    )+};
}

owned_text!(String Box<str> Arc<str>);

/// Only the hyphenated form in lower case is decoded.
#[cfg(feature = "uuid")]
impl CacheKey for uuid::Uuid {
    fn encode(&self, out: &mut String) {
        out.push_str(self.as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
    }

    fn decode(text: &str) -> Option<Self> {
        let id = Self::try_parse(text).ok()?;
        // `try_parse` takes several forms of the same id.
        let canonical = id.as_hyphenated().encode_lower(&mut Self::encode_buffer()) == text;
        canonical.then_some(id)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The bytes that stand for themselves. Changing this, or anything below, orphans what L2 holds.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn encode_str(text: &str, out: &mut String) {
    // Most keys are plain throughout and are copied in one go.
    let plain = text.bytes().position(|byte| !is_plain(byte)).unwrap_or(text.len());
    let (head, tail) = text.split_at(plain);
    out.push_str(head);
    for byte in tail.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('~');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn decode_str(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'~' {
            let escaped = (hex_digit(bytes.next()?)? << 4) | hex_digit(bytes.next()?)?;
            // A plain byte is never escaped: it would be a second text for the same key.
            if is_plain(escaped) {
                return None;
            }
            decoded.push(escaped);
        } else if is_plain(byte) {
            decoded.push(byte);
        } else {
            return None;
        }
    }
    String::from_utf8(decoded).ok()
}

/// Lower case only, as that is what is written.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
