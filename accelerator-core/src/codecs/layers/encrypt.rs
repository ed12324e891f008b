//! Encryption: what L2 has, nobody reads or changes without the key.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::LoadError;
use crate::traits::layer::{Layer, LayerContext, LayerError};

/// Before what is encrypted: the key's number and the nonce. Behind it: the tag.
const NUMBER: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;

/// The keys of encryption: [`encrypt`](crate::LevelCacheBuilder::encrypt) of the builder. The first one writes, all of them read.
///
/// Values are encrypted by XChaCha20-Poly1305, with a nonce of the operating system's random numbers for each write. They
/// are bound to their key in the cache, area, codec, schema, layers, time of writing and life: whoever can write to L2
/// can neither read nor change them, nor put one under another key, nor prolong its life. They can remove a value, and put
/// an old one back under its own key until its life is over. What is not hidden: the text of the keys, and how long each value is
/// (where it is compressed first, that tells something of its contents: don't compress what holds both a secret and text
/// that an attacker chooses).
///
/// The memory of the keys is wiped when the last cache that has them is gone. They are in no `Debug`.
///
/// ```
/// # use accelerator_core::{EncryptionKeys, LevelCache, testkit::MemoryL2};
/// # use std::time::Duration;
/// # fn main() -> Result<(), accelerator_core::CacheError> {
/// # let (new, old) = ([7; 32].map(|b: u8| b), [8; 32]);
/// # let (new, old) = ({ let mut k: [u8; 32] = new; k[0] = 1; k }, { let mut k: [u8; 32] = old; k[0] = 1; k });
/// // 32 random bytes each, from where you keep secrets.
/// let keys = EncryptionKeys::new(2, &new).also_reads(1, &old);
/// let notes = LevelCache::<u64, String>::builder()
///     .area("note")
///     .l2(MemoryL2::new())
///     .encrypt(keys)
///     .ttl(Duration::from_secs(60))
///     .build()?;
/// # drop(notes); Ok(()) }
/// ```
#[derive(Clone)]
pub struct EncryptionKeys(Vec<NumberedKey>);

#[derive(Clone)]
struct NumberedKey {
    number: u32,
    /// In one place, which is wiped.
    key: Arc<Zeroizing<[u8; 32]>>,
}

impl EncryptionKeys {
    /// The key that writes, with a number of your choice that each value names: another key must never get the same one.
    #[must_use]
    pub fn new(number: u32, key: &[u8; 32]) -> Self {
        Self(Vec::new()).also_reads(number, key)
    }

    /// One more key that reads: the one before, until the values that it has written are over; or the next one, before
    /// the first node writes with it.
    #[must_use]
    pub fn also_reads(mut self, number: u32, key: &[u8; 32]) -> Self {
        let mut kept = Arc::new(Zeroizing::new([0; 32]));
        if let Some(place) = Arc::get_mut(&mut kept) {
            place.copy_from_slice(key);
        }
        self.0.push(NumberedKey { number, key: kept });
        self
    }

    fn find(&self, number: [u8; NUMBER]) -> Option<&NumberedKey> {
        self.0.iter().find(|one| one.number.to_le_bytes() == number)
    }

    /// What is wrong with them, for whoever has given them.
    pub(crate) fn fault(&self) -> Option<(u32, &'static str)> {
        let same = |key: &[u8; 32]| key.iter().all(|byte| *byte == key[0]);
        self.0.iter().enumerate().find_map(|(at, one)| {
            if same(&one.key) {
                return Some((one.number, "takes 32 random bytes; these are all the same"));
            }
            let again = self.0[..at].iter().any(|other| other.number == one.number);
            again.then_some((one.number, "has two keys; each takes a number of its own"))
        })
    }
}

/// The numbers alone.
impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u32> = self.0.iter().map(|one| one.number).collect();
        f.debug_struct("EncryptionKeys").field("numbers", &numbers).finish_non_exhaustive()
    }
}

impl NumberedKey {
    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&**self.key).into())
    }
}

/// What a value is bound to. No envelope is the beginning of another one, so nothing can move from one part to the other.
fn associated_data(cx: &LayerContext<'_>) -> Vec<u8> {
    [cx.envelope(), cx.key().as_bytes()].concat()
}

impl Layer for EncryptionKeys {
    fn id(&self) -> u8 {
        3
    }

    fn apply(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Option<Vec<u8>>, LoadError> {
        let first = self.0.first().ok_or("no key")?;
        let mut nonce = XNonce::default();
        getrandom::fill(&mut nonce)?;
        let mut out = Vec::with_capacity(NUMBER + NONCE + bytes.len() + TAG);
        out.extend_from_slice(&first.number.to_le_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(bytes);
        let text = InOutBuf::from(&mut out[NUMBER + NONCE..]);
        let tag = first.cipher().encrypt_inout_detached(&nonce, &associated_data(cx), text);
        out.extend_from_slice(&tag.map_err(|_| "the value is too long to be encrypted")?);
        Ok(Some(out))
    }

    fn undo(&self, bytes: &[u8], cx: &LayerContext<'_>) -> Result<Vec<u8>, LayerError> {
        let damaged = LayerError::Damaged;
        let (number, rest) = bytes.split_first_chunk::<NUMBER>().ok_or(damaged)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE>().ok_or(damaged)?;
        let (text, tag) = rest.split_last_chunk::<TAG>().ok_or(damaged)?;
        if text.len() != cx.length() {
            return Err(damaged);
        }
        let of = self.find(*number).ok_or(LayerError::UnknownKey)?;
        let mut out = text.to_vec();
        let (nonce, tag): (&XNonce, &Tag) = (nonce.into(), tag.into());
        let buffer = InOutBuf::from(&mut out[..]);
        of.cipher().decrypt_inout_detached(nonce, &associated_data(cx), buffer, tag).map_err(|_| damaged)?;
        Ok(out)
    }

    fn has_key_of(&self, bytes: &[u8]) -> bool {
        // What is too short for a number is damaged.
        bytes.first_chunk().is_none_or(|number| self.find(*number).is_some())
    }
}
