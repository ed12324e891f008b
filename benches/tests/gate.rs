//! The gate's binaries and the script, by what they print and how they exit. Nothing here measures: the runs are made up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use accelerator_benches::baseline::rustc;
use serde_json::{Value, json};

const CHECK: &str = env!("CARGO_BIN_EXE_check_bench_regression");
const EXPORT: &str = env!("CARGO_BIN_EXE_export_bench_baseline");

const HIT: &str = "moka+none/single_key/hit/macro";
const MISS: &str = "moka+none/single_key/miss/macro";

/// A folder of one test, as a run of the matrix leaves it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("criterion")).expect("a folder");
        let folder = Self(path);
        folder.write("counts.jsonl", "");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    /// Criterion's own file of a row.
    fn estimates(&self, id: &str, mean_ns: f64) -> &Self {
        let (pair, row) = id.split_once('/').expect("a pair and a row");
        let point = |ns: f64| json!({ "point_estimate": ns });
        let text = json!({ "mean": point(mean_ns), "median": point(mean_ns - 1.0) }).to_string();
        self.write(&format!("criterion/{pair}/{}/new/estimates.json", row.replace('/', "_")), &text)
    }

    /// A run of these rows, each beside a limit of 50 ns.
    fn run(&self, rows: &[(&str, f64)]) -> &Self {
        rows.iter().for_each(|(id, mean_ns)| _ = self.estimates(id, *mean_ns));
        self.record("", &rows.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    }

    fn record(&self, filter: &str, selected: &[&str]) -> &Self {
        let beside = |id: &&str| ((*id).to_owned(), json!({ "limit": "limit/moka/get", "limit_ns": 50.0 }));
        let rows: serde_json::Map<String, Value> = selected.iter().map(beside).collect();
        let run = json!({ "filter": filter, "selected": selected, "rows": rows });
        self.write("criterion/cache_path_bench.run.json", &run.to_string())
    }

    /// A baseline in which both rows take 100 ns, twice their limit.
    fn baseline(&self, counts: &Value) -> &Self {
        let row = json!({ "mean_ns": 100.0, "median_ns": 99.0, "ratio_to_limit": 2.0 });
        let baseline =
            json!({ "version": 1, "benchmarks": { HIT: row, MISS: row }, "counts": counts, "rustc": rustc() });
        self.write("baseline.json", &baseline.to_string())
    }

    fn run_binary(&self, binary: &str, args: &[&str]) -> Output {
        let mut command = Command::new(binary);
        command.current_dir(&self.0).env_remove("CRITERION_HOME").args(["--criterion-dir", "criterion"]);
        // A cargo that says no: nothing is measured unless a test means it.
        command.env("CARGO", self.path("cargo")).args(args).output().expect("the binary starts")
    }

    fn check(&self, args: &[&str]) -> (i32, String) {
        let fixed = ["--baseline", "baseline.json", "--counts", "counts.jsonl"];
        outcome(&self.run_binary(CHECK, &[&fixed, args].concat()))
    }
}

fn outcome(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().expect("an exit code"), String::from_utf8(text).expect("text"))
}

fn counts(allocs: f64, instructions: Option<f64>) -> Value {
    json!({
        "row": HIT, "l1": "moka", "l2": "none", "via": "macro", "allocs": allocs, "bytes": 0.0,
        "instructions": instructions, "round_trips": 0.0, "loads": 0.0, "allocs_per_waiter": null,
    })
}

#[test]
fn the_baseline_has_the_rows_of_the_latest_run_and_no_leftovers() {
    let folder = Folder::new("leftovers");
    folder.run(&[(HIT, 100.0), (MISS, 450.0)]).estimates("moka+none/single_key/hit/static", 7.0);
    folder.write("counts.jsonl", &counts(0.0, Some(900.0)).to_string());
    let (code, text) = outcome(&folder.run_binary(EXPORT, &["--output", "-", "--counts", "counts.jsonl"]));
    assert_eq!(code, 0, "{text}");
    let written: Value = serde_json::from_str(&text).expect("JSON");
    let row = |mean: f64| json!({ "mean_ns": mean, "median_ns": mean - 1.0, "ratio_to_limit": mean / 50.0 });
    let rows = json!({ HIT: row(100.0), MISS: row(450.0) });
    let counted = json!([counts(0.0, Some(900.0))]);
    assert_eq!(written, json!({ "version": 1, "benchmarks": rows, "counts": counted, "rustc": rustc() }));
}

#[test]
fn a_baseline_goes_where_it_is_told_to() {
    let folder = Folder::new("output");
    folder.run(&[(HIT, 100.0)]);
    let (code, text) = outcome(&folder.run_binary(EXPORT, &["--output", "new/b.json", "--counts", "counts.jsonl"]));
    assert_eq!(code, 0, "{text}");
    let written = fs::read_to_string(folder.path("new/b.json")).expect("it was written");
    let written: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(written["benchmarks"][HIT]["ratio_to_limit"], json!(2.0));
}

#[test]
fn a_run_that_was_cut_off_is_no_baseline() {
    let folder = Folder::new("cut_off");
    folder.estimates(HIT, 100.0).record("", &[HIT, MISS]);
    let (code, text) = outcome(&folder.run_binary(EXPORT, &["--output", "-", "--counts", "counts.jsonl"]));
    assert_eq!((code, text.lines().count()), (2, 1), "{text}");
    assert!(text.contains(MISS), "{text}");
}

#[test]
fn within_the_threshold_passes_and_both_figures_are_printed() {
    let folder = Folder::new("within");
    let (code, text) = folder.run(&[(HIT, 114.0), (MISS, 100.0)]).baseline(&json!([])).check(&[]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains(&format!("[CHECK] {HIT}: 2.280 x limit/moka/get (baseline 2.000, +14.0 %), 114.0 ns")),
        "{text}"
    );
    assert!(text.lines().last().is_some_and(|line| line.starts_with("[PASS]")), "{text}");
}

#[test]
fn beyond_the_threshold_is_a_regression() {
    let folder = Folder::new("beyond");
    let (code, text) = folder.run(&[(HIT, 116.0), (MISS, 100.0)]).baseline(&json!([])).check(&["--again", "0"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("[FAIL]  {HIT}: 2.320 x")), "{text}");
    assert_eq!(folder.check(&["--again", "0", "--threshold", "0.20"]).0, 0);
}

#[test]
fn ratios_count_unless_nanoseconds_are_asked_for() {
    let folder = Folder::new("absolute");
    folder.run(&[(HIT, 150.0), (MISS, 150.0)]).baseline(&json!([]));
    // The same machine, half as fast today.
    let run = fs::read_to_string(folder.path("criterion/cache_path_bench.run.json")).expect("the record");
    folder.write("criterion/cache_path_bench.run.json", &run.replace("50.0", "75.0"));
    let (code, text) = folder.check(&["--again", "0"]);
    assert!(code == 0 && text.contains(&format!("[CHECK] {HIT}: 2.000 x")), "{text}");
    let (code, text) = folder.check(&["--again", "0", "--absolute"]);
    assert!(code == 1 && text.contains(&format!("[FAIL]  {HIT}: 2.000 x")), "{text}");
}

#[test]
fn a_selected_row_that_is_missing_fails() {
    let folder = Folder::new("missing");
    folder.estimates(HIT, 100.0).record("", &[HIT, MISS]).baseline(&json!([]));
    let (code, text) = folder.check(&["--again", "0"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("[FAIL]  {MISS}: was selected and is missing from the run")), "{text}");
}

#[test]
fn a_row_that_the_benchmark_lost_fails_and_one_that_was_filtered_out_does_not() {
    let folder = Folder::new("lost");
    folder.run(&[(HIT, 100.0)]).baseline(&json!([]));
    let (code, text) = folder.check(&[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("[FAIL]  {MISS}: is in the baseline and not in the run")), "{text}");
    assert_eq!(folder.record("hit", &[HIT]).check(&[]).0, 0, "the filter left it out");
    let other = "quick-cache+none/single_key/hit/macro";
    folder.run(&[(other, 100.0)]);
    let (code, text) = folder.check(&[]);
    assert_eq!(code, 0, "another pair: {text}");
    assert!(text.contains(&format!("[WARN]  {other}: is not in the baseline")), "{text}");
}

#[test]
fn counts_are_exact_and_instructions_have_two_percent() {
    let folder = Folder::new("counts");
    folder.run(&[(HIT, 100.0), (MISS, 100.0)]).baseline(&json!([counts(0.0, Some(1000.0))]));
    let with = |row: &Value| folder.write("counts.jsonl", &row.to_string()).check(&[]);
    assert_eq!(with(&counts(0.0, Some(1019.0))).0, 0);
    let (code, text) = with(&counts(1.0, Some(1000.0)));
    assert!(code == 1 && text.contains(&format!("[FAIL]  {HIT}: allocs 0 -> 1")), "{text}");
    let (code, text) = with(&counts(0.0, Some(1030.0)));
    assert!(code == 1 && text.contains("instructions 1000 -> 1030"), "{text}");
    assert_eq!(with(&counts(0.0, None)).0, 0, "no valgrind, no verdict");
    let (code, text) = folder.write("counts.jsonl", "").check(&[]);
    assert!(code == 1 && text.contains("is in the baseline and not in the run"), "{text}");

    // Another compiler counts other instructions, not other allocations.
    let baseline = fs::read_to_string(folder.path("baseline.json")).expect("the baseline");
    folder.write("baseline.json", &baseline.replace(&rustc(), "rustc 1.0.0"));
    let (code, text) = with(&counts(0.0, Some(1030.0)));
    assert!(code == 0 && text.contains("[WARN]  the baseline was counted with another compiler"), "{text}");
    assert_eq!(with(&counts(1.0, Some(1030.0))).0, 1);
}

#[test]
fn counts_alone_need_no_run() {
    let folder = Folder::new("only_counts");
    let before = json!([counts(0.0, Some(1000.0)), { "row": "moka+redis/single_key/hit/macro", "l1": "moka", "l2": "redis",
        "via": "macro", "allocs": 0.0, "bytes": 0.0, "instructions": null, "round_trips": 0.0, "loads": 0.0,
        "allocs_per_waiter": null }]);
    folder.baseline(&before);
    let check = |args: &[&str], row: &Value| {
        folder.write("counts.jsonl", &row.to_string());
        let fixed = ["--baseline", "baseline.json", "--counts", "counts.jsonl", "--only-counts"];
        let mut command = Command::new(CHECK);
        outcome(&command.current_dir(&folder.0).args(fixed).args(args).output().expect("the binary starts"))
    };
    let (code, text) = check(&[], &counts(0.0, Some(1010.0)));
    assert_eq!((code, text.as_str()), (0, "[PASS]  counts of 1 rows: none has grown since the baseline\n"));
    let (code, text) = check(&[], &counts(1.0, Some(1000.0)));
    assert!(code == 1 && text.contains(&format!("[FAIL]  {HIT}: allocs 0 -> 1")), "{text}");
    assert_eq!(check(&["--absolute"], &counts(0.0, None)).0, 2, "there are no times");
    let mut other = counts(0.0, None);
    other["row"] = json!(MISS);
    let (code, text) = check(&[], &other);
    assert!(code == 1 && text.contains(&format!("[FAIL]  {HIT}: is in the baseline and not in the run")), "{text}");
    assert!(!text.contains("redis"), "a pair that was not counted: {text}");
}

#[test]
fn what_cannot_be_read_is_exit_code_2_and_one_line() {
    let folder = Folder::new("unreadable");
    let says = |args: &[&str], word: &str| {
        let (code, text) = folder.check(args);
        assert_eq!((code, text.lines().count()), (2, 1), "{args:?}: {text}");
        assert!(text.contains(word), "{args:?}: {text}");
    };
    says(&[], "no baseline at baseline.json");
    folder.baseline(&json!([]));
    says(&[], "no benchmark run at criterion");
    folder.run(&[(HIT, 100.0)]);
    folder.write("counts.jsonl", "{");
    says(&[], "counts.jsonl, line 1");
    folder.write("baseline.json", "[]");
    says(&[], "baseline.json is not a baseline");
    folder.write("baseline.json", r#"{"version": 2, "benchmarks": {}}"#);
    says(&[], "version 2");
    says(&["--threshold", "0"], "--threshold");
    says(&["--threshold", "fast"], "--threshold");
    says(&["--threshold"], "--threshold");
    says(&["--nonsense"], "--nonsense");
    folder.baseline(&json!([])).record("", &[]).write("counts.jsonl", "");
    says(&[], "selected no row");
    let (code, text) = outcome(&Command::new(CHECK).args(["--absolute", "--help"]).output().expect("it starts"));
    assert!(code == 0 && text.contains("--threshold"), "{text}");
}

/// A cargo whose benchmark takes the times of the file `again`, a line for each call.
#[cfg(unix)]
fn cargo_that_measures(folder: &Folder, times: &[f64]) {
    use std::os::unix::fs::PermissionsExt;
    let lines: String = times.iter().map(|ns| format!("{ns}\n")).collect();
    folder.write("again", &lines);
    folder.write(
        "cargo",
        r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/asked"
ns=$(head -n 1 "$here/again")
sed -i 1d "$here/again"
row=$CRITERION_HOME/moka+none/single_key_hit_macro/new
mkdir -p "$row"
echo "{\"mean\": {\"point_estimate\": $ns}, \"median\": {\"point_estimate\": $ns}}" >"$row/estimates.json"
cp "$here/criterion/cache_path_bench.run.json" "$CRITERION_HOME"
"#,
    );
    fs::set_permissions(folder.path("cargo"), fs::Permissions::from_mode(0o755)).expect("a program");
}

#[test]
#[cfg(unix)]
fn a_slow_row_is_measured_twice_more_before_it_counts() {
    let folder = Folder::new("again");
    folder.run(&[(HIT, 200.0), (MISS, 100.0)]).baseline(&json!([]));
    let asked = || fs::read_to_string(folder.path("asked")).map_or(0, |asked| asked.lines().count());

    cargo_that_measures(&folder, &[200.0, 200.0, 1.0]);
    let (code, text) = folder.check(&[]);
    assert_eq!((code, asked()), (1, 2), "{text}");
    assert!(text.contains(&format!("[FAIL]  {HIT}: 4.000 x")), "{text}");
    let filter = fs::read_to_string(folder.path("asked")).expect("it was asked");
    assert!(filter.contains(r"^(moka\+none/single_key/hit/macro)$"), "only the slow row: {filter}");

    cargo_that_measures(&folder, &[200.0, 101.0]);
    let (code, text) = folder.check(&[]);
    assert_eq!((code, asked()), (0, 4), "{text}");
    assert!(text.contains(&format!("[WARN]  {HIT}: 2.020 x")), "{text}");

    cargo_that_measures(&folder, &[101.0]);
    assert_eq!((folder.check(&[]).0, asked()), (0, 5), "the second time was fast enough");
}

#[test]
#[cfg(unix)]
fn a_gate_that_cannot_measure_again_keeps_its_verdict() {
    let folder = Folder::new("no_cargo");
    folder.run(&[(HIT, 200.0), (MISS, 100.0)]).baseline(&json!([]));
    let (code, text) = folder.check(&[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("[WARN]  cargo could not be started"), "{text}");
}

#[cfg(unix)]
mod script {
    use super::*;

    fn bench_sh(args: &[&str]) -> (i32, String, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/bench.sh");
        let output = Command::new(script).args(args).output().expect("the script starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
    }

    #[test]
    fn help_is_told_wherever_it_is_asked_for() {
        for args in [&["-h"][..], &["--help"], &["regression", "-h"], &["--runs", "2", "-h"], &["--nonsense", "--help"]]
        {
            let (code, out, error) = bench_sh(args);
            assert_eq!((code, error.as_str()), (0, ""), "{args:?}");
            for word in [
                "local",
                "bench-local",
                "baseline",
                "regression",
                "counts",
                "selftest",
                "redis",
                "all",
                "bench-memcached",
                "--run-bench",
            ] {
                assert!(out.contains(word), "{args:?} says nothing of {word}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line_with_the_usage() {
        let valued =
            ["--runs", "--sample-size", "--threshold", "--filter", "--inject", "--redis-url", "--memcached-url"];
        let mut wrong: Vec<Vec<&str>> = valued.iter().map(|option| vec![*option]).collect();
        wrong.extend([
            vec!["--nonsense"],
            vec!["nonsense"],
            vec!["regression", "--threshold", "fast"],
            vec!["regression", "--threshold", "0"],
            vec!["bench-local", "--runs", "0"],
            vec!["bench-local", "--sample-size", "9"],
            vec!["baseline", "regression"],
            vec!["baseline", "--inject", "slow"],
            vec!["selftest", "--inject", "sleep"],
        ]);
        for args in wrong {
            let (code, out, error) = bench_sh(&args);
            assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {error}");
            let lines: Vec<_> = error.lines().collect();
            assert_eq!(lines.len(), 2, "{args:?}: {error}");
            assert!(lines[0].starts_with("error: ") && lines[1].starts_with("usage: "), "{args:?}: {error}");
        }
    }
}

#[test]
fn a_run_is_shown_by_its_filter_and_the_servers_that_it_needs() {
    let folder = Folder::new("shown");
    let filter = r#"^(moka\+none|\"x\"|\\d)/"#;
    folder
        .record(filter, &[HIT, "moka+redis/single_key/hit/macro", "limit/memcached/get", "none+redis/batch/hit/macro"]);
    let (code, said) = outcome(&folder.run_binary(EXPORT, &["--show-run"]));
    assert_eq!((code, said), (0, format!("{filter}\nredis\n")));
    folder.record("", &[HIT]);
    assert_eq!(outcome(&folder.run_binary(EXPORT, &["--show-run"])), (0, "\n\n".to_owned()));
    assert!(!folder.path("docs").exists(), "nothing is written");
}
