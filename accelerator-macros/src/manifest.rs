//! The little of TOML that says under which name a package depends on another: every key with its value, where that is
//! a text or a word.
//!
//! No TOML library, so that whoever compiles the library compiles none (ADR 0038). This reads what cargo has accepted
//! already, so it reports no errors and skips what it does not know; the tests hold it against a TOML library.

/// A path of keys, and the text there; empty for the header of a table.
pub(crate) type Line = (Vec<String>, String);

/// All values of a manifest that are texts or words.
pub(crate) fn read(text: &str) -> Vec<Line> {
    let mut reader = Reader { rest: text, found: Vec::new() };
    let mut table = Vec::new();
    loop {
        reader.skip_blank();
        if reader.rest.is_empty() {
            return reader.found;
        }
        let before = reader.rest.len();
        if reader.eat('[') {
            let array = reader.eat('[');
            table = reader.keys();
            if array {
                // `[[bin]]` and its like hold no dependencies.
                table.insert(0, "[[".to_owned());
            }
            reader.found.push((table.clone(), String::new()));
        } else if !reader.entry(&table) {
            reader.skip_line();
        }
        while reader.eat(']') {}
        if reader.rest.len() == before {
            reader.skip_line();
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    found: Vec<Line>,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, character: char) -> bool {
        let rest = self.rest.strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What stands before the first character for which `end` holds.
    fn until(&mut self, end: impl Fn(char) -> bool) -> &'a str {
        let (text, rest) = self.rest.split_at(self.rest.find(end).unwrap_or(self.rest.len()));
        self.rest = rest;
        text
    }

    fn skip_line(&mut self) {
        self.until(|c| c == '\n');
        self.eat('\n');
    }

    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.skip_line();
        }
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    /// `a.b."c"`
    fn keys(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        loop {
            self.skip_spaces();
            let key = match self.text() {
                Some(text) => text.to_owned(),
                None => self.until(|c| !(c.is_alphanumeric() || c == '-' || c == '_')).to_owned(),
            };
            keys.push(key);
            self.skip_spaces();
            if !self.eat('.') {
                return keys;
            }
        }
    }

    /// `keys = value` below `table`; whether it was one.
    fn entry(&mut self, table: &[String]) -> bool {
        let path: Vec<String> = table.iter().cloned().chain(self.keys()).collect();
        let is_entry = self.eat('=');
        if is_entry {
            self.skip_spaces();
            self.value(&path);
        }
        is_entry
    }

    fn value(&mut self, path: &[String]) {
        if self.eat('{') {
            self.list('}', |reader| reader.entry(path));
        } else if self.eat('[') {
            self.list(']', |reader| {
                // Nothing that is asked for is in an array.
                reader.value(&["[[".to_owned()]);
                true
            });
        } else {
            let text = match self.text() {
                Some(text) => text,
                None => self.until(|c| c.is_whitespace() || [',', ']', '}', '#'].contains(&c)),
            };
            self.found.push((path.to_vec(), text.to_owned()));
        }
    }

    fn list(&mut self, end: char, mut one: impl FnMut(&mut Self) -> bool) {
        loop {
            self.skip_blank();
            let before = self.rest.len();
            if self.rest.is_empty() || self.eat(end) || !one(self) {
                return;
            }
            self.skip_blank();
            self.eat(',');
            if self.rest.len() == before {
                return;
            }
        }
    }

    /// A quoted text, as it stands between its quotes.
    fn text(&mut self) -> Option<&'a str> {
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| self.rest.starts_with(quote))?;
        let inner = self.rest.get(quote.len()..)?;
        let escapes = quote.starts_with('"');
        let mut from = 0;
        loop {
            let end = inner.get(from..).and_then(|rest| rest.find(quote)).map_or(inner.len(), |at| from + at);
            let text = inner.get(..end).unwrap_or(inner);
            let slashes = text.bytes().rev().take_while(|byte| *byte == b'\\').count();
            if escapes && slashes % 2 == 1 && end < inner.len() {
                from = end + 1;
                continue;
            }
            self.rest = inner.get(end + quote.len()..).unwrap_or("");
            return Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml::{Table, Value};

    use super::{Line, read};

    fn get(text: &str, path: &str) -> Option<String> {
        read(text).into_iter().find(|(keys, _)| keys.join("/") == path).map(|(_, value)| value)
    }

    #[test]
    fn tables_inline_tables_and_dotted_keys_are_one() {
        for text in [
            "[dependencies]\na = { package = \"b\", version = '1' }",
            "[dependencies.a]\npackage = \"b\"",
            "[dependencies]\na.package = 'b' # why\n",
            "dependencies = { a = { package = \"b\" } }",
            "[ dependencies . \"a\" ]\n  package=\"b\"\r\n",
            "[dependencies]\na = {\n  features = [\"x\", # no\n ],\n  package = \"b\",\n}\n",
        ] {
            assert_eq!(get(text, "dependencies/a/package").as_deref(), Some("b"), "{text}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_skipped() {
        let text = "\u{feff}# [no]\n[package]\nname = \"x\"\ndescription = \"\"\"\n[dependencies]\na = \"no\"\n\"\"\"\n\
                    authors = [\"a = 'b'\", \"]\", [1, 2]]\nquoted = \"\\\"[no]\\\\\"\ndate = 1979-05-27T07:32:00Z\n\
                    [[bin]]\nname = \"y\"\n[target.'cfg(unix)'.dependencies]\nz.workspace = true\n";
        assert_eq!(get(text, "package/name").as_deref(), Some("x"));
        assert_eq!(get(text, "package/date").as_deref(), Some("1979-05-27T07:32:00Z"));
        assert_eq!(get(text, "dependencies/a"), None);
        assert_eq!(get(text, "no"), None);
        assert_eq!(get(text, "target/cfg(unix)/dependencies/z/workspace").as_deref(), Some("true"));
    }

    /// Every text and word below `table`, but for what is in arrays.
    fn flatten(path: &[String], table: &Table, found: &mut Vec<Line>) {
        for (key, value) in table {
            let path: Vec<String> = path.iter().chain([key]).cloned().collect();
            match value {
                Value::Table(table) => flatten(&path, table, found),
                Value::Array(_) => {}
                Value::String(text) => found.push((path, text.clone())),
                other => found.push((path, other.to_string())),
            }
        }
    }

    /// What was read, without headers, what is in arrays, and texts that have more to them than their letters.
    fn plain(lines: Vec<Line>) -> Vec<Line> {
        let is_plain = |(path, text): &Line| {
            path.first().is_some_and(|key| key != "[[") && !text.is_empty() && !text.contains(['\n', '\\', '"'])
        };
        let mut lines: Vec<Line> = lines.into_iter().filter(is_plain).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn every_manifest_of_the_workspace_is_read_as_by_a_toml_library() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folders = std::fs::read_dir(&root).expect("the root").flatten().map(|entry| entry.path());
        let mut manifests = 0;
        for folder in folders.chain([root]) {
            let Ok(text) = std::fs::read_to_string(folder.join("Cargo.toml")) else { continue };
            let mut theirs = Vec::new();
            flatten(&[], &text.parse().expect("TOML"), &mut theirs);
            assert_eq!(plain(read(&text)), plain(theirs), "{}", folder.display());
            manifests += 1;
        }
        assert!(manifests > 5, "only {manifests} manifests were found");
    }

    #[test]
    fn any_text_comes_to_an_end() {
        for text in ["[", "]", "a = [", "a = {b", "a = {=}", "\"", "'''", "a = \"\\", "= = =", "[a]]]\n[", "{", "a..b"]
        {
            let _ = read(text);
        }
    }
}
