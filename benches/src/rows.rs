//! The rows of the matrix: which there are, in which order, what they are called, and the limit of each.

use std::fmt;

/// L1 stores, by the name that selects them; a new one is one line here and one in `matrix/stores.rs`.
pub const L1: [&str; 4] = ["none", "moka", "mini-moka", "quick-cache"];

/// L2 stores, likewise. Where one needs a server, the variable with its URL.
pub const L2: [(&str, Option<&str>); 4] = [
    ("none", None),
    ("memory", None),
    ("redis", Some("ACCELERATOR_BENCH_REDIS_URL")),
    ("memcached", Some("ACCELERATOR_BENCH_MEMCACHED_URL")),
];

/// The pair whose rows the gate watches.
pub const KEY_PAIR: Pair = Pair { l1: "moka", l2: "none" };

/// Keys of one batch.
pub const BATCH: u64 = 32;

/// An L1 and an L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// A name of [`L1`].
    pub l1: &'static str,
    /// A name of [`L2`].
    pub l2: &'static str,
}

impl Pair {
    /// Every pair but none+none: the key pair first, then by the number of levels that need a server.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut pairs: Vec<_> = L2.iter().flat_map(|(l2, _)| L1.iter().map(move |l1| Self { l1, l2 })).collect();
        pairs.retain(|pair| (pair.l1, pair.l2) != ("none", "none"));
        pairs.sort_by_key(|pair| (*pair != KEY_PAIR, pair.is_remote()));
        pairs
    }

    /// The variable with the URL of the server that it needs, if it needs one.
    #[must_use]
    pub fn server(self) -> Option<&'static str> {
        server_of(self.l2)
    }

    /// Whether it needs a server.
    #[must_use]
    pub fn is_remote(self) -> bool {
        self.server().is_some()
    }

    fn has_both(self) -> bool {
        self.l1 != "none" && self.l2 != "none"
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.l1, self.l2)
    }
}

/// What a row asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Keys that the first level has.
    Hit,
    /// Keys that nobody has.
    Miss,
    /// Keys that only L2 has.
    L2Hit,
}

/// How a row asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By hand, through `dyn Cache`.
    Manual,
    /// By an annotated method, through `dyn Cache`.
    Macro,
    /// `LevelCache::get`, no `dyn`.
    Static,
}

/// A row of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The stores.
    pub pair: Pair,
    /// One key, or [`BATCH`] of them.
    pub batch: bool,
    /// Which keys.
    pub what: What,
    /// How.
    pub via: Via,
}

impl Row {
    /// All rows, in the order in which they run.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Pair::all().into_iter().flat_map(Self::of).collect()
    }

    /// The rows of one pair.
    #[must_use]
    pub fn of(pair: Pair) -> Vec<Self> {
        let mut rows = Vec::new();
        for batch in [false, true] {
            for what in [What::Hit, What::Miss, What::L2Hit] {
                if what != What::L2Hit || pair.has_both() {
                    rows.extend([Via::Manual, Via::Macro].map(|via| Self { pair, batch, what, via }));
                }
                if !batch && what == What::Hit && !pair.is_remote() {
                    rows.push(Self { pair, batch, what, via: Via::Static });
                }
            }
        }
        rows
    }

    /// The group of the row: its pair.
    #[must_use]
    pub fn group(&self) -> String {
        self.pair.to_string()
    }

    /// The row inside its group.
    #[must_use]
    pub fn function(&self) -> String {
        let what = match self.what {
            What::Hit => "hit",
            What::Miss => "miss",
            What::L2Hit => "l2_hit",
        };
        let via = self.via.name();
        if self.batch { format!("batch/{what}/{via}/{BATCH}") } else { format!("single_key/{what}/{via}") }
    }

    /// `<l1>+<l2>/<scenario>`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.group(), self.function())
    }

    /// What it is held against.
    #[must_use]
    pub fn limit(&self) -> Limit {
        let of = match self.what {
            What::Hit if self.pair.l1 != "none" => self.pair.l1,
            What::Miss if self.pair.l2 == "none" => self.pair.l1,
            _ => self.pair.l2,
        };
        // Clients have commands of these names.
        let operation = match (self.what, self.batch, server_of(of)) {
            (What::Miss, false, None) => "insert",
            (What::Miss, true, None) => "insert32",
            (What::Miss, false, Some(_)) => "set",
            (What::Miss, true, Some(_)) => "set32",
            (_, false, _) => "get",
            (_, true, None) => "get32",
            (_, true, Some(_)) => "mget32",
        };
        Limit { of, operation }
    }

    /// The eight rows that the gate watches by default.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.pair == KEY_PAIR && self.via != Via::Static
    }
}

impl Via {
    /// As in ids.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Macro => "macro",
            Self::Static => "static",
        }
    }
}

/// What a part takes alone: of a store, what the cache asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// A store's name, `codec` or `clock`.
    pub of: &'static str,
    /// Of a store `get` or `insert` (read, load and insert), or one of these for [`BATCH`] keys. Of a client `get`, `set`
    /// (read, load and write), `mget32`, `set32`.
    pub operation: &'static str,
}

impl Limit {
    /// `limit/<of>/<operation>`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("limit/{}/{}", self.of, self.operation)
    }
}

/// A row, or a limit by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bench {
    /// In turns with its limit.
    Row(Row),
    /// Alone.
    Limit(Limit),
}

impl Bench {
    /// Everything that can be measured, in the order in which it runs: the rows of each pair, then the limits that
    /// appeared among them for the first time.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for pair in Pair::all() {
            let rows = Row::of(pair);
            all.extend(rows.iter().copied().map(Self::Row));
            let mut limits: Vec<_> = rows.iter().map(Row::limit).collect();
            limits.extend(PARTS.iter().filter(|(with, _)| *with == pair).map(|(_, part)| *part));
            for limit in limits.into_iter().map(Self::Limit) {
                if !all.contains(&limit) {
                    all.push(limit);
                }
            }
        }
        all
    }

    /// As `--list` shows it.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Row(row) => row.id(),
            Self::Limit(limit) => limit.id(),
        }
    }

    /// Whether it needs a server, and the variable with its URL.
    #[must_use]
    pub fn server(&self) -> Option<&'static str> {
        match self {
            Self::Row(row) => row.pair.server(),
            Self::Limit(limit) => server_of(limit.of),
        }
    }
}

fn server_of(store: &str) -> Option<&'static str> {
    L2.iter().find(|(name, _)| *name == store).and_then(|(_, server)| *server)
}

/// Parts that are no stores, and the pair whose rows are the first to use them.
const PARTS: [(Pair, Limit); 3] = [
    (KEY_PAIR, Limit { of: "clock", operation: "read" }),
    (Pair { l1: "none", l2: "memory" }, Limit { of: "codec", operation: "encode" }),
    (Pair { l1: "none", l2: "memory" }, Limit { of: "codec", operation: "decode" }),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_the_key_rows_come_first() {
        let rows = Row::all();
        let ids: Vec<String> = rows.iter().map(Row::id).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(rows.iter().filter(|row| row.is_key()).count(), 8);
        assert!(rows[..9].iter().all(|row| row.pair == KEY_PAIR), "{ids:?}");
    }

    #[test]
    fn what_needs_a_server_comes_last_and_limits_come_behind_their_rows() {
        let all = Bench::all();
        let ids: Vec<String> = all.iter().map(Bench::id).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(ids[0], "moka+none/single_key/hit/manual");
        let remote = all.iter().position(|bench| bench.server().is_some()).unwrap_or(all.len());
        assert!(all[remote..].iter().all(|bench| bench.server().is_some()), "{ids:?}");
        for row in Row::all() {
            let at = |id: &str| ids.iter().position(|other| other == id);
            assert!(at(&row.limit().id()).is_some(), "{} has no limit", row.id());
        }
    }

    #[test]
    fn a_row_is_held_against_the_store_that_answers_it() {
        let limit = |id: &str| Row::all().iter().find(|row| row.id() == id).map(|row| row.limit().id());
        assert_eq!(limit("moka+memory/single_key/hit/macro").as_deref(), Some("limit/moka/get"));
        assert_eq!(limit("moka+none/batch/miss/manual/32").as_deref(), Some("limit/moka/insert32"));
        assert_eq!(limit("moka+memory/batch/miss/manual/32").as_deref(), Some("limit/memory/insert32"));
        assert_eq!(limit("moka+memory/single_key/l2_hit/manual").as_deref(), Some("limit/memory/get"));
        assert_eq!(limit("none+memory/single_key/hit/manual").as_deref(), Some("limit/memory/get"));
    }
}
