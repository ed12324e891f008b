//! Which rows a run measures: the command line, and the servers that there are.

use std::collections::BTreeSet;
use std::fmt;

use regex::Regex;

use crate::rows::{Bench, Row};

/// Samples of a row, unless the command line says otherwise.
pub const SAMPLES: usize = 60;

/// A variable that makes every run a short look: for the CI, which shows that commands work and measures nothing.
pub const QUICK: &str = "ACCELERATOR_BENCH_QUICK";

/// Whether [`QUICK`] is set, and not to 0.
pub fn is_quick(environment: impl Fn(&str) -> Option<String>) -> bool {
    environment(QUICK).is_some_and(|value| !matches!(value.as_str(), "" | "0"))
}

/// Options of Criterion's that take a value.
const VALUED: [&str; 14] = [
    "--baseline",
    "--baseline-lenient",
    "--color",
    "--confidence-level",
    "--format",
    "--load-baseline",
    "--measurement-time",
    "--noise-threshold",
    "--nresamples",
    "--output-format",
    "--profile-time",
    "--sample-size",
    "--save-baseline",
    "--warm-up-time",
];

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct Selection {
    /// What the filter selects, in order.
    pub benches: Vec<Bench>,
    /// What needs a server that is not there.
    pub left_out: Vec<LeftOut>,
    /// The filter, to tell later what was selected.
    pub filter: String,
    /// `--list`.
    pub lists: bool,
    /// Not `cargo test --benches`, which asks for one quick look.
    pub measures: bool,
    /// Samples of a row.
    pub samples: usize,
}

/// Rows that need a server that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The variable that has no server's URL.
    pub variable: &'static str,
    /// How many rows.
    pub rows: usize,
    /// Their groups.
    pub groups: Vec<String>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left out: {} rows ({}): {} names no server", self.rows, self.groups.join(", "), self.variable)
    }
}

impl Selection {
    /// From the arguments and the environment.
    ///
    /// # Errors
    /// One line, if the filter is no regular expression.
    pub fn new(args: &[String], environment: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let quick = is_quick(&environment);
        let has = |name: &str| args.iter().any(|arg| arg == name);
        let is_value = |i: usize| i > 0 && VALUED.contains(&args[i - 1].as_str());
        let given = args.iter().enumerate().find(|(i, arg)| !arg.starts_with('-') && !is_value(*i));
        let filter = match given {
            Some((_, filter)) if has("--exact") => format!("^{}$", regex::escape(filter)),
            Some((_, filter)) => filter.clone(),
            None if quick => only(&Row::all().iter().filter(|row| row.is_key()).map(Row::id).collect::<Vec<_>>()),
            None => String::new(),
        };
        let matches = pattern(&filter)?;
        let benches = Bench::all().into_iter().filter(|bench| matches.is_match(&bench.id())).collect();
        let mut selection = Self {
            benches,
            left_out: Vec::new(),
            filter,
            lists: has("--list"),
            measures: has("--bench") && !has("--test"),
            samples: if quick { 10 } else { option(args, "--sample-size").unwrap_or(SAMPLES) },
        };
        selection.leave_out(|variable| environment(variable).is_some_and(|url| names_a_server(&url)));
        Ok(selection)
    }

    /// Of the servers that the selected rows need.
    #[must_use]
    pub fn variables(&self) -> BTreeSet<&'static str> {
        self.benches.iter().filter_map(Bench::server).collect()
    }

    fn leave_out(&mut self, is_there: impl Fn(&str) -> bool) {
        for bench in &self.benches {
            let Some(variable) = bench.server().filter(|variable| !is_there(variable)) else { continue };
            let id = bench.id();
            let group = id.split('/').next().unwrap_or_default().to_owned();
            match self.left_out.iter_mut().find(|out| out.variable == variable) {
                Some(out) => {
                    out.rows += 1;
                    if !out.groups.contains(&group) {
                        out.groups.push(group);
                    }
                }
                None => self.left_out.push(LeftOut { variable, rows: 1, groups: vec![group] }),
            }
        }
        if !self.lists {
            self.benches.retain(|bench| bench.server().is_none_or(&is_there));
        }
    }
}

/// A filter; the empty one selects all.
///
/// # Errors
/// One line.
pub fn pattern(filter: &str) -> Result<Regex, String> {
    Regex::new(filter).map_err(|error| {
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("the filter {filter:?} is no regular expression: {why}")
    })
}

/// A filter for these rows and no others.
#[must_use]
pub fn only(ids: &[String]) -> String {
    format!("^({})$", ids.iter().map(|id| regex::escape(id)).collect::<Vec<_>>().join("|"))
}

/// Port 0 is nobody's.
#[must_use]
pub fn names_a_server(url: &str) -> bool {
    let address = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = address.split(['/', '?']).next().unwrap_or_default();
    !host.is_empty() && !host.ends_with(":0")
}

/// The value of `--name VALUE` or `--name=VALUE`.
fn option(args: &[String], name: &str) -> Option<usize> {
    let value = args.iter().enumerate().find_map(|(i, arg)| match arg.strip_prefix(name)? {
        "" => args.get(i + 1).map(String::as_str),
        rest => rest.strip_prefix('='),
    });
    value?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(args: &[&str], environment: &[(&str, &str)]) -> Selection {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let value = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Selection::new(&args, value).expect("a good command line")
    }

    fn ids(selection: &Selection) -> Vec<String> {
        selection.benches.iter().map(Bench::id).collect()
    }

    #[test]
    fn values_of_options_are_no_filters() {
        let all = select(&["--bench"], &[]);
        assert_eq!(ids(&select(&["--sample-size", "20", "--bench"], &[])), ids(&all));
        assert_eq!(select(&["--sample-size", "20"], &[]).samples, 20);
        assert_eq!(select(&["--sample-size=30"], &[]).samples, 30);
        assert_eq!(all.samples, SAMPLES);
        assert_eq!(ids(&select(&["--bench", "^limit/clock"], &[])), ["limit/clock/read"]);
        let exact = select(&["moka+none/single_key/hit/macro", "--exact"], &[]);
        assert_eq!(ids(&exact), ["moka+none/single_key/hit/macro"]);
    }

    #[test]
    fn a_run_measures_and_a_list_or_a_test_does_not() {
        assert!(select(&["--bench"], &[]).measures);
        assert!(!select(&["--bench", "--test"], &[]).measures);
        assert!(!select(&[], &[]).measures, "cargo test --benches");
        assert!(select(&["--bench", "--list"], &[]).lists);
    }

    #[test]
    fn a_quick_look_is_at_the_key_rows() {
        let quick = select(&["--bench", "--sample-size=60"], &[(QUICK, "1")]);
        assert_eq!((quick.benches.len(), quick.samples), (8, 10));
        assert!(ids(&quick).iter().all(|id| id.starts_with("moka+none/") && !id.ends_with("/static")));
        assert_eq!(ids(&select(&["--bench"], &[(QUICK, "0")])), ids(&select(&["--bench"], &[])));
    }

    #[test]
    fn a_url_without_a_port_to_connect_to_names_no_server() {
        for url in ["", "redis://127.0.0.1:0", "redis://127.0.0.1:0/", "127.0.0.1:0"] {
            assert!(!names_a_server(url), "{url}");
        }
        for url in ["redis://127.0.0.1:6379", "redis://localhost", "127.0.0.1:11211", "redis://127.0.0.1:10"] {
            assert!(names_a_server(url), "{url}");
        }
    }

    #[test]
    fn rows_without_a_server_are_left_out_and_counted_and_a_list_has_them() {
        let here = [("ACCELERATOR_BENCH_REDIS_URL", "redis://127.0.0.1:6379")];
        let none = select(&["--bench"], &[("ACCELERATOR_BENCH_REDIS_URL", "redis://127.0.0.1:0")]);
        assert!(none.benches.iter().all(|bench| bench.server().is_none()));
        let told: Vec<String> = none.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(
            told[0],
            "left out: 48 rows (none+redis, limit, moka+redis, mini-moka+redis, quick-cache+redis): \
             ACCELERATOR_BENCH_REDIS_URL names no server"
        );
        assert_eq!(none.variables().len(), 0);
        let redis = select(&["--bench"], &here);
        assert_eq!(redis.variables().into_iter().collect::<Vec<_>>(), ["ACCELERATOR_BENCH_REDIS_URL"]);
        assert_eq!(redis.benches.len(), none.benches.len() + 48);
        let list = select(&["--bench", "--list"], &[]);
        assert_eq!(list.benches.len(), Bench::all().len());
    }

    #[test]
    fn a_bad_filter_is_told_in_one_line() {
        let error = pattern("moka(").expect_err("it has one parenthesis");
        assert!(!error.contains('\n') && error.contains("moka("), "{error}");
    }

    #[test]
    fn only_what_is_named_is_selected() {
        let only = pattern(&only(&["moka+none/single_key/hit/macro".to_owned()])).expect("a good filter");
        assert!(only.is_match("moka+none/single_key/hit/macro"));
        assert!(!only.is_match("mini-moka+none/single_key/hit/macro"));
    }
}
