//! The shape of a type: what it asks for when it is deserialized.
//!
//! 1. `V::deserialize` is called with a [`Tracer`], which writes down each request and answers it with a made-up value.
//! 2. One run can't see everything: it takes one variant of an enum, and ends where made-up text is refused. So there
//!    are more runs, until nothing new comes.
//! 3. What was written down is put into one text, and that is hashed.
//! 4. Each run that ends well has made a `V`: its trial (`trial.rs`) shows whether the codec reads back what it writes.
//!
//! Only names and kinds that serde is told are in the text: it is the same in each build and on each machine. Where a
//! type lives, and what its fields contain, is not.

mod describe;
mod notes;
mod tracer;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use crate::codecs::trial::{Lost, comes_back};
use crate::traits::codec::Codec;
use crate::traits::shape::Shape;

use notes::Notes;
use tracer::Tracer;

/// How a codec finds its way in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// By position: the bytes mean nothing without the type.
    #[cfg(feature = "postcard")]
    Positions,
    /// By name; `text`: for people to read.
    #[cfg(any(feature = "json", feature = "msgpack"))]
    Names { text: bool },
}

impl Format {
    pub(crate) fn describes_itself(self) -> bool {
        match self {
            #[cfg(feature = "postcard")]
            Self::Positions => false,
            #[cfg(any(feature = "json", feature = "msgpack"))]
            Self::Names { .. } => true,
        }
    }

    pub(crate) fn is_text(self) -> bool {
        match self {
            #[cfg(feature = "postcard")]
            Self::Positions => false,
            #[cfg(any(feature = "json", feature = "msgpack"))]
            Self::Names { text } => text,
        }
    }
}

/// Runs over one type, at most. Each of them learns something new; an enum of 500 variants needs 500.
const RUNS: usize = 4_000;

/// The shape of `V` for the codec, which is called `name`.
pub(crate) fn of<V: DeserializeOwned>(codec: &impl Codec<V>, name: &'static str, format: Format) -> Shape {
    let (notes, lost) = trace(codec, format);
    if let (Some(place), false) = (&notes.undescribed, format.describes_itself()) {
        let why = format!(
            "V holds a type that must describe itself (serde_json::Value, untagged, tag, flatten, ...) at {place}; \
             {name} can't read that back: use codec(MessagePack) or codec(Json)"
        );
        return Shape::unreadable(name, why);
    }
    if let Some(lost) = lost {
        let fix = if format.describes_itself() { "mend it" } else { "mend it, or use codec(MessagePack)" };
        return Shape::unreadable(name, format!("V does not come back: {}; {fix}", lost.cause()));
    }
    let text = if format.describes_itself() { notes.outline() } else { notes.describe() };
    Shape::Known(xxh3_64(text.as_bytes()))
}

fn trace<V: DeserializeOwned>(codec: &impl Codec<V>, format: Format) -> (Notes, Option<Lost>) {
    let (mut notes, mut lost) = (Notes::new(format), None);
    for _ in 0..RUNS {
        notes.begin_run();
        let run = || {
            let value = notes.slot(Notes::ROOT, 0, |notes| V::deserialize(Tracer(notes)))?;
            let mut written = Vec::new();
            // What can't be encoded is no lie: it is an error where it happens.
            Ok::<_, notes::Stop>(match codec.encode(&value, &mut written) {
                Ok(()) => comes_back(codec, &written).err(),
                Err(_) => None,
            })
        };
        // A panic of the type's own code on made-up values says nothing.
        let found = catch_unwind(AssertUnwindSafe(run)).ok().and_then(Result::ok).flatten();
        lost = lost.or(found);
        if !notes.goes_on() {
            break;
        }
    }
    (notes, lost)
}

#[cfg(test)]
mod tests;
