//! The gate: a run against the baseline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::Regex;

use crate::baseline::{Baseline, Benchmark};
use crate::counts::CountRow;
use crate::run::{Measured, Run};
use crate::select::pattern;

/// What a line of the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Compared, and fine.
    Check,
    /// To be looked at.
    Warn,
    /// A regression, or a row that is missing.
    Fail,
}

/// One line of the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it means.
    pub level: Level,
    /// The row.
    pub id: String,
    /// What to read.
    pub text: String,
    /// Whether measuring again could change it.
    pub timed: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Check => "[CHECK]",
            Level::Warn => "[WARN] ",
            Level::Fail => "[FAIL] ",
        };
        write!(f, "{level} {}: {}", self.id, self.text)
    }
}

/// How to compare times.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Growth that is a regression: 0.15 is 15 %.
    pub threshold: f64,
    /// Nanoseconds as they stand, instead of multiples of the limit.
    pub absolute: bool,
}

fn verdict(level: Level, id: &str, text: String, timed: bool) -> Verdict {
    Verdict { level, id: id.to_owned(), text, timed }
}

/// What the run selected. Rows of pairs that it did not select are nobody's business.
pub struct Selected {
    parts: BTreeSet<String>,
    filter: Regex,
}

impl Selected {
    /// By the record of the run.
    ///
    /// # Errors
    /// One line, if its filter can't be read.
    pub fn by(run: &Run) -> Result<Self, String> {
        let parts = run.selected.iter().map(|id| part(id).to_owned()).collect();
        Ok(Self { parts, filter: pattern(&run.filter)? })
    }

    fn has(&self, id: &str) -> bool {
        self.parts.contains(part(id)) && self.filter.is_match(id)
    }
}

/// The pair of a row, the store of a limit.
fn part(id: &str) -> &str {
    let ends = if id.starts_with("limit/") { 2 } else { 1 };
    id.match_indices('/').nth(ends - 1).map_or(id, |(end, _)| &id[..end])
}

/// `Fail` where a row is slower by more than the threshold, or missing.
#[must_use]
pub fn times(
    baseline: &Baseline,
    selected: &[String],
    measured: &BTreeMap<String, Measured>,
    how: How,
) -> Vec<Verdict> {
    let one = |id: &String| match (baseline.benchmarks.get(id), measured.get(id)) {
        (_, None) => verdict(Level::Fail, id, "was selected and is missing from the run".into(), true),
        (None, Some(_)) => verdict(Level::Warn, id, "is not in the baseline".into(), false),
        (Some(before), Some(now)) => time(id, before, now, how),
    };
    selected.iter().map(one).collect()
}

/// `Fail` for each row that the baseline has, the run should have had, and the benchmark doesn't know any more.
#[must_use]
pub fn lost<'a>(
    before: impl Iterator<Item = &'a String>,
    now: &BTreeSet<&String>,
    selected: &Selected,
) -> Vec<Verdict> {
    let lost = before.filter(|id| selected.has(id) && !now.contains(id));
    lost.map(|id| verdict(Level::Fail, id, "is in the baseline and not in the run".into(), false)).collect()
}

fn time(id: &str, before: &Benchmark, now: &Measured, how: How) -> Verdict {
    let (of_ratio, of_time) = (growth(before.ratio_to_limit, now.ratio), growth(before.mean_ns, now.mean_ns));
    let growth = if how.absolute { of_time } else { of_ratio };
    let text = format!(
        "{:.3} x {} (baseline {:.3}, {:+.1} %), {:.1} ns (baseline {:.1}, {:+.1} %)",
        now.ratio,
        now.limit,
        before.ratio_to_limit,
        of_ratio * 100.0,
        now.mean_ns,
        before.mean_ns,
        of_time * 100.0,
    );
    // What is no number is no pass.
    let level = match growth {
        growth if growth < -how.threshold => Level::Warn,
        growth if growth <= how.threshold => Level::Check,
        _ => Level::Fail,
    };
    let text = if level == Level::Warn { format!("{text}: faster; a new baseline would keep it") } else { text };
    verdict(level, id, text, true)
}

fn growth(before: f64, now: f64) -> f64 {
    now / before - 1.0
}

/// Counts, which need no threshold. Instructions of another compiler only warn.
#[must_use]
pub fn counts(before: &[CountRow], now: &[CountRow], selected: &Selected, same_rustc: bool) -> Vec<Verdict> {
    let mut out = Vec::new();
    for row in now.iter().filter(|row| selected.has(&row.row)) {
        let Some(old) = before.iter().find(|old| old.row == row.row) else {
            out.push(verdict(Level::Warn, &row.row, "has no counts in the baseline".into(), false));
            continue;
        };
        for (text, instructions) in row.grown_since(old) {
            let level = if instructions && !same_rustc { Level::Warn } else { Level::Fail };
            out.push(verdict(level, &row.row, text, false));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: How = How { threshold: 0.15, absolute: false };

    fn baseline() -> Baseline {
        let benchmark = Benchmark { mean_ns: 100.0, median_ns: 100.0, ratio_to_limit: 2.0 };
        let benchmarks = [("a/x".to_owned(), benchmark)].into();
        Baseline { version: 1, benchmarks, counts: Vec::new(), rustc: String::new() }
    }

    fn run(mean_ns: f64, limit_ns: f64) -> BTreeMap<String, Measured> {
        let (limit, ratio) = ("limit/a/get".to_owned(), mean_ns / limit_ns);
        [("a/x".to_owned(), Measured { mean_ns, median_ns: mean_ns, limit, ratio })].into()
    }

    fn levels(measured: &BTreeMap<String, Measured>, how: How) -> Vec<Level> {
        times(&baseline(), &["a/x".to_owned()], measured, how).iter().map(|verdict| verdict.level).collect()
    }

    #[test]
    fn a_slower_machine_is_no_regression() {
        assert_eq!(levels(&run(300.0, 150.0), HOW), [Level::Check]);
        assert_eq!(levels(&run(300.0, 150.0), How { absolute: true, ..HOW }), [Level::Fail]);
    }

    #[test]
    fn beyond_the_threshold_is_a_regression_and_at_it_is_none() {
        assert_eq!(levels(&run(114.9, 50.0), HOW), [Level::Check]);
        assert_eq!(levels(&run(115.2, 50.0), HOW), [Level::Fail]);
        assert_eq!(levels(&run(50.0, 50.0), HOW), [Level::Warn], "much faster");
        assert_eq!(levels(&run(f64::NAN, 50.0), HOW), [Level::Fail], "no number is no pass");
    }

    #[test]
    fn a_selected_row_that_is_missing_fails() {
        assert_eq!(levels(&BTreeMap::new(), HOW), [Level::Fail]);
    }

    #[test]
    fn a_row_that_is_gone_fails_where_its_pair_was_selected() {
        let lost = |selected: &[&str], filter: &str| {
            let selected: Vec<_> = selected.iter().map(|id| (*id).to_owned()).collect();
            let run = Run { filter: filter.to_owned(), selected, ..Run::default() };
            let by = Selected::by(&run).expect("a good filter");
            super::lost(baseline().benchmarks.keys(), &run.selected.iter().collect(), &by).len()
        };
        assert_eq!(lost(&["a/y"], ""), 1);
        assert_eq!(lost(&["a/x", "a/y"], ""), 0);
        assert_eq!(lost(&["a/y"], "y$"), 0, "it was filtered out");
        assert_eq!(lost(&["b/x"], ""), 0, "another pair");
    }

    #[test]
    fn limits_of_a_server_that_is_left_out_are_not_missing() {
        assert_eq!((part("limit/moka/get"), part("moka+none/single_key/hit/macro")), ("limit/moka", "moka+none"));
    }

    #[test]
    fn a_new_row_is_a_warning() {
        let mut new = run(1.0, 1.0);
        new.insert("a/new".into(), new["a/x"].clone());
        assert_eq!(times(&baseline(), &["a/new".to_owned()], &new, HOW)[0].level, Level::Warn);
    }
}
