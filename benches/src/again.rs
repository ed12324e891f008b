//! What the gate asks cargo for: rows measured again, and counts.

use std::collections::BTreeMap;
use std::path::{Path, absolute};
use std::process::{Command, Stdio};

use crate::counts::{CountRow, parse_counts};
use crate::run::{Measured, Run};
use crate::select::{is_quick, only};

/// A short look, which measures nothing.
fn quick() -> bool {
    is_quick(|name| std::env::var(name).ok())
}

/// `cargo bench` or `cargo run`, of the workspace as from its root: with the features of one crate alone it would build, and
/// measure, another program. For a short look the matrix is built as the tests are, with all features, and used from there.
fn cargo(command: &str) -> Command {
    let profile = match command {
        "bench" if quick() => "dev",
        "bench" => "bench",
        _ => "release",
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(command).args([
        "--quiet",
        "--profile",
        profile,
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"),
    ]);
    if profile == "dev" {
        cargo.args(["--workspace", "--all-features"]);
    }
    cargo
}

/// Measures these rows alone, in a folder of their own: the run that the gate looks at stays as it is.
///
/// # Errors
/// One line.
pub fn measure(criterion: &Path, ids: &[String]) -> Result<BTreeMap<String, Measured>, String> {
    let folder = absolute(criterion.with_file_name("criterion-again")).map_err(|error| error.to_string())?;
    let done = cargo("bench")
        .args(["--bench", "cache_path_bench", "--", &only(ids)])
        .env("CRITERION_HOME", &folder)
        .stdout(Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => Ok(Run::read(&folder)?.measured(&folder)),
        Ok(status) => Err(format!("measuring again failed with {status}")),
        Err(error) => Err(format!("cargo could not be started to measure again: {error}")),
    }
}

/// The counts of the rows that `filter` selects.
///
/// # Errors
/// One line.
pub fn count(filter: &str) -> Result<Vec<CountRow>, String> {
    let counted = cargo("run")
        .args(["--bin", "bench_counts", "--", "--json", "--filter", filter])
        .args(quick().then_some("--no-instructions"))
        .stderr(Stdio::inherit())
        .output();
    match counted {
        Ok(out) if out.status.success() => parse_counts("bench_counts", &String::from_utf8_lossy(&out.stdout)),
        Ok(out) => Err(format!("bench_counts failed with {}", out.status)),
        Err(error) => Err(format!("cargo could not be started to count: {error}")),
    }
}
