//! What the latest run of the matrix measured, beside Criterion's own files.
//!
//! Each row runs in turns with its limit, so that a machine that becomes slower or faster meanwhile does so for both:
//! the ratio of the two holds where neither time does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::rows::L2;

/// What was measured beside a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// Its limit; of a limit, itself.
    pub limit: String,
    /// Nanoseconds of one operation of the limit, measured in turns with the row, mean.
    pub limit_ns: f64,
}

/// The record of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// The filter that it was given.
    pub filter: String,
    /// What the filter selected; what is not in `rows` was never reached.
    pub selected: Vec<String>,
    /// By id.
    pub rows: BTreeMap<String, Beside>,
}

/// A row of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Nanoseconds of one operation, mean.
    pub mean_ns: f64,
    /// Nanoseconds of one operation, median.
    pub median_ns: f64,
    /// Its limit.
    pub limit: String,
    /// The mean as a multiple of the limit's.
    pub ratio: f64,
}

/// The folder that Criterion writes to, if nobody says otherwise. A relative one is seen from the root of the workspace,
/// not from here: cargo runs benchmarks in the folder of their crate.
#[must_use]
pub fn criterion_dir() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let home = std::env::var_os("CRITERION_HOME").map(PathBuf::from);
    let target = || std::env::var_os("CARGO_TARGET_DIR").map(|dir| PathBuf::from(dir).join("criterion"));
    root.join(home.or_else(target).unwrap_or_else(|| "target/criterion".into()))
}

impl Run {
    /// Where the record of a run lies.
    #[must_use]
    pub fn path(criterion: &Path) -> PathBuf {
        criterion.join("cache_path_bench.run.json")
    }

    /// The latest run.
    ///
    /// # Errors
    /// One line that names the file and the way to make it.
    pub fn read(criterion: &Path) -> Result<Self, String> {
        let path = Self::path(criterion);
        let text = fs::read_to_string(&path).map_err(|error| {
            format!("no benchmark run at {}: {error}; run `cargo bench --bench cache_path_bench` first", path.display())
        })?;
        serde_json::from_str(&text).map_err(|error| format!("{} is not a run: {error}", path.display()))
    }

    /// The rows of this run, and nothing that older runs left in the folder. A row that was not reached, or of which
    /// Criterion's own file is gone, is not among them.
    #[must_use]
    pub fn measured(&self, criterion: &Path) -> BTreeMap<String, Measured> {
        let row = |(id, beside): (&String, &Beside)| {
            let Estimates { mean_ns, median_ns } = Estimates::read(criterion, id)?;
            let (limit, ratio) = (beside.limit.clone(), mean_ns / beside.limit_ns);
            Some((id.clone(), Measured { mean_ns, median_ns, limit, ratio }))
        };
        self.rows.iter().filter_map(row).collect()
    }

    /// The L2 stores of its rows that need a server.
    pub fn servers(&self) -> impl Iterator<Item = &'static str> {
        let is_there = |name: &str| self.selected.iter().any(|id| id.contains(&format!("+{name}/")));
        L2.iter().filter(|(_, variable)| variable.is_some()).map(|(name, _)| *name).filter(move |name| is_there(name))
    }

    /// What was measured, to be read.
    #[must_use]
    pub fn table(&self, criterion: &Path) -> String {
        let measured = self.measured(criterion);
        let mut out = format!("\n{:<46}{:>14}{:>11}  {}\n", "row", "ns", "x limit", "limit");
        for id in &self.selected {
            match measured.get(id) {
                Some(Measured { mean_ns, limit, ratio, .. }) if limit != id => {
                    out.push_str(&format!("{id:<46}{mean_ns:>14.1}{ratio:>11.2}  {limit}\n"));
                }
                Some(Measured { mean_ns, .. }) => out.push_str(&format!("{id:<46}{mean_ns:>14.1}\n")),
                None => out.push_str(&format!("{id:<46}{:>14}\n", "not measured")),
            }
        }
        out
    }

    /// Replaces what is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, criterion: &Path) -> io::Result<()> {
        fs::create_dir_all(criterion)?;
        fs::write(Self::path(criterion), serde_json::to_vec_pretty(self)?)
    }
}

/// Criterion's own figures of a row.
struct Estimates {
    mean_ns: f64,
    median_ns: f64,
}

impl Estimates {
    fn read(criterion: &Path, id: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Point {
            point_estimate: f64,
        }
        #[derive(Deserialize)]
        struct File {
            mean: Point,
            median: Point,
        }
        // The first part is the group; Criterion flattens the rest into one name.
        let (group, function) = id.split_once('/').unwrap_or((id, ""));
        let path = criterion.join(group).join(function.replace('/', "_")).join("new/estimates.json");
        let file: File = serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
        Some(Self { mean_ns: file.mean.point_estimate, median_ns: file.median.point_estimate })
    }
}
