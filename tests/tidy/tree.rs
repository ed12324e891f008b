//! Who uses whom in a tree of source files, read from every path in the code and not only from `use` lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules below a `src` folder: the path of each (`level::read::hit`), and what is to be known of it.
pub(crate) struct Tree {
    pub(crate) modules: BTreeMap<String, Module>,
    /// Names that the crate's root re-exports, and where they come from.
    root: BTreeMap<String, String>,
}

pub(crate) struct Module {
    /// Relative to `src`.
    pub(crate) file: String,
    code: String,
}

impl Module {
    /// The types that it defines.
    pub(crate) fn defines(&self) -> impl Iterator<Item = &str> {
        self.code.lines().filter_map(defined)
    }

    /// Whether its code says this, which has no blanks, however it is laid out.
    pub(crate) fn says(&self, what: &str) -> bool {
        self.code.split_whitespace().collect::<String>().contains(what)
    }
}

/// One use of a module by another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Tree {
    /// Reads all files below `src`, those in `leave_out` excepted.
    pub(crate) fn read(src: &Path, leave_out: &[&str]) -> Self {
        let mut files = Vec::new();
        crate::rust_files(src, &mut files);
        let mut modules = BTreeMap::new();
        for path in files {
            let file = relative(src, &path);
            if leave_out.iter().any(|out| file.starts_with(out)) {
                continue;
            }
            let code = code_of(&fs::read_to_string(&path).expect("a readable file"));
            modules.insert(module_of(&file), Module { file, code });
        }
        let root = modules.get("lib").map(|lib| re_exports(&lib.code)).unwrap_or_default();
        Self { modules, root }
    }

    /// The module that a path leads into: the longest part of it that is one.
    fn target(&self, path: &[String]) -> Option<String> {
        let known = (1..=path.len()).rev().map(|n| path[..n].join("::")).find(|name| self.modules.contains_key(name));
        known.or_else(|| {
            let from = self.root.get(path.first()?)?;
            self.target(&from.split("::").map(str::to_owned).collect::<Vec<_>>())
        })
    }

    /// Every use of one module by another.
    pub(crate) fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (from, module) in self.modules.iter().filter(|(name, _)| *name != "lib") {
            for path in paths(&module.code) {
                let to = self.target(&path).filter(|to| to != from);
                arrows.extend(to.map(|to| Arrow { from: from.clone(), to }));
            }
        }
        arrows
    }

    /// A circle of modules that use each other, if there is one.
    pub(crate) fn circle(&self) -> Option<Vec<String>> {
        let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for arrow in self.arrows() {
            uses.entry(arrow.from).or_default().push(arrow.to);
        }
        // What uses nothing that is left is part of no circle.
        loop {
            let left: BTreeSet<String> = uses.keys().cloned().collect();
            let before = uses.len();
            uses.retain(|_, to| to.iter().any(|to| left.contains(to)));
            if uses.len() == before {
                break;
            }
        }
        let mut at = uses.keys().next()?.clone();
        let mut way = Vec::new();
        while !way.contains(&at) {
            way.push(at.clone());
            at = uses.get(&at)?.iter().find(|to| uses.contains_key(*to))?.clone();
        }
        let begin = way.iter().position(|one| *one == at)?;
        Some(way.split_off(begin))
    }

    /// Each `impl` that is not in the folder of its type: the file, and the type.
    pub(crate) fn strayed(&self) -> Vec<(String, String)> {
        let mut homes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for module in self.modules.values() {
            for line in module.code.lines() {
                homes.entry(defined(line).unwrap_or_default()).or_default().insert(folder(&module.file));
            }
        }
        let mut strayed = Vec::new();
        for module in self.modules.values() {
            for of in module.code.lines().filter_map(implemented) {
                let is_at_home = homes.get(of).is_none_or(|homes| homes.contains(folder(&module.file)));
                if !is_at_home {
                    strayed.push((module.file.clone(), of.to_owned()));
                }
            }
        }
        strayed
    }
}

pub(crate) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned()
}

fn module_of(file: &str) -> String {
    let name = file.trim_end_matches(".rs").replace('/', "::");
    name.strip_suffix("::mod").map_or(name.clone(), str::to_owned)
}

fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The code without comments and without its tests.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let without = |line: &str| line.find("//").map_or(line, |at| &line[..at]).to_owned() + "\n";
    text.lines().map(without).collect()
}

/// All paths that begin with `crate::`, groups taken apart.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` is a macro's; a longer word is not meant.
        let is_whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if is_whole {
            path(&code[at + "crate::".len()..], &[], &mut all);
        }
    }
    all
}

/// Reads one path, or a group of them, and answers what is left of the text.
fn path<'a>(mut rest: &'a str, before: &[String], all: &mut Vec<Vec<String>>) -> &'a str {
    let mut own = before.to_vec();
    loop {
        if let Some(mut group) = rest.strip_prefix('{') {
            loop {
                group = path(group.trim_start(), &own, all).trim_start();
                match group.strip_prefix(',') {
                    Some(more) if !more.trim_start().starts_with('}') => group = more,
                    Some(more) => return more.trim_start().trim_start_matches('}'),
                    None => return group.strip_prefix('}').unwrap_or(group),
                }
            }
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 && &rest[..end] != "self" {
            own.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(more) if !more.starts_with('<') => rest = more,
            _ => {
                all.push(own);
                return rest;
            }
        }
    }
}

/// `pub use a::b::{C, D};` of the crate's root, by name.
fn re_exports(code: &str) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for one in code.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next()) {
        let mut all = Vec::new();
        path(one, &[], &mut all);
        for path in all.iter().filter(|path| path.len() > 1) {
            names.insert(path[path.len() - 1].clone(), path.join("::"));
        }
    }
    names
}

/// The type that a line defines.
fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ").trim_start_matches("pub ");
    let rest = ["struct ", "enum ", "union "].iter().find_map(|kind| line.strip_prefix(kind))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// The type that a line implements something for.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = if rest.starts_with('<') { after_generics(rest) } else { rest }.trim_start();
    let of = rest.split_once(" for ").map_or(rest, |(_, of)| of).trim_start_matches('&').trim_start_matches("mut ");
    let name = of.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').next()?;
    name.rsplit("::").next().filter(|name| !name.is_empty())
}

fn after_generics(text: &str) -> &str {
    let mut depth = 0_i32;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            // Not the arrow of a function.
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[at + 1..];
        }
        before = c;
    }
    ""
}

/// A tree of files below a folder of its own, for one test.
pub(crate) fn plant(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    for (file, text) in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder that can be made");
        fs::write(path, text).expect("a file that can be written");
    }
    root
}
