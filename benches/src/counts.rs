//! Counts of a row: what repeats exactly, whatever the machine is doing.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One line of `bench_counts --json`; each number is for one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountRow {
    /// Its id.
    pub row: String,
    /// The L1.
    pub l1: String,
    /// The L2.
    pub l2: String,
    /// `static`, `dyn` or `macro`.
    pub via: String,
    /// Allocations.
    pub allocs: f64,
    /// Bytes allocated.
    pub bytes: f64,
    /// Instructions; `None` without valgrind.
    pub instructions: Option<f64>,
    /// Calls to L2.
    pub round_trips: f64,
    /// Calls to the source; of a storm, all of them.
    pub loads: f64,
    /// Of a storm: allocations of each task beside the task itself.
    pub allocs_per_waiter: Option<f64>,
}

/// What a storm allocates for tables of its own is shared out among those who wait.
pub const SLACK: f64 = 0.05;

/// Instructions may grow by this part.
pub const INSTRUCTIONS: f64 = 0.02;

impl CountRow {
    /// What has grown since `before`, as text, and whether it is a number of instructions.
    #[must_use]
    pub fn grown_since(&self, before: &Self) -> Vec<(String, bool)> {
        let exact = [
            ("allocs", before.allocs, self.allocs, 0.0),
            ("bytes", before.bytes, self.bytes, 0.0),
            ("round_trips", before.round_trips, self.round_trips, 0.0),
            ("loads", before.loads, self.loads, 0.0),
            ("allocs_per_waiter", waiter(before), waiter(self), SLACK),
        ];
        let grown = exact.into_iter().filter(|(_, before, now, slack)| now > &(before + slack));
        let mut out: Vec<_> =
            grown.map(|(what, before, now, _)| (format!("{what} {before} -> {now}"), false)).collect();
        if let (Some(before), Some(now)) = (before.instructions, self.instructions)
            && now > before * (1.0 + INSTRUCTIONS) + 2.0
        {
            out.push((format!("instructions {before:.0} -> {now:.0}"), true));
        }
        out
    }
}

/// A file with the output of `bench_counts --json`.
///
/// # Errors
/// One line that names the file, and the line in it.
pub fn read_counts(path: &Path) -> Result<Vec<CountRow>, String> {
    let shown = format!("--counts {}", path.display());
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    parse_counts(&shown, &text)
}

/// The output of `bench_counts --json`; `source` is what an error names.
///
/// # Errors
/// One line.
pub fn parse_counts(source: &str, text: &str) -> Result<Vec<CountRow>, String> {
    let row = |(i, line)| serde_json::from_str(line).map_err(|error| format!("{source}, line {}: {error}", i + 1));
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(row).collect()
}

fn waiter(row: &CountRow) -> f64 {
    row.allocs_per_waiter.unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(allocs: f64, instructions: Option<f64>) -> CountRow {
        CountRow {
            row: "a".into(),
            l1: "moka".into(),
            l2: "none".into(),
            via: "dyn".into(),
            allocs,
            bytes: 0.0,
            instructions,
            round_trips: 0.0,
            loads: 0.0,
            allocs_per_waiter: None,
        }
    }

    #[test]
    fn one_more_allocation_is_growth_and_less_is_not() {
        assert_eq!(row(1.0, None).grown_since(&row(0.0, None)), [("allocs 0 -> 1".to_owned(), false)]);
        assert_eq!(row(0.0, None).grown_since(&row(1.0, None)), []);
    }

    #[test]
    fn instructions_have_two_percent() {
        let before = row(0.0, Some(1000.0));
        assert_eq!(row(0.0, Some(1019.0)).grown_since(&before), []);
        assert_eq!(row(0.0, Some(1030.0)).grown_since(&before), [("instructions 1000 -> 1030".to_owned(), true)]);
        assert_eq!(row(0.0, None).grown_since(&before), [], "no valgrind, no verdict");
    }
}
