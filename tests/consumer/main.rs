//! Crates outside of the workspace, with the facade as their one dependency, compile the template of the guide and more,
//! without a warning: not of clippy's pedantic ones either, where clippy is installed.
//!
//! They are written below the target directory, and share a target directory of their own.

#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const GUIDE: &str = include_str!("../../docs/guide/macros.md");
const STRICT: &str = "#![deny(warnings)]\n#![warn(clippy::pedantic)]\n#![forbid(unsafe_code)]\n";
const AROUND: &str = include_str!("crate/around.rs");
const MORE: &str = include_str!("crate/more.rs");

/// The template, word for word.
fn template() -> &'static str {
    let (_, rest) = GUIDE.split_once("impl UserService {").unwrap();
    rest.split_once("\n}\n").unwrap().0
}

/// All the code of a consumer that knows the library as `name`.
fn source(name: &str) -> String {
    let text = format!("{STRICT}{AROUND}\nimpl UserService {{{}\n}}\n\n{MORE}", template());
    text.replace("accelerator::", &format!("{name}::"))
}

/// An empty directory.
fn directory(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumer").join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("src")).unwrap();
    dir
}

fn package(name: &str, edition: u32) -> String {
    format!("[package]\nname = \"consumer-{name}\"\nedition = \"{edition}\"\npublish = false\n")
}

/// The same versions as here: nothing is fetched.
fn write(dir: &Path, manifest: &str, source: &str) {
    fs::write(dir.join("Cargo.toml"), manifest).unwrap();
    fs::copy(Path::new(ROOT).join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    fs::write(dir.join("src/lib.rs"), source).unwrap();
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

fn has_clippy() -> bool {
    cargo().args(["clippy", "--version"]).stderr(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

fn check(dir: &Path) -> Output {
    let mut command = cargo();
    if has_clippy() {
        command.args(["clippy", "--no-deps"]);
    } else {
        command.arg("check");
    }
    command
        .args(["--offline", "--quiet", "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumer-target"));
    if has_clippy() {
        command.args(["--", "-D", "warnings", "-W", "clippy::pedantic"]);
    }
    command.current_dir(dir).output().unwrap()
}

fn assert_silent(dir: &Path) {
    let output = check(dir);
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = said.lines().filter(|line| !line.contains("waiting for file lock")).collect();
    assert!(output.status.success() && said.is_empty(), "{}", said.join("\n"));
}

#[test]
fn a_consumer_compiles_the_template_without_a_warning() {
    let dir = directory("plain");
    let manifest =
        format!("{}\n[dependencies]\naccelerator = {{ path = '{ROOT}' }}\n\n[workspace]\n", package("plain", 2024));
    write(&dir, &manifest, &source("accelerator"));
    assert_silent(&dir);
}

#[test]
fn a_consumer_that_renames_the_library_compiles_the_template() {
    let dir = directory("renamed");
    let dependency = format!("cachelib = {{ package = 'accelerator', path = '{ROOT}' }}");
    let manifest = format!("{}\n[dependencies]\n{dependency}\n\n[workspace]\n", package("renamed", 2021));
    write(&dir, &manifest, &source("cachelib"));
    assert_silent(&dir);
}

#[test]
fn a_consumer_that_inherits_a_renamed_library_compiles_the_template() {
    let dir = directory("inherited");
    let member = dir.join("member");
    fs::create_dir_all(member.join("src")).unwrap();
    let dependency = format!("cachelib = {{ package = 'accelerator', path = '{ROOT}' }}");
    let workspace =
        format!("[workspace]\nresolver = '3'\nmembers = ['member']\n\n[workspace.dependencies]\n{dependency}\n");
    fs::write(dir.join("Cargo.toml"), workspace).unwrap();
    fs::copy(Path::new(ROOT).join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    let manifest = format!("{}\n[dependencies]\ncachelib.workspace = true\n", package("inherited", 2024));
    fs::write(member.join("Cargo.toml"), manifest).unwrap();
    fs::write(member.join("src/lib.rs"), source("cachelib")).unwrap();
    assert_silent(&member);
}

/// The other tests would see a warning if there was one, and the attributes hide none.
#[test]
fn what_is_wrong_inside_of_a_body_is_still_reported() {
    let dir = directory("wrong");
    let manifest =
        format!("{}\n[dependencies]\naccelerator = {{ path = '{ROOT}' }}\n\n[workspace]\n", package("wrong", 2024));
    let body = "let nobody_uses_this = id; Ok(Some((id as u32).to_string()))";
    let item = format!(
        "#[accelerator::macros::cacheable(cache = cache, key = id)]\n\
         pub async fn name(cache: &dyn accelerator::Cache<u64, String>, id: u64)\n\
         -> Result<Option<String>, std::fmt::Error> {{ {body} }}\n"
    );
    write(&dir, &manifest, &format!("#![deny(warnings)]\n{item}"));
    let output = check(&dir);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("unused variable: `nobody_uses_this`"), "{said}");
    assert_eq!(said.matches("error: unused").count(), 1, "{said}");
    assert_eq!(said.contains("clippy::cast_possible_truncation"), has_clippy(), "{said}");
}
