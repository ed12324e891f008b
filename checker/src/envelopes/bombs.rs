//! Bytes that are made to hurt, and envelopes made by the format's description, without the library.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes before extras and payload.
pub(crate) const ENVELOPE: usize = 40;
/// The longest value that a cache takes.
const LONGEST: usize = 1 << 20;

pub(crate) struct Bombs {
    payloads: Vec<Vec<u8>>,
    /// With the number of the compression.
    compressed: Vec<(u8, Vec<u8>)>,
}

impl Bombs {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let lengths: [&[u8]; 8] = [
            &[0xFF; 10],
            // 2^63, and the largest that 32 bits hold.
            &[0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
            &[0xDD, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0xDF, 0xFF, 0xFF, 0xFF, 0xFF],
            b"\x81\xA4name\xDB\xFF\xFF\xFF\xFF",
            b"\x81\xA4tags\xDD\xFF\xFF\xFF\xFF",
            b"{\"tags\":[1e999999999",
        ];
        let nested: [&[u8]; 6] = [&[0, 0, 0, 1], &[1], b"\x81\xA6parent", &[0x91], b"{\"parent\":", b"["];
        let mut payloads: Vec<Vec<u8>> = lengths.map(<[u8]>::to_vec).to_vec();
        payloads.extend(nested.map(|part| part.repeat(100_000.min(LONGEST / 2 / part.len()))));
        payloads.push(vec![0; LONGEST - 100]);
        payloads.push(vec![0xFF; LONGEST]);
        let mut compressed = Vec::new();
        let zeros = vec![0; 8 * LONGEST];
        for bytes in payloads.iter().chain([&zeros]) {
            compressed.push((1, zstd::bulk::compress(bytes, 1)?));
            compressed.push((2, lz4_flex::block::compress(bytes)));
        }
        compressed.retain(|(_, bytes)| bytes.len() < LONGEST / 2);
        Ok(Self { payloads, compressed })
    }

    /// Leaves the first forty bytes, except for the layers.
    pub(crate) fn put_into(&self, bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
        bytes.truncate(ENVELOPE);
        (bytes[11], bytes[30], bytes[31]) = (0, 0, 0);
        // Of a value: nobody looks into what is absent.
        bytes[1] &= 0xF0;
        if random.bool() {
            bytes.extend(&self.payloads[random.usize(..self.payloads.len())]);
        } else {
            let (id, payload) = &self.compressed[random.usize(..self.compressed.len())];
            bytes.extend(payload);
            let stated = [LONGEST as u32, 100_000, 400_000, 8 << 20, u32::MAX, 10, 11];
            layer(bytes, &[(*id, stated[random.usize(..stated.len())])]);
        }
    }
}

/// Says that the payload went through these layers: with these lengths before them.
pub(crate) fn layer(bytes: &mut Vec<u8>, steps: &[(u8, u32)]) {
    let had = usize::from(u16::from_le_bytes([bytes[30], bytes[31]]));
    let mut extras = vec![steps.len() as u8];
    for (id, length) in steps {
        extras.push(*id);
        extras.extend(length.to_le_bytes());
    }
    (bytes[11], bytes[30], bytes[31]) = (1, extras.len() as u8, 0);
    bytes.splice(ENVELOPE..ENVELOPE + had, extras);
}

/// Makes the checksum fit.
pub(crate) fn sign(bytes: &mut [u8], key: &str) {
    if bytes.len() >= ENVELOPE {
        let covered = [&bytes[..32], &bytes[ENVELOPE..]].concat();
        let sum = xxh3_64_with_seed(&covered, xxh3_64(key.as_bytes()));
        bytes[32..ENVELOPE].copy_from_slice(&sum.to_le_bytes());
    }
}
