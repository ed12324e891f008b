//! The exported baseline: one JSON file, under version control.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::counts::CountRow;
use crate::run::{Measured, Run};

/// The format that this code writes and reads.
pub const VERSION: u32 = 1;

/// Where it lies, from the root of the repository.
pub const PATH: &str = "docs/benchmarks/cache_path_bench.json";

/// A row of the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// Nanoseconds of one operation.
    pub mean_ns: f64,
    /// Nanoseconds of one operation.
    pub median_ns: f64,
    /// The mean as a multiple of the mean of its limit, of the same run.
    pub ratio_to_limit: f64,
}

/// Everything a later run is held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// [`VERSION`].
    pub version: u32,
    /// Times, by row.
    pub benchmarks: BTreeMap<String, Benchmark>,
    /// Counts.
    #[serde(default)]
    pub counts: Vec<CountRow>,
    /// `rustc --version` of the run: other compilers count other instructions.
    #[serde(default)]
    pub rustc: String,
}

impl Baseline {
    /// The rows of the latest run, and nothing that older runs left in the folder.
    ///
    /// # Errors
    /// One line, if a row of the run is missing, or there is none.
    pub fn of(run: &Run, criterion: &Path, counts: Vec<CountRow>) -> Result<Self, String> {
        let measured = run.measured(criterion);
        if let Some(missing) = run.selected.iter().find(|id| !measured.contains_key(*id)) {
            return Err(format!("the latest run was cut off: {missing} is missing; run it again"));
        }
        if measured.is_empty() {
            return Err("the latest run measured no row: its filter matched nothing".to_owned());
        }
        let row = |(id, Measured { mean_ns, median_ns, ratio, .. })| {
            (id, Benchmark { mean_ns: round(mean_ns), median_ns: round(median_ns), ratio_to_limit: round(ratio) })
        };
        Ok(Self { version: VERSION, benchmarks: measured.into_iter().map(row).collect(), counts, rustc: rustc() })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// One line that names the file and the fix.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| format!("no baseline at {shown}: {error}; write one with `scripts/bench.sh baseline`"))?;
        let read: Self = serde_json::from_str(&text).map_err(|error| format!("{shown} is not a baseline: {error}"))?;
        if read.version != VERSION {
            return Err(format!("{shown} has version {}; this program reads {VERSION}", read.version));
        }
        Ok(read)
    }
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// The compiler that cargo uses here.
#[must_use]
pub fn rustc() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = std::process::Command::new(rustc).arg("--version").output();
    said.map_or_else(|_| String::new(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
}
