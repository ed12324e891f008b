//! What happens without the programs, and when the test process ends. Each in a process of its own: this test program
//! again, with another environment and one of the tests below.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use accelerator_core::testkit::server::{
    MemcachedServer, NatsServer, RedisServer, memcached_addr, nats_url, redis_url,
};

use super::wire::{comes_true, connect, exists};

#[test]
#[ignore = "run by the tests of this file"]
fn start_redis() {
    assert!(RedisServer::start().is_none());
}

#[test]
#[ignore = "run by the tests of this file"]
fn start_memcached() {
    assert!(MemcachedServer::start().is_none());
}

#[test]
#[ignore = "run by the tests of this file"]
fn start_nats() {
    assert!(NatsServer::start().is_none());
}

#[test]
#[ignore = "run by the tests of this file"]
fn print_shared() {
    let shared = || [redis_url(), memcached_addr(), nats_url()].map(|place| place.unwrap_or("none"));
    assert_eq!(shared(), shared());
    println!("\nshared {}", shared().join(" "));
    // Until the other process has seen enough.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
#[ignore = "run by the tests of this file"]
fn print_stopped() {
    let Some(server) = RedisServer::start() else { return println!("\nstopped none") };
    server.stop();
    println!("\nstopped {}", server.id().expect("a stopped server"));
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn this_program(test: &str, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", &format!("missing::{test}"), "--ignored", "--nocapture"]);
    command.env_remove("ACCELERATOR_SKIP_SERVERS");
    for server in ["REDIS", "MEMCACHED", "NATS"] {
        command.env_remove(format!("ACCELERATOR_TEST_{server}_URL"));
    }
    command.envs(environment.iter().copied());
    command
}

fn run(test: &str, environment: &[(&str, &str)]) -> (Output, String) {
    let output = this_program(test, environment).output().expect("this program runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, said)
}

#[test]
fn a_missing_program_fails_the_test_with_the_line_that_installs_it() {
    for (test, line) in [
        ("start_redis", "apt-get install redis-server"),
        ("start_memcached", "apt-get install memcached"),
        ("start_nats", "apt-get install nats-server"),
    ] {
        for skip in ["", "0"] {
            let (output, said) = run(test, &[("PATH", "/nowhere"), ("ACCELERATOR_SKIP_SERVERS", skip)]);
            assert!(!output.status.success() && said.contains(line), "{said}");
        }
    }
}

#[test]
fn a_missing_program_is_skipped_where_asked_and_said_so() {
    for (test, program) in
        [("start_redis", "redis-server"), ("start_memcached", "memcached"), ("start_nats", "nats-server")]
    {
        let (output, said) = run(test, &[("PATH", "/nowhere"), ("ACCELERATOR_SKIP_SERVERS", "1")]);
        assert!(output.status.success(), "{said}");
        let line = said.lines().find(|line| line.contains("skipped")).expect("a line that says so");
        assert!(line.contains(program) && line.contains(&format!("missing::{test}")), "{line}");
    }
}

#[test]
fn given_servers_are_used_as_they_are() {
    let (output, said) = run(
        "print_shared",
        &[
            ("PATH", "/nowhere"),
            ("ACCELERATOR_TEST_REDIS_URL", "redis://u:p@cache.example:1/2"),
            ("ACCELERATOR_TEST_MEMCACHED_URL", "memcache://cache.example:2/"),
            ("ACCELERATOR_TEST_NATS_URL", "nats://u:p@bus.example:3"),
        ],
    );
    assert!(output.status.success(), "{said}");
    assert!(said.contains("shared redis://u:p@cache.example:1/2 cache.example:2 nats://u:p@bus.example:3\n"), "{said}");
}

/// Starts a process with servers, in a process group of its own; with what it printed of them.
fn keeping(test: &str) -> (Child, Vec<String>) {
    let skip = std::env::var("ACCELERATOR_SKIP_SERVERS").unwrap_or_default();
    let mut command = this_program(test, &[("ACCELERATOR_SKIP_SERVERS", &skip)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let mut child = command.spawn().expect("this program");
    let (_, word) = test.split_once('_').expect("print_ and the word before what is printed");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let printed = lines.find_map(|line| line.strip_prefix(word).map(str::to_owned)).expect("a line about servers");
    // What it prints from now on is the test runner's, and nobody's concern.
    std::thread::spawn(move || lines.for_each(drop));
    let words = printed.split_whitespace().filter(|word| *word != "none");
    (child, words.map(|word| word.replace("redis://", "").replace("nats://", "")).collect())
}

#[test]
fn shared_servers_end_with_the_process_that_shares_them() {
    let (mut child, addresses) = keeping("print_shared");
    for addr in &addresses {
        connect(addr).expect("a shared server");
    }
    drop(child.stdin.take());
    assert!(child.wait().expect("an end").success());
    for addr in &addresses {
        assert!(comes_true(|| connect(addr).is_err()), "{addr} is still there");
    }
}

#[test]
fn servers_end_with_a_process_that_is_killed() {
    let (mut child, addresses) = keeping("print_shared");
    child.kill().expect("a kill");
    child.wait().expect("an end");
    for addr in &addresses {
        assert!(comes_true(|| connect(addr).is_err()), "{addr} is still there");
    }
}

/// A Ctrl-C goes to all processes of the terminal's group. A stopped server doesn't act on it; its watchdog must live.
#[test]
fn a_stopped_server_ends_with_a_process_that_is_interrupted() {
    let (mut child, ids) = keeping("print_stopped");
    let interrupt = format!("kill -INT -{}", child.id());
    assert!(Command::new("/bin/sh").args(["-c", &interrupt]).status().expect("sh").success());
    child.wait().expect("an end");
    for id in &ids {
        let id = id.parse().expect("a process id");
        assert!(comes_true(|| !exists(id)), "process {id} is still there");
    }
}
