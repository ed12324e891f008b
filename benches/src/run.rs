//! What the latest run of the matrix measured, beside Criterion's own files.
//!
//! Each row runs in turns with its limit, so that a machine that becomes slower or faster meanwhile does so for both:
//! the ratio of the two holds where neither time does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One row of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Its limit.
    pub limit: String,
    /// Nanoseconds of one operation, mean.
    pub row_ns: f64,
    /// Nanoseconds of one operation of the limit, measured in turns with the row, mean.
    pub limit_ns: f64,
}

/// The rows of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// The rows that were asked for; those that are not in `rows` were never reached.
    pub selected: Vec<String>,
    /// By id.
    pub rows: BTreeMap<String, Measured>,
}

/// The folder that Criterion writes to, if nobody says otherwise.
#[must_use]
pub fn criterion_dir() -> PathBuf {
    let home = std::env::var_os("CRITERION_HOME").map(PathBuf::from);
    let target = std::env::var_os("CARGO_TARGET_DIR").map(|dir| PathBuf::from(dir).join("criterion"));
    let built_in = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion");
    home.or(target).unwrap_or_else(built_in)
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
#[derive(Clone, Copy, Debug)]
pub struct Estimates {
    /// Nanoseconds, mean.
    pub mean_ns: f64,
    /// Nanoseconds, median.
    pub median_ns: f64,
}

impl Estimates {
    /// Reads them.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn read(criterion: &Path, id: &str) -> Result<Self, String> {
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
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file: File = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { mean_ns: file.mean.point_estimate, median_ns: file.median.point_estimate })
    }
}
