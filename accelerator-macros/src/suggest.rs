//! "Did you mean".

/// The name that was probably meant: few edits away, and not another word altogether.
pub(crate) fn closest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (edits, name) = names.into_iter().map(|name| (edits(given, name), name)).min()?;
    (edits <= 1 + name.len() / 3).then_some(name)
}

/// Insertions, removals and replacements from one word to the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let cost = (diagonal + usize::from(a != b)).min(*above + 1).min(left + 1);
            (diagonal, left, *above) = (*above, cost, cost);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{closest, edits};

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("key", "key"), 0);
        assert_eq!(edits("kye", "key"), 2);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
    }

    #[test]
    fn only_what_is_close_is_suggested() {
        let names = ["cache", "key", "allow_stale"];
        assert_eq!(closest("cahce", names), Some("cache"));
        assert_eq!(closest("kye", names), Some("key"));
        assert_eq!(closest("alow_stales", names), Some("allow_stale"));
        assert_eq!(closest("timeout", names), None);
        assert_eq!(closest("x", []), None);
    }
}
