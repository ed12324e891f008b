//! Every known weakening still fits the source that ships. That each is caught shows `scripts/mutants.sh`.

use std::path::{Path, PathBuf};

use accelerator_proofs::mutants::{Mutant, names, read};

const FILE: &str = "proofs/src/bin/mutate.rs";
const LINE: &str = "fn main() -> ExitCode {";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_mutant_fits_the_source_exactly_once() {
    let names = names(&root()).expect("the folder of the mutants");
    assert!(!names.is_empty(), "no mutant was found");
    let misfits: Vec<String> = names
        .iter()
        .filter_map(|name| {
            let applied = read(&root(), name).and_then(|mutant| mutant.apply(&root()).map(drop));
            applied.err().map(|why| format!("{name}: {why}"))
        })
        .collect();
    assert!(misfits.is_empty(), "{} of {} mutants:\n{}", misfits.len(), names.len(), misfits.join("\n"));
}

#[test]
fn a_block_changes_the_lines_that_it_names_and_no_others() {
    let mutant = Mutant::parse(&format!("@@ {FILE} @@\n {LINE}\n+    early();\n")).expect("a mutant");
    let before = std::fs::read_to_string(root().join(FILE)).expect("a file");
    let files = mutant.apply(&root()).expect("it fits");
    let after = before.replace(LINE, &format!("{LINE}\n    early();"));
    assert_eq!(files.into_iter().collect::<Vec<_>>(), [(FILE, after)]);
}

#[test]
fn two_blocks_of_one_file_are_both_applied() {
    let twice = format!("@@ {FILE} @@\n-{LINE}\n+one\n@@ {FILE} @@\n-one\n+two\n");
    let mutant = Mutant::parse(&twice).expect("a mutant");
    let files = mutant.apply(&root()).expect("it fits");
    assert!(files[FILE].contains("\ntwo\n") && !files[FILE].contains("\none\n"));
}

#[test]
fn what_fits_nowhere_or_twice_is_refused() {
    for (line, times) in [("nobody wrote this", 0), ("}", 2)] {
        let mutant = Mutant::parse(&format!("@@ {FILE} @@\n-{line}\n+other\n")).expect("a mutant");
        let error = mutant.apply(&root()).expect_err("it does not fit");
        let found: usize = error.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        assert!(if times == 0 { found == 0 } else { found >= times }, "{error}");
    }
    let mutant = Mutant::parse("@@ no/such/file.rs @@\n-a\n+b\n").expect("a mutant");
    assert!(mutant.apply(&root()).expect_err("no file").starts_with("no/such/file.rs: "));
}

#[test]
fn a_file_that_is_no_mutant_is_refused() {
    for text in ["", "-a\n+b\n", "@@ a.rs @@\n", "@@ a.rs @@\n a\n", "@@ a.rs @@\n-a\n+a\n", "@@ a.rs @@\nabc\n"] {
        assert!(Mutant::parse(text).is_err(), "{text:?}");
    }
}
