//! Under which name the crate that is compiled knows the library.

use std::path::{Path, PathBuf};
use std::{env, fs};

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;

use crate::manifest::{self, Line};
use crate::options::Options;

/// The facade, then the core, which has all that the expansions name as well.
const PACKAGES: [&str; 2] = ["accelerator", "accelerator-core"];
/// What can be used everywhere in a package comes first.
const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// `crate = path`, or what the manifest says.
pub(crate) fn path(options: &Options) -> TokenStream {
    options.get("crate").map_or_else(from_manifest, ToTokens::to_token_stream)
}

pub(crate) fn from_manifest() -> TokenStream {
    let found = env::var_os("CARGO_MANIFEST_DIR").and_then(|dir| name(Path::new(&dir)));
    let ident = Ident::new(found.as_deref().unwrap_or("accelerator"), Span::mixed_site());
    emit!(::#ident)
}

fn name(dir: &Path) -> Option<String> {
    let own = lines(&dir.join("Cargo.toml"))?;
    let workspace = if uses_workspace(&own) { workspace_of(dir, &own) } else { None };
    find(&own, workspace.as_deref().unwrap_or(&own))
}

fn lines(path: &Path) -> Option<Vec<Line>> {
    fs::read_to_string(path).ok().map(|text| manifest::read(&text))
}

fn uses_workspace(lines: &[Line]) -> bool {
    lines.iter().any(|(path, _)| path.last().is_some_and(|key| key == "workspace") && path.len() > 2)
}

/// The manifest of the workspace's root.
fn workspace_of(dir: &Path, own: &[Line]) -> Option<Vec<Line>> {
    let named = own.iter().find(|(path, _)| path.iter().eq(["package", "workspace"]));
    if let Some((_, relative)) = named {
        return lines(&dir.join(relative).join("Cargo.toml"));
    }
    let manifests = dir.ancestors().map(|dir: &Path| -> PathBuf { dir.join("Cargo.toml") });
    manifests.filter_map(|path| lines(&path)).find(|lines| lines.iter().any(|(path, _)| is(path.first(), "workspace")))
}

fn is(key: Option<&String>, name: &str) -> bool {
    key.is_some_and(|key| key == name)
}

/// The name as Rust writes it.
fn find(own: &[Line], workspace: &[Line]) -> Option<String> {
    let rust = |name: &str| Some(name.replace('-', "_"));
    let package = own.iter().find(|(path, _)| path.iter().eq(["package", "name"])).map(|(_, name)| name.as_str());
    if let Some(own) = package.filter(|name| PACKAGES.contains(name)) {
        return rust(own);
    }
    TABLES.iter().find_map(|table| {
        let dependencies: Vec<_> = own.iter().filter_map(|(path, _)| dependency(path, table)).collect();
        PACKAGES.iter().find_map(|package| {
            let found = dependencies.iter().find(|(name, base)| package_of(own, base, name, workspace) == *package)?;
            rust(found.0)
        })
    })
}

/// The name of the dependency that a path leads into, and the path that far.
fn dependency<'a>(path: &'a [String], table: &str) -> Option<(&'a str, &'a [String])> {
    let depth = if is(path.first(), "target") { 2 } else { 0 };
    let key = path.get(depth)?.replace('_', "-");
    (key == table).then_some(())?;
    Some((path.get(depth + 1)?, path.get(..depth + 2)?))
}

/// The package behind a dependency.
fn package_of<'a>(own: &'a [Line], base: &[String], name: &'a str, workspace: &'a [Line]) -> &'a str {
    let value = |lines: &'a [Line], base: &[String], key: &str| {
        let at = |path: &[String]| path.split_last().is_some_and(|(last, front)| last == key && front == base);
        lines.iter().find(|(path, _)| at(path)).map(|(_, value)| value.as_str())
    };
    if value(own, base, "workspace") == Some("true") {
        let base = ["workspace", "dependencies", name].map(str::to_owned);
        return value(workspace, &base, "package").unwrap_or(name);
    }
    value(own, base, "package").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::find;
    use crate::manifest::read;

    fn found(own: &str, workspace: &str) -> Option<String> {
        find(&read(own), &read(workspace))
    }

    #[test]
    fn a_dependency_is_found_under_its_name() {
        for (own, name) in [
            ("[dependencies]\naccelerator = \"1\"", Some("accelerator")),
            ("[dependencies]\naccelerator = { path = \"..\" }", Some("accelerator")),
            ("[dependencies.accelerator]\npath = \"..\"", Some("accelerator")),
            ("[dependencies]\ncache-lib = { package = \"accelerator\", path = \"..\" }", Some("cache_lib")),
            ("[dependencies.cachelib]\npackage = \"accelerator\"", Some("cachelib")),
            ("[dependencies]\naccelerator-core = \"1\"", Some("accelerator_core")),
            ("[dependencies]\naccelerator-core = \"1\"\naccelerator = \"1\"", Some("accelerator")),
            (
                "[dependencies]\naccelerator-core = \"1\"\n[dev-dependencies]\nx.package = \"accelerator\"",
                Some("accelerator_core"),
            ),
            ("[dev-dependencies]\nx.package = \"accelerator\"", Some("x")),
            ("[build-dependencies]\nx.package = \"accelerator\"", Some("x")),
            ("[target.'cfg(unix)'.dependencies]\nx.package = \"accelerator\"", Some("x")),
            ("[target.\"x86_64-unknown-linux-gnu\".dev-dependencies.x]\npackage = \"accelerator\"", Some("x")),
            (
                "[package]\nname = \"accelerator-core\"\n[dev-dependencies]\naccelerator = \"1\"",
                Some("accelerator_core"),
            ),
            ("[package]\nname = \"accelerator\"\n[dependencies]\naccelerator-core = \"1\"", Some("accelerator")),
            ("[dependencies]\nserde = \"1\"", None),
            ("[dependencies]\naccelerator = { package = \"other\" }", None),
        ] {
            assert_eq!(found(own, "").as_deref(), name, "{own}");
        }
    }

    #[test]
    fn an_inherited_dependency_has_the_package_of_the_workspace() {
        let workspace =
            "[workspace.dependencies]\nx = { package = \"accelerator\", path = \".\" }\naccelerator.path = \".\"";
        assert_eq!(found("[dependencies]\nx.workspace = true", workspace).as_deref(), Some("x"));
        assert_eq!(found("[dependencies]\nx = { workspace = true }", workspace).as_deref(), Some("x"));
        assert_eq!(found("[dependencies]\naccelerator.workspace = true", workspace).as_deref(), Some("accelerator"));
        assert_eq!(found("[dependencies]\nx = \"1\"", workspace), None);
    }
}
