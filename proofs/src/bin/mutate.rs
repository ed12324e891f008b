//! What `scripts/mutants.sh` asks of the mutants: their names, and one of them in a copy of the tree.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use accelerator_proofs::mutants;

const USAGE: &str = "usage: mutate list ROOT | mutate apply NAME ROOT COPY\n\
    apply: puts the mutant NAME of the tree ROOT into COPY, and prints the files that it changed there";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["list", root] => mutants::names(Path::new(root)).map_err(|e| e.to_string()),
        ["apply", name, root, copy] => apply(name, Path::new(root), Path::new(copy)),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn apply(name: &str, root: &Path, copy: &Path) -> Result<Vec<String>, String> {
    let mutant = mutants::read(root, name)?;
    let files = mutant.apply(root)?;
    for (file, text) in &files {
        fs::write(copy.join(file), text).map_err(|e| format!("{file}: {e}"))?;
    }
    Ok(files.into_keys().map(str::to_owned).collect())
}
