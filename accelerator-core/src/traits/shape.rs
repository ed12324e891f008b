//! What a codec knows of the type that it reads.

/// What a codec knows of the type that it reads back: [`Codec::shape`](crate::Codec::shape).
///
/// ```
/// use accelerator_core::{Codec, Shape};
/// # #[cfg(feature = "postcard")] {
/// use accelerator_core::Postcard;
/// let shape = Codec::<(u32, String)>::shape(&Postcard);
/// assert!(matches!(shape, Shape::Known(_)));
/// assert_ne!(shape, Codec::<(i32, String)>::shape(&Postcard));
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// Nothing. The schema of its values is `schema_version` alone.
    #[default]
    Unknown,
    /// A hash of all that decides what the bytes mean. A value that was written under another one is a miss. It must
    /// be the same in every build and on every machine.
    Known(u64),
    /// The codec can't read back what it writes of this type: `build()` refuses it.
    #[non_exhaustive]
    Unreadable {
        /// What the codec is called.
        codec: &'static str,
        /// What is wrong, and what to do about it. It names types and fields, never values.
        why: String,
    },
}

impl Shape {
    /// The codec can't read this type back, and why: a sentence for the person who builds the cache.
    pub fn unreadable(codec: &'static str, why: impl Into<String>) -> Self {
        Self::Unreadable { codec, why: why.into() }
    }
}
