//! The ways in which values are written: each codec, and each layer.

use accelerator::{
    Codec, EncryptionKeys, Json, LevelCacheBuilder, LoadError, Lz4, MessagePack, Postcard, RawBytes, Zstd,
};

use crate::envelopes::bytes::Doc;

type Builder = LevelCacheBuilder<u64, Doc>;

pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) build: fn(Builder) -> Builder,
    /// With layers that the reader does not have, or with a key that it does not have.
    pub(crate) other: fn(Builder) -> Builder,
    /// Whether forged values are noticed.
    pub(crate) authentic: bool,
}

fn keys(number: u8) -> EncryptionKeys {
    EncryptionKeys::new(u32::from(number), &secret(number))
}

fn secret(number: u8) -> [u8; 32] {
    std::array::from_fn(|n| number.wrapping_mul(31).wrapping_add(n as u8))
}

macro_rules! setups {
    ($($name:literal $authentic:literal |$b:ident| $build:expr, $other:expr;)*) => {
        pub(crate) const ALL: &[Setup] =
            &[$(Setup { name: $name, build: |$b| $build, other: |$b| $other, authentic: $authentic }),*];
    };
}

setups! {
    "postcard" false |b| b, b.encrypt(keys(1));
    "msgpack" false |b| b.codec(MessagePack), b.codec(MessagePack).encrypt(keys(1));
    "json" false |b| b.codec(Json), b.codec(Json).encrypt(keys(1));
    "bytes" false |b| b.codec(Raw), b.codec(Raw).encrypt(keys(1));
    "postcard or msgpack" false |b| b.also_reads(MessagePack), b.codec(Json);
    "zstd" false |b| b.compress(Zstd.from_bytes(50)), b.encrypt(keys(1));
    "lz4" false |b| b.codec(MessagePack).compress(Lz4.from_bytes(50)), b.codec(MessagePack).encrypt(keys(1));
    "zstd or lz4" false |b| b.codec(Json).compress(Zstd.from_bytes(50)).compress(Lz4.only_reads()), b.codec(Json).encrypt(keys(1));
    "encrypted" true |b| b.encrypt(keys(1)), b;
    "two keys" true |b| b.codec(Json).encrypt(keys(1).also_reads(2, &secret(2))), b.codec(Json).encrypt(keys(3));
    "zstd, encrypted" true |b| b.codec(MessagePack).compress(Zstd.from_bytes(50)).encrypt(keys(1)),
        b.codec(MessagePack).compress(Zstd.from_bytes(50)).encrypt(keys(2));
}

/// Bytes as they are; what they mean is postcard's.
struct Raw;

impl Codec<Doc> for Raw {
    fn id(&self) -> u8 {
        Codec::<Vec<u8>>::id(&RawBytes)
    }

    fn encode(&self, value: &Doc, out: &mut Vec<u8>) -> Result<(), LoadError> {
        let mut bytes = Vec::new();
        Postcard.encode(value, &mut bytes)?;
        RawBytes.encode(&bytes, out)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Doc, LoadError> {
        let bytes: Vec<u8> = RawBytes.decode(bytes)?;
        Postcard.decode(&bytes)
    }
}
