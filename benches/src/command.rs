//! What the binaries share: their way to say no.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

/// The options of a binary, or its exit code after the user was told.
///
/// # Errors
/// The code: 0 after `--help`, 2 after one line on what is wrong.
pub fn options<O: Parser>() -> Result<O, ExitCode> {
    O::try_parse().map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            // A reader that closed its end is no failure.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        refuse(&format!("{}; see --help", line.trim_start_matches("error: ")))
    })
}

/// One line, and exit code 2.
#[must_use]
pub fn refuse(line: &str) -> ExitCode {
    eprintln!("error: {line}");
    ExitCode::from(2)
}
