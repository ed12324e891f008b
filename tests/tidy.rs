//! The tree keeps its shape: uses point one way, files stay small, backends depend on the core alone.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code that are not tests, at most.
const LONGEST: usize = 400;

/// The order inside the core: a file may use what stands before it, never what comes after.
const LAYERS: [&str; 19] = [
    "error",
    "time",
    "backoff",
    "inside",
    "entry",
    "key",
    "options",
    "sync",
    "pulse",
    "traits",
    "codecs",
    "cache",
    "level/base",
    "level/invalidate",
    "level/write",
    "level/load",
    "level/refresh",
    "level/read",
    "memoize",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

#[test]
fn no_file_is_longer_than_400_lines_without_its_tests() {
    let mut files = Vec::new();
    rust_files(&root(), &mut files);
    assert!(files.len() > 40, "the walk found only {} files", files.len());
    let mut lengths = Vec::new();
    for path in files {
        let relative = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        if relative.contains("tests/") || relative.starts_with("proofs/") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable file");
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        assert!(lines <= LONGEST, "{relative} has {lines} lines; split it by the path of the data");
        lengths.push(lines);
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median < 180, "the median file has {median} lines");
}

/// The layer of a path below `accelerator-core/src`, or of a `use crate::` path.
fn layer(parts: &[&str]) -> Option<usize> {
    let name = match parts {
        ["level", file, ..] => match file.trim_end_matches(".rs") {
            "read" | "forced" | "load_latent" | "batch" | "batch_latent" | "borrow" | "verbs" | "face" | "builder"
            | "mod" | "answers" => "level/read",
            "refresh" => "level/refresh",
            "load" | "batch_load" => "level/load",
            "write" => "level/write",
            "invalidate" | "shutdown" => "level/invalidate",
            _ => "level/base",
        },
        [first, ..] => first.trim_end_matches(".rs"),
        [] => return None,
    };
    LAYERS.iter().position(|layer| *layer == name)
}

/// What these files of the base name from above, and why: types only, no calls back.
const KNOWN: [(&str, &str); 2] = [
    // The engine is the struct that all paths extend; it owns the loaders and the parked work.
    ("level/engine.rs", "level::load"),
    ("level/shutdown.rs", "level::verbs"),
];

#[test]
fn uses_inside_the_core_point_one_way() {
    let src = root().join("accelerator-core/src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut checked = 0;
    for path in files {
        let relative = path.strip_prefix(&src).expect("below src").to_string_lossy().into_owned();
        let parts: Vec<&str> = relative.split('/').collect();
        if parts[0] == "testkit" || relative == "lib.rs" {
            continue;
        }
        let Some(own) = layer(&parts) else { continue };
        let text = fs::read_to_string(&path).expect("a readable file");
        for line in text.lines().filter_map(|line| line.strip_prefix("use crate::")) {
            let used: Vec<&str> = line.split("::").map(|part| part.trim_end_matches(';')).collect();
            let Some(theirs) = layer(&used) else { continue };
            checked += 1;
            let known = KNOWN.iter().any(|(file, path)| *file == relative && line.starts_with(path));
            let sideways = own == theirs || known;
            assert!(theirs <= own || sideways, "{relative} uses {line} which stands above it");
        }
    }
    assert!(checked > 50, "only {checked} uses were found");
}

#[test]
fn the_core_knows_no_macros_and_the_macros_hold_no_cache() {
    let core = fs::read_to_string(root().join("accelerator-core/Cargo.toml")).expect("a manifest");
    for line in core.lines().filter(|line| line.starts_with("accelerator")) {
        assert!(line.starts_with("accelerator-core"), "the core depends on {line}");
    }
    let macros = fs::read_to_string(root().join("accelerator-macros/Cargo.toml")).expect("a manifest");
    let (_, dependencies) = macros.split_once("[dependencies]").expect("dependencies");
    let (dependencies, _) = dependencies.split_once("\n[").expect("dev-dependencies");
    assert!(!dependencies.contains("accelerator"), "the macros depend on {dependencies}");
}

#[test]
fn backends_depend_on_the_core_and_on_nothing_else_of_ours() {
    let mut backends = 0;
    for entry in fs::read_dir(root()).expect("the root").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("accelerator-backend-") {
            continue;
        }
        backends += 1;
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).expect("a manifest");
        for line in manifest.lines().filter(|line| line.starts_with("accelerator")) {
            assert!(line.starts_with("accelerator-core"), "{name} depends on {line}");
        }
    }
    assert!(backends >= 2, "only {backends} backends were found");
}
