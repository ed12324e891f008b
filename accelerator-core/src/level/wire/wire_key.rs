//! Keys as L2 knows them.

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

use crate::level::bounds::{Key, Value};
use crate::level::wire::Wire;

/// A key as L2 knows it.
pub(crate) struct WireKey {
    /// Bound into the checksum.
    pub(crate) full: String,
    /// Sent instead, where the full one is too long for the store.
    short: Option<String>,
}

impl WireKey {
    pub(crate) fn wire(&self) -> &str {
        self.short.as_deref().unwrap_or(&self.full)
    }
}

/// The names of many keys, in one piece of text.
pub(crate) struct WireKeys {
    text: String,
    spans: Vec<Span>,
}

/// A full name ends where its short one begins; the short one is empty where the full one is sent.
struct Span {
    from: usize,
    full: usize,
    short: usize,
}

impl WireKeys {
    /// The name that is bound into the checksum.
    pub(crate) fn full(&self, n: usize) -> &str {
        self.spans.get(n).map_or("", |span| &self.text[span.from..span.full])
    }

    fn wire_of(&self, span: &Span) -> &str {
        if span.short > span.full { &self.text[span.full..span.short] } else { &self.text[span.from..span.full] }
    }

    /// What is sent, for the keys that `wanted` says yes to.
    pub(crate) fn wires(&self, wanted: impl Fn(usize) -> bool) -> Vec<&str> {
        let mut wires = Vec::with_capacity(self.spans.len());
        wires.extend(self.spans.iter().enumerate().filter(|(n, _)| wanted(*n)).map(|(_, span)| self.wire_of(span)));
        wires
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// One of them by itself.
    pub(crate) fn name(&self, n: usize) -> WireKey {
        let span = self.spans.get(n).filter(|span| span.short > span.full);
        WireKey { full: self.full(n).to_owned(), short: span.map(|span| self.wire_of(span).to_owned()) }
    }
}

impl<K: Key, V: Value> Wire<K, V> {
    pub(crate) fn name(&self, key: &K) -> WireKey {
        let mut full = String::with_capacity(self.prefix.len() + 24);
        self.write_name(key, &mut full);
        let short = (full.len() > self.limits.max_key_bytes).then(|| self.hashed(&full));
        WireKey { full, short }
    }

    pub(crate) fn names<'k>(&self, keys: impl ExactSizeIterator<Item = &'k K>) -> WireKeys {
        let mut text = String::with_capacity(keys.len().saturating_mul(self.prefix.len() + 24));
        let (mut spans, mut name) = (Vec::with_capacity(keys.len()), String::with_capacity(self.prefix.len() + 24));
        for key in keys {
            // Apart: a foreign CacheKey that does not leave alone what is there spoils no name but its own.
            name.clear();
            self.write_name(key, &mut name);
            let from = text.len();
            text.push_str(&name);
            let full = text.len();
            if name.len() > self.limits.max_key_bytes {
                text.push_str(&self.hashed(&name));
            }
            spans.push(Span { from, full, short: text.len() });
        }
        WireKeys { text, spans }
    }

    fn write_name(&self, key: &K, text: &mut String) {
        text.push_str(&self.prefix);
        (self.text)(key, text);
    }

    /// As much of the text as fits, and 160 bits of hash.
    fn hashed(&self, full: &str) -> String {
        let hash = format!("~~{:032x}{:08x}", xxh3_128(full.as_bytes()), xxh3_64_with_seed(full.as_bytes(), 1) as u32);
        let keep = self.limits.max_key_bytes.saturating_sub(hash.len());
        // Key texts are ASCII, but a foreign CacheKey may not keep that promise.
        let cut = (0..=keep.min(full.len())).rev().find(|&i| full.is_char_boundary(i)).unwrap_or(0);
        format!("{}{hash}", &full[..cut])
    }
}
