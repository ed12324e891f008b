//! The checker as its users meet it. What needs servers is in `scripts/check-l2.sh`.

#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

use std::process::{Command, Output};

use serde_json::Value;

fn checker(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_accelerator-checker")).args(args).output().unwrap()
}

/// Exit code 0, and the JSON, which is all there is on stdout.
fn clean(args: &[&str]) -> Value {
    let output = checker(args);
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {text}{said}");
    serde_json::from_str(&text).unwrap()
}

/// Exit code 2, nothing on stdout, and one line on stderr with all of `words`.
fn refused(args: &[&str], words: &[&str]) {
    let output = checker(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: no {word:?} in {said:?}");
    }
}

#[test]
fn a_run_in_one_process_is_clean_and_counts() {
    let json = clean(&["--backend", "memory", "--processes", "1", "--ops", "20000", "--keys", "64", "--json"]);
    let of = |field: &str| json[field].as_i64().unwrap();
    assert!(of("ops") >= 20_000 && of("reads_judged") > of("ops") && of("hits") > 0 && of("loads") > 0, "{json}");
    for field in ["stale_reads", "stale_at_rest", "loader_healthy_errors", "recovery_ms_max", "flights_left"] {
        assert_eq!(of(field), 0, "{field}: {json}");
    }
    assert!(of("max_call_ms") > 0 && of("max_timeout_ms") > 0 && json["rss_growth_kib"].is_i64(), "{json}");
}

#[test]
fn a_run_with_slow_loads_is_clean() {
    let args = ["--backend", "memory", "--processes", "1", "--ops", "20000", "--keys", "64", "--slow-loads", "300"];
    let json = clean(&[&args[..], &["--json"]].concat());
    assert_eq!((&json["stale_reads"], &json["slow_loads_ms"]), (&0.into(), &300.into()), "{json}");
}

#[test]
fn a_run_beside_write_guards_is_clean() {
    let json =
        clean(&["--backend", "memory", "--processes", "1", "--ops", "20000", "--keys", "64", "--guards", "--json"]);
    let of = |field: &str| json[field].as_i64().unwrap();
    assert!(of("ops") >= 20_000 && of("reads_judged") > of("ops") && of("hits") > 0 && of("loads") > 0, "{json}");
    for field in ["stale_reads", "stale_at_rest", "loader_healthy_errors", "flights_left", "unconfirmed_left"] {
        assert_eq!(of(field), 0, "{field}: {json}");
    }
    assert_eq!(json["guards"], true, "{json}");
}

#[test]
fn envelopes_that_are_none_are_refused() {
    let json = clean(&["envelopes", "--n", "10000", "--json"]);
    assert_eq!((&json["accepted"], &json["panics"], &json["n"]), (&0.into(), &0.into(), &10_000.into()));
    assert!(json["memory"].as_u64().unwrap() <= 4 << 20 && json["setups"].as_u64().unwrap() > 10, "{json}");
    assert!(json["controls"].as_u64().unwrap() > 0, "{json}");
}

#[test]
fn a_storm_on_a_slow_body_runs_it_once() {
    for batch in [&[][..], &["--batch"]] {
        let small = ["storm", "--callers", "200", "--body-ms", "400", "--loader-timeout-ms", "100", "--json"];
        let json = clean(&[&small, batch].concat());
        assert_eq!((&json["bodies"], &json["right"]), (&1.into(), &200.into()), "{json}");
        assert!(json["last_ms"].as_u64().unwrap() >= 400, "{json}");
    }
}

#[test]
fn without_a_bus_older_values_are_found() {
    // Neither an L2 nor a bus: no server.
    let small = ["--ops", "8000", "--keys", "1000", "--bound-ms", "50", "--json"];
    let output = checker(&[&["bus", "--l2", "none", "--bus", "none"], &small[..]].concat());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{json}");
    for found in ["stale_beyond_bound", "stale_at_rest", "hits", "loads"] {
        assert!(json[found].as_u64().unwrap() > 0, "{found}: {json}");
    }
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("version") && said.contains("Acknowledged"), "{said}");
}

#[test]
fn bad_usage_is_refused() {
    refused(&[], &["--backend", "redis", "memcached"]);
    refused(&["--backend", "postgres"], &["--backend", "redis", "memcached"]);
    refused(&["--backend", "redis", "--ops", "0"], &["--ops", "whole number"]);
    refused(&["--backend", "redis", "--chaos", "fire=1"], &["--chaos", "restart=N"]);
    refused(&["--backend", "redis", "--url", "redis://127.0.0.1", "--chaos", "stop=1"], &["--chaos", "--url"]);
    refused(&["--backend", "memory"], &["--processes 1"]);
    refused(&["--backend", "memory", "--processes", "1", "--chaos", "stop=1"], &["--chaos", "server"]);
    refused(&["--backend", "redis", "--pauses", "0"], &["--pauses", "whole number"]);
    refused(&["--backend", "redis", "--slow-loads", "901"], &["--slow-loads", "900"]);
    refused(&["--backend", "redis", "--pauses", "250", "--chaos", "stop=1"], &["--pauses", "--chaos"]);
    refused(&["--backend", "redis", "--pauses", "250", "--url", "redis://127.0.0.1"], &["--pauses", "--url"]);
    refused(&["--backend", "memory", "--processes", "1", "--pauses", "250"], &["--pauses", "server"]);
    refused(&["--backend", "redis", "--guards", "--no-leases"], &["--guards", "leases"]);
    refused(&["--backend", "redis", "--guards", "--chaos", "restart=1"], &["--guards", "restart"]);
    refused(&["--backend", "redis", "--keys", "3"], &["--keys", "16"]);
    refused(&["--backend", "redis", "--frobnicate"], &["--frobnicate"]);
    refused(&["--backend", "redis", "--chaos", "kill=1"], &["kill=N", "bus"]);
    refused(&["bus"], &["--l2", "--bus"]);
    refused(&["bus", "--l2", "memory", "--bus", "redis"], &["--l2", "redis", "memcached", "none"]);
    refused(&["bus", "--l2", "none", "--bus", "none", "--chaos", "kill=1"], &["--chaos", "--bus redis"]);
    refused(&["bus", "--l2", "none", "--bus", "none", "--loss", "20"], &["--loss", "--bus redis"]);
    refused(&["bus", "--l2", "none", "--bus", "redis", "--loss", "0"], &["--loss", "whole number"]);
    refused(&["bus", "--l2", "none", "--bus", "redis", "--keys", "3"], &["--keys", "16"]);
    refused(&["fleet", "--seconds", "0"], &["--seconds", "whole number"]);
    refused(&["cold-key"], &["--backend"]);
    refused(&["cold-key", "--backend", "memory"], &["memory", "redis"]);
    refused(&["envelopes", "--n", "many"], &["--n", "whole number"]);
    refused(&["envelope"], &["envelope"]);
    refused(&["storm", "--callers", "0"], &["--callers", "whole number"]);
}

#[test]
fn a_password_is_in_no_message() {
    for args in [
        &["redis://app:hunter2@h"][..],
        &["--backend=redis://app:hunter2@h"],
        &["--backend", "redis", "--ur=redis://app:hunter2@h"],
        &["--backend", "redis", "--url", "redis://app:hunter2?x@h", "--ops", "1000", "--processes", "1"],
        &["cold-key", "--backend", "redis", "--url", "redis://app:hunter2", "--processes", "1"],
        &["--backend", "memcached", "--url", "app:hunter2@h", "--ops", "1000", "--processes", "1"],
    ] {
        let output = checker(args);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success() && !said.contains("hunter2"), "{args:?}: {said}");
    }
}

#[test]
fn help_is_help() {
    for args in [
        &["--help"][..],
        &["cold-key", "--help"],
        &["envelopes", "-h"],
        &["storm", "--help"],
        &["bus", "-h"],
        &["fleet", "-h"],
    ] {
        let output = checker(args);
        assert!(output.status.success() && !output.stdout.is_empty(), "{args:?}");
    }
}
