//! Instructions, by callgrind.
//!
//! One run of the program gives one count for each call of a function. Their median leaves out what happens in a few
//! calls only: a store's housekeeping by the clock, a table that grows.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The instructions of each call of `function` (its whole path) in this program, run with `args`; `None` without valgrind.
#[must_use]
pub fn calls(function: &str, args: &[&str]) -> Option<Vec<u64>> {
    let dumps = Dumps::new()?;
    let named = |option: &str| format!("--{option}={function}");
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-line=no", "--dump-instr=no"])
        .args([named("toggle-collect"), named("dump-after")])
        .arg(format!("--callgrind-out-file={}", dumps.0.join("out").display()))
        .arg(std::env::current_exe().ok()?)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    done.ok()?.success().then(|| dumps.totals())
}

/// The median, or nothing of nothing.
#[must_use]
pub fn median(mut counts: Vec<u64>) -> Option<u64> {
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied()
}

/// A folder that goes when it is dropped.
struct Dumps(PathBuf);

impl Dumps {
    fn new() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("accelerator-callgrind-{}", std::process::id()));
        fs::create_dir_all(&folder).ok()?;
        Some(Self(folder))
    }

    /// Callgrind writes `out.1`, `out.2`, ... and `out` at the end of the program.
    fn totals(&self) -> Vec<u64> {
        let total = |i: usize| {
            let text = fs::read_to_string(self.0.join(format!("out.{i}"))).ok()?;
            text.lines().find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok())
        };
        (1..).map_while(total).collect()
    }
}

impl Drop for Dumps {
    fn drop(&mut self) {
        // What can't be removed is for the system to clean up.
        let _ = fs::remove_dir_all(&self.0);
    }
}
