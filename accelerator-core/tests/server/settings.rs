//! What a server was asked to be, it is.

use std::process::Command;

use accelerator_core::testkit::server::{MemcachedServer, NatsServer, RedisServer};

use super::wire::{ask, comes_true, connect, once, read};

#[test]
fn maxmemory_refuses_writes_beyond_it() {
    let Some(server) = RedisServer::builder().maxmemory("2mb").start() else { return };
    let mut client = connect(&server.addr()).expect("a connection");
    assert_eq!(ask(&mut client, "SET small v\r\n").expect("an answer"), "+OK\r\n");
    let value = "v".repeat(60_000);
    let refused = (0..100).find_map(|n| {
        let answer = ask(&mut client, &format!("SET {n} {value}\r\n")).expect("an answer");
        (answer != "+OK\r\n").then_some(answer)
    });
    assert!(refused.expect("100 values of 60 kB in 2 MB").starts_with("-OOM"));
    assert_eq!(ask(&mut client, "GET small\r\n").expect("an answer"), "$1\r\nv\r\n", "nothing is evicted");
}

#[test]
fn an_acl_user_may_do_what_its_rules_say_and_no_more() {
    let server = RedisServer::builder().acl_user("app", "p/w", "~a.* +get").acl_user("other", "o", "+ping").start();
    let Some(server) = server else { return };
    let mut client = connect(&server.addr()).expect("a connection");
    assert!(ask(&mut client, "AUTH app wrong\r\n").expect("an answer").starts_with("-WRONGPASS"));
    assert_eq!(ask(&mut client, "AUTH app p/w\r\n").expect("an answer"), "+OK\r\n");
    assert_eq!(ask(&mut client, "GET a.1\r\n").expect("an answer"), "$-1\r\n");
    for forbidden in ["GET b.1\r\n", "SET a.1 v\r\n", "PING\r\n"] {
        assert!(ask(&mut client, forbidden).expect("an answer").starts_with("-NOPERM"), "{forbidden}");
    }
    assert_eq!(once(&server.addr(), "SET a.1 v\r\n").expect("an answer"), "+OK\r\n", "the default user");
    let url = format!("redis://app:p%2Fw@127.0.0.1:{}", server.port());
    assert_eq!(server.url_as("app", "p/w"), url);
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
}

#[test]
fn a_server_that_wants_a_password_starts_too() {
    let Some(server) = RedisServer::builder().arg("--requirepass", "secret").start() else { return };
    assert!(once(&server.addr(), "PING\r\n").expect("an answer").starts_with("-NOAUTH"));
    server.restart();
    assert_eq!(once(&server.addr(), "AUTH secret\r\n").expect("an answer"), "+OK\r\n");
}

#[test]
fn tls_is_spoken_with_a_certificate_of_its_authority() {
    let Some(server) = RedisServer::builder().tls().start() else { return };
    let ca = server.ca_path().expect("with TLS there is an authority");
    assert_eq!(std::fs::read_to_string(&ca).ok().as_deref(), server.ca_pem());
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
    let ping = |ca: &std::path::Path| {
        let port = server.port().to_string();
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", "127.0.0.1", "-p", &port, "--tls", "--cacert"]).arg(ca).arg("PING");
        String::from_utf8_lossy(&cli.output().expect("redis-cli, which comes with the server").stdout).into_owned()
    };
    assert_eq!(ping(&ca), "PONG\n");
    let other = RedisServer::builder().tls().start().and_then(|other| other.ca_path().map(|ca| (other, ca)));
    let (_other, foreign) = other.expect("another server");
    assert_eq!(ping(&foreign), "", "a certificate of another authority");
    assert!(!once(&server.addr(), "PING\r\n").unwrap_or_default().contains("PONG"), "without TLS");

    server.restart();
    assert_eq!(ping(&ca), "PONG\n", "after a restart");
    drop(server);
    assert!(!ca.exists(), "its files are gone with it");
}

#[test]
fn arguments_reach_the_server() {
    if let Some(server) = RedisServer::builder().arg("--maxclients", "7").arg("--databases", "3").start() {
        assert!(once(&server.addr(), "CONFIG GET maxclients\r\n").expect("an answer").ends_with("$1\r\n7\r\n"));
        assert!(once(&server.addr(), "CONFIG GET databases\r\n").expect("an answer").ends_with("$1\r\n3\r\n"));
        assert!(once(&server.addr(), "CONFIG GET save\r\n").expect("an answer").ends_with("$0\r\n\r\n"));
    }
    // Without CAS: every item has the number 0.
    if let Some(server) = MemcachedServer::builder().arg("-C").arg("-I").arg("2m").start() {
        let mut client = connect(&server.addr()).expect("a connection");
        assert_eq!(ask(&mut client, "ms k 1\r\nv\r\n").expect("an answer"), "HD\r\n");
        assert_eq!(ask(&mut client, "mg k c\r\n").expect("an answer"), "HD c0\r\n");
    }
}

/// What a NATS server says of a line, behind its first words.
fn of_nats(server: &NatsServer, login: &str, line: &str) -> String {
    let mut client = connect(&server.addr()).expect("a connection");
    let connect = format!("CONNECT {{\"verbose\":false{login}}}\r\n{line}PING\r\n");
    let mut said = ask(&mut client, &connect).expect("its first words");
    while !["PONG\r\n", "-ERR"].iter().any(|word| said.contains(word)) {
        said += &read(&mut client).expect("an answer");
    }
    let (info, behind) = said.split_once("\r\n").expect("a line");
    assert!(info.starts_with("INFO "), "{info}");
    behind.to_owned()
}

#[test]
fn users_of_nats_may_do_what_their_permissions_say_and_a_reload_changes_them() {
    let user = |permissions| NatsServer::builder().user("app", "word", permissions);
    let Some(server) = user("publish: \"a.>\", subscribe: \"b\"").start() else { return };
    let login = ",\"user\":\"app\",\"pass\":\"word\"";
    assert!(of_nats(&server, "", "").contains("Authorization Violation"));
    assert_eq!(of_nats(&server, login, "PUB a.b 0\r\n\r\n"), "PONG\r\n");
    assert!(of_nats(&server, login, "PUB b 0\r\n\r\n").contains("Permissions Violation"));
    assert!(of_nats(&server, login, "SUB a.b 1\r\n").contains("Permissions Violation"));
    server.reload(user("publish: \"b\""));
    let granted = || of_nats(&server, login, "PUB b 0\r\n\r\n") == "PONG\r\n";
    assert!(comes_true(granted), "what was granted");
    server.restart();
    assert!(granted());
    assert_eq!(server.url_as("app", "word"), format!("nats://app:word@127.0.0.1:{}", server.port()));
}

#[test]
fn settings_reach_nats_and_tls_is_offered() {
    let Some(server) = NatsServer::builder().config("max_payload: 2048").tls().start() else { return };
    let mut client = connect(&server.addr()).expect("a connection");
    let info = read(&mut client).expect("its first words");
    assert!(info.contains("\"max_payload\":2048") && info.contains("\"tls_required\":true"), "{info}");
    assert!(server.ca_pem().is_some_and(|pem| pem.contains("CERTIFICATE")));
    assert_eq!(server.url(), format!("tls://127.0.0.1:{}", server.port()));
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let start = || RedisServer::builder().arg("--no-such-option", "1").start().is_some();
    let Err(panic) = std::panic::catch_unwind(start) else {
        assert!(!start(), "started with an unknown option");
        return;
    };
    let message = panic.downcast_ref::<String>().expect("a message");
    assert!(message.contains("redis-server") && message.contains("no-such-option"), "{message}");
}
