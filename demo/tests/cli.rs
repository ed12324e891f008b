//! The demo as its users meet it: the binary, its options, its files.

#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use accelerator::testkit::server;
use serde_json::Value;
use tempfile::TempDir;

const REQUESTS: u64 = 3000;

/// A directory with a trace of 3000 requests, skewed towards a few of 400 keys.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut key = || (random.f64().powi(3) * 400.0) as u32 | 0x0800_0000;
    let trace: Vec<u8> = (0..REQUESTS).flat_map(|_| key().to_le_bytes()).collect();
    std::fs::write(directory.path().join("plain"), &trace).unwrap();
    std::fs::write(directory.path().join("packed"), packed(&trace)).unwrap();
    directory
}

fn packed(trace: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut encoder = liblzma::read::XzEncoder::new(trace, 6);
    std::io::Read::read_to_end(&mut encoder, &mut packed).unwrap();
    packed
}

fn demo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_accelerator-demo")).args(args).output().unwrap()
}

/// Runs with `--json` and checks what holds for every run.
fn counts(trace: &Path, args: &[&str]) -> Value {
    let mut all = vec!["--trace", trace.to_str().unwrap(), "--json", "--capacity", "100"];
    all.extend(args);
    let output = demo(&all);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let json: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let of = |field: &str| json[field].as_u64().unwrap();
    assert_eq!(of("requests"), of("l1_hits") + of("l2_hits") + of("loads") + of("joined"), "{json}");
    let ratio = (of("l1_hits") + of("l2_hits")) as f64 / of("requests") as f64;
    assert!((json["hit_ratio"].as_f64().unwrap() - ratio).abs() < 1e-9, "{json}");
    for field in ["ops_per_s", "p50_us", "p99_us", "direct_ops_per_s", "speedup"] {
        assert!(json[field].as_f64().unwrap() > 0.0, "{field}: {json}");
    }
    json
}

/// Exit code 2, nothing on stdout, and one line on stderr with all of `words`.
fn refused(args: &[&str], words: &[&str]) {
    let output = demo(args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: no {word:?} in {said:?}");
    }
}

/// What `--l2` may be here, and its name in the report. Servers that are missing fail the test, or are left out where
/// that is allowed: both are said.
fn shared_stores() -> Vec<(String, &'static str)> {
    let mut all = vec![("none".to_owned(), "none"), ("memory".to_owned(), "memory")];
    let path = std::env::var_os("PATH").unwrap();
    let is_here = |program| std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if let Some(url) = server::redis_url() {
        all.push((url.to_owned(), "redis"));
        all.extend(is_here("redis-server").then(|| ("redis".to_owned(), "redis")));
    }
    if let Some(address) = server::memcached_addr() {
        all.push((format!("memcache://{address}"), "memcached"));
        all.extend(is_here("memcached").then(|| ("memcached".to_owned(), "memcached")));
    }
    all
}

#[test]
fn every_pair_of_stores_works() {
    let directory = directory();
    let trace = directory.path().join("plain");
    let shared = shared_stores();
    for l1 in ["moka", "mini-moka", "quick-cache", "none"] {
        for (option, l2) in &shared {
            if (l1, *l2) == ("none", "none") {
                continue;
            }
            let json = counts(&trace, &["--l1", l1, "--l2", option, "--compare-raw"]);
            assert_eq!((json["l1"].as_str(), json["l2"].as_str()), (Some(l1), Some(*l2)));
            assert_eq!(json["requests"], REQUESTS);
            assert_eq!(json["l1_hits"] == 0, l1 == "none", "{json}");
            // What does not fit into L1 is in L2: each key is loaded once.
            assert_eq!(json["l2_hits"] == 0, *l2 == "none", "{json}");
            assert_eq!(json["loads"] == json["distinct"], *l2 != "none", "{json}");
            assert!(json["raw_hit_ratio"].is_f64(), "{json}");
        }
    }
}

#[test]
fn a_server_that_was_named_is_left_empty() {
    let Some(server) = server::RedisServer::start() else { return };
    let directory = directory();
    counts(&directory.path().join("plain"), &["--l2", &server.url()]);
    let mut connection = TcpStream::connect(server.addr()).unwrap();
    connection.write_all(b"INFO stats\r\nDBSIZE\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    connection.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("\r\n:0\r\n+OK\r\n"), "{said}");
    assert!(!said.contains("keyspace_misses:0\r\n"), "nothing was ever asked of it: {said}");
}

#[test]
fn a_password_is_in_no_message() {
    for args in [
        &["--l2", "valkey://app:hunter2@h"][..],
        &["--l2=redis:app:hunter2@h"],
        &["--l2", "app:hunter2"],
        &["redis://app:hunter2@h"],
        &["--l2", "redis://app:hunter2?x@h"],
        &["--l2", "redis://app:hunter2"],
        &["--l2", "memcache://app:hunter2@h"],
    ] {
        let output = demo(args);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success() && said.contains("error: "), "{args:?}: {said}");
        assert!(!said.contains("hunter2"), "{args:?}: {said}");
    }
}

#[test]
fn xz_and_plain_traces_give_the_same_counts() {
    let directory = directory();
    let [plain, packed] = ["plain", "packed"].map(|name| counts(&directory.path().join(name), &["--l1", "moka"]));
    for field in ["requests", "distinct", "loads", "l1_hits", "l2_hits", "joined", "raw_hit_ratio", "capacity"] {
        assert_eq!(plain[field], packed[field], "{field}");
    }
    assert!(plain["raw_hit_ratio"].is_null());
}

#[test]
fn threads_share_the_work() {
    let directory = directory();
    let json = counts(&directory.path().join("packed"), &["--threads", "4", "--l2", "memory", "--requests", "2500"]);
    assert_eq!(json["requests"], 2500);
}

#[test]
fn the_table_shows_the_comparison() {
    let directory = directory();
    let trace = directory.path().join("packed");
    let output = demo(&["--trace", trace.to_str().unwrap(), "--requests", "999999", "--compare-raw"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    for word in
        ["3,000 requests", "requests/s", "p50", "p99 ", "p99.9", "hit ratio", "database queries", "alone", "=> "]
    {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
}

#[test]
fn help_is_help() {
    for flag in ["-h", "--help"] {
        let output = demo(&[flag]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        for option in ["trace", "l1", "l2", "capacity", "requests", "threads", "compare-raw", "json"] {
            assert!(text.contains(&format!("--{option}")), "{option}");
        }
    }
}

#[test]
fn bad_options_are_refused() {
    for option in ["--capacity", "--requests", "--threads"] {
        for value in ["0", "-1", "many", "99999999999999999999"] {
            refused(&[&format!("{option}={value}")], &[option, "whole number from 1"]);
        }
        refused(&[option], &[option]);
    }
    refused(&["--l1", "redis"], &["--l1", "moka", "mini-moka", "quick-cache", "none"]);
    refused(&["--l2", "postgres"], &["--l2", "memory", "none", "redis://", "memcache://"]);
    // The discard port: nobody answers.
    refused(&["--requests", "1", "--l2", "redis://127.0.0.1:9"], &["--l2", "127.0.0.1:9"]);
    refused(&["--requests", "1", "--l2", "memcache://127.0.0.1:9"], &["--l2", "127.0.0.1:9"]);
    refused(&["--requests", "1", "--l2", "memcache://"], &["--l2"]);
    refused(&["--l1", "none"], &["--l1", "--l2 memory", "moka"]);
    refused(&["--capasity", "7"], &["--capasity", "--capacity"]);
    refused(&["word"], &["word", "--help"]);
}

#[test]
fn bad_traces_are_refused() {
    let directory = directory();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let packed = std::fs::read(directory.path().join("packed")).unwrap();
    let mut damaged = packed.clone();
    damaged[packed.len() / 2] ^= 0xff;
    let mut bad = vec![
        (directory.path().join("missing"), "check the path"),
        (directory.path().to_owned(), "can't read the file"),
        (file("empty", &[]), "empty"),
        (file("odd", &[0; 4001]), "4-byte keys"),
        (file("odd.xz", &self::packed(&[0; 4002])), "4-byte keys"),
        (file("damaged", &damaged), "damaged"),
    ];
    // In the header, in the data, in the index, in the footer.
    for keep in [7, packed.len() / 2, packed.len() - 14, packed.len() - 1] {
        bad.push((file(&format!("cut-{keep}"), &packed[..keep]), "cut short"));
    }
    for (path, word) in bad {
        let path = path.to_str().unwrap();
        refused(&["--trace", path], &["--trace", path, word]);
        // Also where the good part would be enough.
        refused(&["--trace", path, "--requests", "10"], &["--trace", word]);
    }
}
