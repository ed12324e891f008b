//! The tree keeps its shape: uses point one way, types have owners, files stay small, backends depend on the core alone.

mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use tree::{Arrow, Tree, plant};

/// Lines of code that are not tests, at most.
const LONGEST: usize = 400;

/// The order inside the core: a file may use what stands before it, never what comes after. Of `level` each room has a
/// place of its own.
const ORDER: [&str; 32] = [
    "error",
    "time",
    "backoff",
    "inside",
    "entry",
    "key",
    "options",
    "sync",
    "wake",
    "pulse",
    "traits",
    "codecs",
    "cache",
    "watch",
    "level/bounds",
    "level/flight",
    "level/drive",
    "level/stats",
    "level/source",
    "level/time",
    "level/wire",
    "level/local",
    "level/bus",
    "level/remote",
    "level/engine",
    "level/load",
    "level/write",
    "level/read",
    "level/ticket",
    "level/api",
    "level",
    "memoize",
];

/// Files of one room, at most.
const LARGEST_ROOM: usize = 10;

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

/// The place of a module in [`ORDER`].
fn place(module: &str) -> Option<usize> {
    let mut parts = module.split("::");
    let first = parts.next()?;
    let name = match (first, parts.next()) {
        ("level", Some(room)) => format!("level/{room}"),
        _ => first.to_owned(),
    };
    ORDER.iter().position(|one| *one == name)
}

/// The arrows that point against the order.
fn upward(tree: &Tree) -> Vec<Arrow> {
    let mut arrows = tree.arrows();
    arrows.retain(|arrow| matches!((place(&arrow.from), place(&arrow.to)), (Some(from), Some(to)) if from < to));
    arrows.into_iter().collect()
}

fn core() -> Tree {
    Tree::read(&root().join("accelerator-core/src"), &["testkit"])
}

#[test]
fn every_module_of_the_core_has_its_place_in_the_order() {
    for (name, module) in core().modules.iter().filter(|(name, _)| *name != "lib") {
        assert!(place(name).is_some(), "{} has no place in ORDER", module.file);
    }
}

#[test]
fn the_core_points_one_way() {
    let tree = core();
    let arrows = tree.arrows().len();
    assert!(arrows > 300, "only {arrows} uses were found");
    assert_eq!(upward(&tree), [], "these use what stands above them");
    assert_eq!(tree.circle(), None, "these use each other");
}

#[test]
fn a_type_has_its_methods_in_its_own_folder() {
    assert_eq!(core().strayed(), []);
}

#[test]
fn no_room_has_more_than_ten_files() {
    let mut rooms = std::collections::BTreeMap::new();
    for module in core().modules.values() {
        if let Some((room, _)) = module.file.rsplit_once('/') {
            *rooms.entry(room.to_owned()).or_insert(0_usize) += 1;
        }
    }
    for (room, files) in rooms {
        assert!(files <= LARGEST_ROOM, "{room} has {files} files");
    }
}

/// Names that say nothing to a stranger, and what the thing is called here.
const NOT_WORDS: [(&str, &str); 16] = [
    ("Latent", "Reservation"),
    ("Place", "Handoff"),
    ("Hand", "Poller"),
    ("By", "LedBy"),
    ("How", "LoadMode"),
    ("May", "FillRight"),
    ("Told", "ReportState"),
    ("Rest", "AfterFirstPoll"),
    ("Moment", "Instants"),
    ("Held", "LedKey"),
    ("Name", "WireKey"),
    ("Run", "SharedRun"),
    ("Line", "what it is a line of"),
    ("Keeper", "what it keeps"),
    ("Stuff", "what it is"),
    ("Arrived", "FromSource"),
];

#[test]
fn types_have_names_that_say_what_they_are() {
    for module in core().modules.values().filter(|module| module.file.starts_with("level/")) {
        for name in module.defines() {
            let better = NOT_WORDS.iter().find(|(word, _)| *word == name);
            // A line of the counters is one of a processor's cache.
            let is_known = module.file == "level/stats/counters.rs" && name == "Line";
            assert!(
                better.is_none() || is_known,
                "{} defines {name}: say {:?}",
                module.file,
                better.map(|pair| pair.1)
            );
        }
    }
}

/// The files that say it: a reader can't tell which of the two is absent, and which is unknown.
fn options_of_options(tree: &Tree) -> Vec<&str> {
    let says_it = tree.modules.values().filter(|module| module.says("Option<Option<"));
    says_it.map(|module| module.file.as_str()).collect()
}

#[test]
fn absent_and_unknown_are_words_and_no_option_of_an_option() {
    let tree = Tree::read(&root().join("accelerator-core/src"), &[]);
    assert_eq!(options_of_options(&tree), [""; 0], "say it with the words of Lookup");
}

// That each of them fails where it should.

#[test]
fn an_option_of_an_option_is_found_over_the_end_of_a_line_and_not_in_comments() {
    let src = plant(
        "options",
        &[
            ("level/read/hit.rs", "fn probe() -> Option<\n    Option<u8>,\n> {}\n"),
            ("level/read/one.rs", "// Option<Option<u8>>\nfn get() -> Option<Vec<Option<u8>>> {}\n"),
            ("testkit/gate.rs", "type Known = std::option::Option< Option<u8>>;\n"),
        ],
    );
    assert_eq!(options_of_options(&Tree::read(&src, &[])), ["level/read/hit.rs", "testkit/gate.rs"]);
}

#[test]
fn an_arrow_against_the_order_is_found_also_outside_of_a_use_line() {
    let src = plant(
        "upward",
        &[
            ("lib.rs", "mod level;\npub use level::api::verbs::Cache;\n"),
            ("level/flight/state.rs", "fn f() { crate::level::read::hit::probe(); }\n"),
            ("level/time/timer.rs", "use crate::{error::Error, level::{api::{self, verbs}, flight::state}};\n"),
            ("level/stats/counters.rs", "// crate::level::read::hit\nfn f() -> crate::Cache {}\n"),
            ("level/read/hit.rs", "use crate::level::flight::state;\n"),
            ("level/api/verbs.rs", "pub struct Cache;\n"),
            ("error.rs", "pub struct Error;\n"),
        ],
    );
    let found: Vec<_> = upward(&Tree::read(&src, &[])).into_iter().map(|arrow| (arrow.from, arrow.to)).collect();
    let arrow = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(
        found,
        [
            arrow("level::flight::state", "level::read::hit"),
            arrow("level::stats::counters", "level::api::verbs"),
            arrow("level::time::timer", "level::api::verbs"),
        ]
    );
}

#[test]
fn a_circle_of_three_files_of_one_room_is_found() {
    let src = plant(
        "circle",
        &[
            ("level/read/a.rs", "use crate::level::read::b::B;\n"),
            ("level/read/b.rs", "fn f() { crate::level::read::c::g(); }\n"),
            ("level/read/c.rs", "use crate::level::read::{a, d::D};\n"),
            ("level/read/d.rs", "pub struct D;\n"),
        ],
    );
    let mut circle = Tree::read(&src, &[]).circle().expect("a circle");
    circle.sort();
    assert_eq!(circle, ["level::read::a", "level::read::b", "level::read::c"]);
}

#[test]
fn an_impl_outside_of_its_types_folder_is_found() {
    let src = plant(
        "strayed",
        &[
            ("level/local/mod.rs", "pub(crate) struct Local<K, V>(K, V);\nimpl<K, V> Local<K, V> {}\n"),
            ("level/local/keep.rs", "impl<K: Into<Vec<u8>>, V> Local<K, V> {}\n"),
            ("level/read/hit.rs", "impl<K, V> crate::level::local::Local<K, V> {\n}\nimpl Foreign {}\n"),
            ("level/read/one.rs", "impl<F: Fn() -> u8, K, V> Drop for Local<K, V> {}\n"),
        ],
    );
    let strayed = |file: &str| (file.to_owned(), "Local".to_owned());
    assert_eq!(Tree::read(&src, &[]).strayed(), [strayed("level/read/hit.rs"), strayed("level/read/one.rs")]);
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
