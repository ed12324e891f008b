//! Keys made of other keys.
//!
//! A `.` separates parts unless a `~` stands before it. A part is therefore written with a `~` before each `.` of its
//! own, and never ends in `~`. The same text can nest again: each level adds one `~`.

use std::borrow::Cow;

use super::CacheKey;

/// Appends one part of a composite key, `at` being its position.
fn encode_part<K: CacheKey>(at: usize, key: &K, out: &mut String) {
    if at > 0 {
        out.push('.');
    }
    let start = out.len();
    key.encode(out);
    // No tail at `start` means that a foreign `encode` took back text it doesn't own; there is nothing to mend then.
    let Some(part) = out.get(start..) else { return };
    let guarded = needs_guard(part);
    // Only a nested composite gets here with a `.`, so flat keys are written without a temporary.
    if part.contains('.') {
        let nested = part.replace('.', "~.");
        out.truncate(start);
        out.push_str(&nested);
    }
    if guarded {
        out.push('-');
    }
}

/// Whether `part` ends in `~`, which would hide the separator behind it, or looks like such a part with its guard.
///
/// A guard is a `-`, and those already there count as guards, so that taking one away always gives the text back. Only
/// implementations from outside can write such a text; none of the library's does.
fn needs_guard(part: &str) -> bool {
    part.trim_end_matches('-').ends_with('~')
}

/// Reads the parts of a composite text one by one.
struct Parts<'a> {
    /// What has not been read; `None` after the last part.
    rest: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }

    fn next_raw(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let separator = rest.match_indices('.').map(|(at, _)| at).find(|&at| !rest[..at].ends_with('~'));
        match separator {
            Some(at) => {
                self.rest = Some(&rest[at + 1..]);
                Some(&rest[..at])
            }
            None => self.rest.take(),
        }
    }

    /// The next part as a key; `None` if there is none or it isn't one.
    fn decode<K: CacheKey>(&mut self) -> Option<K> {
        let mut part = self.next_raw()?;
        if needs_guard(part) {
            part = part.strip_suffix('-')?;
        }
        // Each `.` that is left has a `~` before it, or it would have been a separator.
        let part = if part.contains('.') { Cow::Owned(part.replace("~.", ".")) } else { Cow::Borrowed(part) };
        K::decode(&part)
    }

    fn is_empty(&self) -> bool {
        self.rest.is_none()
    }
}

macro_rules! tuple {
    ($($K:ident $at:tt)+) => {
        impl<$($K: CacheKey),+> CacheKey for ($($K,)+) {
            fn encode(&self, out: &mut String) {
                $(encode_part($at, &self.$at, out);)+
            }

            fn decode(text: &str) -> Option<Self> {
                let mut parts = Parts::new(text);
                let key = ($(parts.decode::<$K>()?,)+);
                parts.is_empty().then_some(key)
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0 B 1);
tuple!(A 0 B 1 C 2);
tuple!(A 0 B 1 C 2 D 3);
tuple!(A 0 B 1 C 2 D 3 E 4);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 L 10);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 L 10 M 11);

/// An array without elements is the empty text, as is an array of one empty part; their types differ.
impl<K: CacheKey, const N: usize> CacheKey for [K; N] {
    fn encode(&self, out: &mut String) {
        for (at, key) in self.iter().enumerate() {
            encode_part(at, key, out);
        }
    }

    fn decode(text: &str) -> Option<Self> {
        // An empty text is no parts here, and one part everywhere else.
        let mut parts = if N == 0 && text.is_empty() { Parts { rest: None } } else { Parts::new(text) };
        let keys = (0..N).map(|_| parts.decode()).collect::<Option<Vec<K>>>()?;
        if parts.is_empty() { keys.try_into().ok() } else { None }
    }
}

/// `None` is `~n`, `Some` is the text of its key; `~n` inside of `Some` becomes `~nn`, `~nn` becomes `~nnn`, and so on.
impl<K: CacheKey> CacheKey for Option<K> {
    fn encode(&self, out: &mut String) {
        let Some(key) = self else {
            out.push_str("~n");
            return;
        };
        let start = out.len();
        key.encode(out);
        if out.get(start..).is_some_and(looks_like_none) {
            out.push('n');
        }
    }

    fn decode(text: &str) -> Option<Self> {
        if text == "~n" {
            return Some(None);
        }
        let inner = if looks_like_none(text) { text.strip_suffix('n')? } else { text };
        K::decode(inner).map(Some)
    }
}

/// Whether `text` is that of `None`, however many `Some` are around it.
fn looks_like_none(text: &str) -> bool {
    text.strip_prefix("~n").is_some_and(|more| more.bytes().all(|byte| byte == b'n'))
}
