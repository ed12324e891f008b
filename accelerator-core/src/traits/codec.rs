//! Values to bytes and back.

use crate::error::LoadError;
use crate::traits::shape::Shape;

/// Turns values into the bytes that L2 keeps.
///
/// The bytes that [`decode`](Codec::decode) sees come from the network. It must answer an error for anything it did
/// not write, and must not trust a length it reads.
///
/// ```
/// use accelerator_core::{Codec, LoadError};
/// struct LittleEndian;
/// impl Codec<u32> for LittleEndian {
///     fn id(&self) -> u8 { 200 }
///     fn encode(&self, value: &u32, out: &mut Vec<u8>) -> Result<(), LoadError> {
///         out.extend(value.to_le_bytes());
///         Ok(())
///     }
///     fn decode(&self, bytes: &[u8]) -> Result<u32, LoadError> {
///         Ok(u32::from_le_bytes(bytes.try_into()?))
///     }
/// }
/// ```
pub trait Codec<V>: Send + Sync + 'static {
    /// Number of the format, written into each L2 value: 0 to 127 are the library's, 128 to 255 are yours. A value
    /// written under another number is a miss.
    fn id(&self) -> u8;

    /// Appends the encoded value to `out`, leaving what is already there.
    ///
    /// # Errors
    /// Where the value can't be expressed; it is then not stored in L2.
    fn encode(&self, value: &V, out: &mut Vec<u8>) -> Result<(), LoadError>;

    /// Reads a value back; all of `bytes` must be used up.
    ///
    /// # Errors
    /// Where the bytes are not exactly one encoded value.
    fn decode(&self, bytes: &[u8]) -> Result<V, LoadError>;

    /// What is known of the type that this codec reads. `build()` asks once, unless `fingerprint(false)` was called: a
    /// value that was written under another shape is then a miss. The codecs of the library look at what `V` asks for
    /// when it is deserialized. Default: nothing is known.
    fn shape(&self) -> Shape {
        Shape::Unknown
    }
}
