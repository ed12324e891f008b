//! The rows of the database: a version, and bytes that follow from it.

use serde::{Deserialize, Serialize};

/// The key of a row.
pub(crate) type Id = u32;

/// One version in so many says that there is no row, so that "known absent" is read and invalidated too.
const ABSENT_EVERY: u64 = 8;
const LONGEST: usize = 8192;
const FILLER: &str = match str::from_utf8(&[b'.'; LONGEST]) {
    Ok(filler) => filler,
    Err(_) => "",
};

/// What the database says of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    id: Id,
    version: u64,
    filler: String,
}

impl Row {
    /// The row of this version, unless it is one without.
    pub(crate) fn of(id: Id, version: u64) -> Option<Self> {
        let filler = FILLER[..filler_len(id, version)].to_owned();
        (!is_absent(version)).then_some(Self { id, version, filler })
    }
}

/// What a read showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    /// The row of this version.
    Version(u64),
    /// That there is none.
    Absent,
    /// A row that the database never had under this key.
    Wrong,
}

impl Seen {
    pub(crate) fn of(id: Id, answer: Option<&Row>) -> Self {
        match answer {
            None => Self::Absent,
            Some(row) if row.id == id && !is_absent(row.version) => {
                let right = row.filler == FILLER[..filler_len(id, row.version)];
                if right { Self::Version(row.version) } else { Self::Wrong }
            }
            Some(_) => Self::Wrong,
        }
    }

    /// Whether a database that is at `now` may have said so at or after version `floor`.
    pub(crate) fn may_be(self, floor: u64, now: u64) -> bool {
        match self {
            Self::Version(version) => (floor..=now).contains(&version),
            Self::Absent => {
                let next = floor + (ABSENT_EVERY - 1 - floor % ABSENT_EVERY);
                next <= now
            }
            Self::Wrong => false,
        }
    }
}

fn is_absent(version: u64) -> bool {
    version % ABSENT_EVERY == ABSENT_EVERY - 1
}

/// Mostly a hundred bytes, now and then more than one packet takes.
fn filler_len(id: Id, version: u64) -> usize {
    let mixed = (version ^ u64::from(id) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    if mixed.is_multiple_of(64) { mixed as usize % LONGEST } else { mixed as usize % 200 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_told_from_older_foreign_and_damaged_ones() {
        let row = Row::of(3, 12).expect("a version with a row");
        let seen = Seen::of(3, Some(&row));
        assert_eq!(seen, Seen::Version(12));
        assert!(seen.may_be(12, 12) && seen.may_be(5, 20));
        assert!(!seen.may_be(13, 20) && !seen.may_be(5, 11));
        assert_eq!(Seen::of(4, Some(&row)), Seen::Wrong);
        let damaged = Row { filler: format!("{}x", row.filler), ..row };
        assert_eq!(Seen::of(3, Some(&damaged)), Seen::Wrong);
        assert!(!Seen::Wrong.may_be(0, 100));
    }

    #[test]
    fn absent_is_right_only_where_a_version_without_row_is_possible() {
        assert_eq!(Row::of(3, 7), None);
        assert!(Seen::Absent.may_be(7, 7) && Seen::Absent.may_be(0, 7) && Seen::Absent.may_be(8, 15));
        assert!(!Seen::Absent.may_be(0, 6) && !Seen::Absent.may_be(8, 14));
        let claimed = Row { id: 3, version: 7, filler: String::new() };
        assert_eq!(Seen::of(3, Some(&claimed)), Seen::Wrong);
    }
}
