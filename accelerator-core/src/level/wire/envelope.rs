//! The forty bytes before every payload in L2, little endian.
//!
//! ```text
//! 0 C7 | 1 version:4 kind:4 | 2 nonce u64 | 10 codec u8 | 11 flags | 12 schema u32 | 16 written_at ms u48
//! 22 soft_ttl ms u32 | 26 hard_ttl ms u32 | 30 extras_len u16 | 32 xxh3-64 | 40 extras | payload
//! ```
//! The lowest of the flags says that the value went through layers; the extras name them (`layers.rs`). Without it there
//! are no extras.
//!
//! The checksum covers all other bytes and is seeded with the hash of the full logical key: damage, truncation, a
//! hashed long key that collides and a reply meant for another key all become misses.

use std::ops::Range;

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::level::stats::rejects::Origin;
use crate::level::time::policy::Life;
use crate::level::wire::moment::Instants;
use crate::traits::l2::head::{HEAD_LEN, Head, Kind};

/// Bytes before extras and payload.
pub(crate) const ENVELOPE_LEN: usize = 40;
/// Where the codec's number is.
pub(crate) const CODEC: usize = 10;
/// Where the flags are.
pub(crate) const FLAGS: usize = 11;
/// Where the schema is.
pub(crate) const SCHEMA: Range<usize> = 12..16;
/// Bytes before the length of the extras: what the envelope says of the value.
pub(crate) const SAID: usize = 30;
/// Bytes of one layer in the extras: `id u8 | length u32`.
pub(crate) const STEP: usize = 5;
/// The flag of values that went through layers.
pub(crate) const LAYERED: u8 = 1;
/// A writer's clock may be ahead of ours by this much before its value counts as soft-expired.
pub(crate) const MAX_AHEAD_MS: u64 = 5_000;
/// A foreign value is left alone for so long: those who waited for it come and take it, before others replace it.
const FOREIGN_REST_MS: u64 = 250;
/// Bytes that XXH3 hashes without a secret.
const SHORT: usize = 240;
const U48: u64 = (1 << 48) - 1;

/// What the envelope says beside the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) head: Head,
    pub(crate) codec: u8,
    pub(crate) schema: u32,
    pub(crate) written_at: u64,
    pub(crate) soft_ttl: u32,
    pub(crate) hard_ttl: u32,
}

/// Why bytes from L2 are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Not ours, damaged, or of another key: may be replaced.
    Garbage,
    /// Of so many bytes, more than this cache takes: may be replaced.
    TooLarge(usize),
    /// Another version, or another schema, codec or other layers and young (a rolling deploy): must not be replaced.
    Foreign(Origin),
    /// Another schema, codec or other layers, and not young any more: gives way to the next load (ADR 0050).
    Outdated(Origin),
}

impl Unreadable {
    /// Of a value of another origin, which `meta` is about.
    #[cold]
    pub(crate) fn of(origin: Origin, meta: &Meta, at: Instants) -> Self {
        // A writer whose clock is not believed: nobody knows how young it is.
        let ahead = meta.written_at > at.unix.saturating_add(MAX_AHEAD_MS);
        // By the clocks alone: the age that a store tells is the most that it can be, and this asks for the least.
        let age = at.unix.saturating_sub(meta.written_at);
        if ahead || age >= FOREIGN_REST_MS { Self::Outdated(origin) } else { Self::Foreign(origin) }
    }
}

/// A buffer that begins with room for the envelope; the payload is appended, then [`seal`]ed.
pub(crate) fn open_buffer() -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE_LEN + 88);
    out.resize(ENVELOPE_LEN, 0);
    out
}

/// What the envelope says of a value before its extras.
pub(crate) fn said(meta: &Meta, flags: u8) -> [u8; SAID] {
    let mut said = [0; SAID];
    said[..HEAD_LEN].copy_from_slice(&meta.head.to_bytes());
    said[CODEC] = meta.codec;
    said[FLAGS] = flags;
    said[SCHEMA].copy_from_slice(&meta.schema.to_le_bytes());
    said[16..22].copy_from_slice(&(meta.written_at & U48).to_le_bytes()[..6]);
    said[22..26].copy_from_slice(&meta.soft_ttl.to_le_bytes());
    said[26..30].copy_from_slice(&meta.hard_ttl.to_le_bytes());
    said
}

/// Writes the envelope into the first bytes of `buffer`, whose next `extras` bytes are the extras.
pub(crate) fn seal(buffer: &mut [u8], key: &str, said: &[u8; SAID], extras: u16) {
    buffer[..SAID].copy_from_slice(said);
    buffer[SAID..32].copy_from_slice(&extras.to_le_bytes());
    let sum = checksum(buffer, key);
    buffer[32..40].copy_from_slice(&sum.to_le_bytes());
}

/// What bytes from L2 say.
pub(crate) struct Parsed<'a> {
    pub(crate) meta: Meta,
    /// Of a value that went through layers.
    pub(crate) layered: Option<Steps<'a>>,
    pub(crate) payload: &'a [u8],
}

/// What a layered value says of itself.
pub(crate) struct Steps<'a> {
    pub(crate) said: &'a [u8; SAID],
    pub(crate) extras: &'a [u8],
}

/// Reads bytes from L2.
pub(crate) fn parse<'a>(bytes: &'a [u8], key: &str) -> Result<Parsed<'a>, Unreadable> {
    // The version comes first: a later one may place everything else differently.
    if bytes.first() == Some(&crate::head::MAGIC) && bytes.get(1).is_some_and(|b| b >> 4 != crate::head::VERSION) {
        return Err(Unreadable::Foreign(Origin::Version));
    }
    let Some(fixed) = bytes.first_chunk::<ENVELOPE_LEN>() else { return Err(Unreadable::Garbage) };
    let head = Head::parse(fixed).ok_or(Unreadable::Garbage)?;
    if u64::from_le_bytes(field(fixed, 32)) != checksum(bytes, key) {
        return Err(Unreadable::Garbage);
    }
    let [lo @ .., _, _] = field::<8>(fixed, 16);
    let [a, b, c, d, e, f] = lo;
    let meta = Meta {
        head,
        codec: fixed[CODEC],
        schema: u32::from_le_bytes(field(fixed, 12)),
        written_at: u64::from_le_bytes([a, b, c, d, e, f, 0, 0]),
        soft_ttl: u32::from_le_bytes(field(fixed, 22)),
        hard_ttl: u32::from_le_bytes(field(fixed, 26)),
    };
    let extras = usize::from(u16::from_le_bytes(field(fixed, 30)));
    if !matches!(head.kind, Kind::Value | Kind::Absent) {
        return Err(Unreadable::Garbage);
    }
    let payload = &bytes[ENVELOPE_LEN..];
    if fixed[FLAGS] == 0 && extras == 0 {
        return Ok(Parsed { meta, layered: None, payload });
    }
    let (steps, payload) = steps(fixed, payload, extras)?;
    Ok(Parsed { meta, layered: Some(steps), payload })
}

/// The extras of a layered value, and what is behind them.
#[inline(never)]
fn steps<'a>(
    fixed: &'a [u8; ENVELOPE_LEN],
    rest: &'a [u8],
    extras: usize,
) -> Result<(Steps<'a>, &'a [u8]), Unreadable> {
    // Who sets other flags, or writes something else into the extras, is newer than we are.
    let newer = Unreadable::Foreign(Origin::Version);
    let (extras, payload) = rest.split_at_checked(extras).ok_or(Unreadable::Garbage)?;
    let count = extras.first().copied().filter(|count| *count > 0).ok_or(newer)?;
    if fixed[FLAGS] != LAYERED || extras.len() != 1 + usize::from(count) * STEP {
        return Err(newer);
    }
    let said = fixed.first_chunk().ok_or(Unreadable::Garbage)?;
    Ok((Steps { said, extras }, payload))
}

impl Meta {
    /// What is left of the life at `now` (Unix milliseconds), of a value that is at least so old. Another machine's clock
    /// can shorten it, never lengthen.
    pub(crate) fn left(&self, now: u64, least_age: u64) -> Life {
        let ahead = self.written_at > now.saturating_add(MAX_AHEAD_MS);
        let age = now.saturating_sub(self.written_at).max(least_age);
        let fresh = if ahead { 0 } else { u64::from(self.soft_ttl).saturating_sub(age) };
        Life { fresh, useful: u64::from(self.hard_ttl).saturating_sub(age) }
    }
}

fn field<const N: usize>(bytes: &[u8; ENVELOPE_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn checksum(bytes: &[u8], key: &str) -> u64 {
    let (seed, (head, payload)) = (xxh3_64(key.as_bytes()), (&bytes[..32], &bytes[ENVELOPE_LEN..]));
    // Short input is hashed in one go, which derives no secret from the seed; the sum is the same.
    let mut short = [0; SHORT];
    if let Some(input) = short.get_mut(..head.len() + payload.len()) {
        input[..head.len()].copy_from_slice(head);
        input[head.len()..].copy_from_slice(payload);
        return xxh3_64_with_seed(input, seed);
    }
    let mut hasher = Xxh3::with_seed(seed);
    hasher.update(head);
    hasher.update(payload);
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_whole_whatever_its_length() {
        for length in 0..600 {
            let bytes: Vec<u8> = (0..ENVELOPE_LEN + length).map(|at| (at * 7) as u8).collect();
            let whole = [&bytes[..32], &bytes[ENVELOPE_LEN..]].concat();
            let mut hasher = Xxh3::with_seed(xxh3_64(b"a.key"));
            hasher.update(&whole);
            assert_eq!(checksum(&bytes, "a.key"), hasher.digest(), "{length}");
        }
    }
}
