//! The gate: a run against the baseline.

use std::fmt;

use crate::baseline::{Baseline, Benchmark};
use crate::counts::CountRow;
use crate::run::{Measured, Run};

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

/// The rows that the run selected. `Fail` where one is slower by more than the threshold, or missing.
#[must_use]
pub fn times(baseline: &Baseline, run: &Run, how: How) -> Vec<Verdict> {
    let mut out = Vec::new();
    for id in &run.selected {
        out.push(match (baseline.benchmarks.get(id), run.rows.get(id)) {
            (_, None) => verdict(Level::Fail, id, "was selected and is missing from the run".into(), true),
            (None, Some(_)) => verdict(Level::Warn, id, "is not in the baseline".into(), false),
            (Some(before), Some(now)) => time(id, before, now, how),
        });
    }
    out
}

fn time(id: &str, before: &Benchmark, now: &Measured, how: How) -> Verdict {
    let ratio = now.row_ns / now.limit_ns;
    let (of_ratio, of_time) = (growth(before.ratio_to_limit, ratio), growth(before.mean_ns, now.row_ns));
    let growth = if how.absolute { of_time } else { of_ratio };
    let text = format!(
        "{ratio:.3} x {} (baseline {:.3}, {:+.1} %), {:.1} ns (baseline {:.1}, {:+.1} %)",
        now.limit,
        before.ratio_to_limit,
        of_ratio * 100.0,
        now.row_ns,
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
pub fn counts(before: &[CountRow], now: &[CountRow], same_rustc: bool) -> Vec<Verdict> {
    let mut out = Vec::new();
    for row in now {
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

    fn run(row_ns: f64, limit_ns: f64) -> Run {
        let measured = Measured { limit: "limit/a/get".into(), row_ns, limit_ns };
        Run { selected: vec!["a/x".into()], rows: [("a/x".to_owned(), measured)].into() }
    }

    fn levels(run: &Run, how: How) -> Vec<Level> {
        times(&baseline(), run, how).iter().map(|verdict| verdict.level).collect()
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
    fn a_selected_row_that_is_missing_fails_and_one_that_was_not_selected_does_not() {
        let mut half = run(100.0, 50.0);
        half.selected.push("a/y".into());
        assert_eq!(levels(&half, HOW), [Level::Check, Level::Fail]);
        assert_eq!(levels(&Run::default(), HOW), []);
    }

    #[test]
    fn a_new_row_is_a_warning() {
        let mut new = run(1.0, 1.0);
        let measured = new.rows["a/x"].clone();
        new.selected.push("a/new".into());
        new.rows.insert("a/new".into(), measured);
        assert_eq!(levels(&new, HOW)[1], Level::Warn);
    }
}
