//! Known weakenings of the concurrency code, each a file `proofs/mutants/NAME.diff` beside the source that ships.
//!
//! A file has blocks. A block names a file of the tree and says which lines are there and which are to be there instead:
//! `-` before a line that goes, `+` before one that comes, a space before one that stays.
//!
//! ```text
//! @@ accelerator-core/src/level/flight/slots.rs @@
//!          let _ended = Ended(shard);
//! -        purge();
//!      }
//! ```
//!
//! No line numbers: what a block says is there must be there exactly once. So a mutant survives every change of the file
//! around it, and one that fits no more, or fits twice, is an error and not a silent success.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// Where the mutants are, from the root of the tree.
pub const FOLDER: &str = "proofs/mutants";

/// One weakening: blocks, in the order of its file.
#[derive(Debug, PartialEq, Eq)]
pub struct Mutant {
    blocks: Vec<Block>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    file: String,
    before: Vec<String>,
    after: Vec<String>,
}

/// The names of all mutants of the tree, sorted.
///
/// # Errors
///
/// The folder can't be read.
pub fn names(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(FOLDER))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".diff").map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}

/// The mutant of this name.
///
/// # Errors
///
/// There is none, or its file says something else than blocks.
pub fn read(root: &Path, name: &str) -> Result<Mutant, String> {
    let path = root.join(FOLDER).join(format!("{name}.diff"));
    fs::read_to_string(path).map_err(|e| e.to_string()).and_then(|text| Mutant::parse(&text))
}

impl Mutant {
    /// # Errors
    ///
    /// The text has no block, a line outside of one or with another first letter, or a block that changes nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut blocks: Vec<Block> = Vec::new();
        for line in text.lines() {
            if let Some(file) = line.strip_prefix("@@ ").and_then(|rest| rest.strip_suffix(" @@")) {
                blocks.push(Block { file: file.to_owned(), ..Block::default() });
                continue;
            }
            let block = blocks.last_mut().ok_or_else(|| format!("before the first block: {line}"))?;
            match (line.chars().next(), line.get(1..)) {
                (Some('-'), Some(rest)) => block.before.push(rest.to_owned()),
                (Some('+'), Some(rest)) => block.after.push(rest.to_owned()),
                (Some(' '), Some(rest)) => {
                    block.before.push(rest.to_owned());
                    block.after.push(rest.to_owned());
                }
                (None, _) => {
                    block.before.push(String::new());
                    block.after.push(String::new());
                }
                _ => return Err(format!("neither kept, gone nor new: {line}")),
            }
        }
        if blocks.is_empty() {
            return Err("there is no block".to_owned());
        }
        match blocks.iter().find(|block| block.before == block.after) {
            Some(block) => Err(format!("a block changes nothing in {}", block.file)),
            None => Ok(Self { blocks }),
        }
    }

    /// The files below `root` that the mutant changes, from the root, with their new text.
    ///
    /// # Errors
    ///
    /// A file can't be read, or the text of a block isn't in it exactly once.
    pub fn apply(&self, root: &Path) -> Result<BTreeMap<&str, String>, String> {
        let mut files: BTreeMap<&str, String> = BTreeMap::new();
        for block in &self.blocks {
            let file = block.file.as_str();
            let text = match files.remove(file) {
                Some(text) => text,
                None => fs::read_to_string(root.join(file)).map_err(|e| format!("{file}: {e}"))?,
            };
            files.insert(file, block.apply(&text)?);
        }
        Ok(files)
    }
}

impl Block {
    fn apply(&self, text: &str) -> Result<String, String> {
        let lines: Vec<&str> = text.lines().collect();
        let places: Vec<usize> = lines
            .windows(self.before.len().max(1))
            .enumerate()
            .filter(|(_, window)| window.iter().eq(&self.before))
            .map(|(at, _)| at)
            .collect();
        let [at] = places[..] else {
            let text = self.before.join("\n");
            return Err(format!("{} times, and not once, in {}:\n{text}", places.len(), self.file));
        };
        let (head, tail) = (&lines[..at], &lines[at + self.before.len()..]);
        let after = self.after.iter().map(String::as_str);
        let lines: Vec<&str> = head.iter().copied().chain(after).chain(tail.iter().copied()).collect();
        Ok(lines.join("\n") + "\n")
    }
}
