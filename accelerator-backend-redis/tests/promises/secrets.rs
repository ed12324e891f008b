//! A login is in no text: not in errors, not in `Debug`, not in the log.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use accelerator_backend_redis::RedisStore;
use accelerator_core::{L2Store, StoreErrorKind};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{builder, comes_true};

/// An error with all its sources.
fn all(error: &dyn Error) -> String {
    let mut text = format!("{error:#} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, " {error:#} {error:?}");
        source = error.source();
    }
    text
}

/// Everything that is said of a URL: by the builder, and by a store that can't connect.
fn said(url: &str) -> String {
    let builder = || RedisStore::builder().url(url);
    let mut said = format!("{:?}", builder());
    match builder().build() {
        Ok(store) => {
            let _ = write!(said, " {store:?}");
        }
        Err(error) => said += &all(&error),
    }
    said
}

#[test]
fn a_url_that_was_not_understood_is_not_shown() {
    for (url, says) in [
        ("redis://user:hunter2?x@host", "a ?, # or / stands before the @"),
        ("redis://user:hunter2#x@host", "a ?, # or / stands before the @"),
        ("redis://user:hunter2/x@host", "a ?, # or / stands before the @"),
        ("rediss://user:12?hunter2@host", "a ?, # or / stands before the @"),
        ("redis://app:hunter2", "bad port"),
        ("redis://:hunter2", "bad port"),
        ("redis://app:hunter2/0", "bad port"),
        ("redis://h:99999", "bad port"),
        ("redis://app:hunter2@", "bad host"),
        ("redis://app:hunter2@h/hunter2", "database"),
        ("redis:app:hunter2@h", "Missing hostname"),
        ("app:hunter2@h", "bad scheme"),
        ("hunter2", "bad scheme"),
        ("http://app:hunter2@h", "bad scheme"),
        ("redis://hunter2@h", "a user without a password"),
        ("redis://app:hunter2@h?hunter2=1", "a parameter"),
        ("unix://app:hunter2@h/s", "Missing path"),
        ("unix:///s?pass=a&hunter2=1", "a parameter"),
        ("unix:///s?db=hunter2", "database"),
    ] {
        let said = said(url);
        assert!(said.contains("url = (not shown): ") && said.contains(says), "{url}: {said}");
        assert!(said.contains("percent-encode the password"), "{url}: {said}");
        assert!(!said.contains("hunter2") && !said.contains("99999"), "{url}: {said}");
    }
}

#[test]
fn of_a_url_that_was_understood_the_server_is_shown() {
    for (url, says) in [
        ("redis://app:hunter2@cache.example:7000/3", "redis://cache.example:7000/3"),
        ("valkey://:hunter2@[::1]", "redis://[::1]:6379/0"),
        ("redis://:hun@ter2@h", "redis://h:6379/0"),
        ("redis://app:hunter2%3Fx@h", "redis://h:6379/0"),
        ("unix:///run/redis.sock?pass=hunter2&user=app", "unix:///run/redis.sock/0"),
        ("unix:///app:hunter2@/run/redis.sock", "unix://***@/run/redis.sock/0"),
    ] {
        let said = said(url);
        assert!(said.contains(says), "{url}: {said}");
        assert!(!said.contains("hunter2") && !said.contains("ter2"), "{url}: {said}");
    }
}

/// What reads as a server is one, and is named: nobody can tell a port from a password of digits. What can't be a port is
/// not shown.
#[test]
fn what_reads_as_a_server_is_named() {
    for (url, says) in [
        ("redis://app:1234", "redis://app:1234/0"),
        ("redis://app:65535/3", "redis://app:65535/3"),
        ("valkey://[::1]:1234", "redis://[::1]:1234/0"),
        ("unix:///app:1234", "unix:///app:1234/0"),
    ] {
        let said = said(url);
        assert_eq!(said.matches(says).count(), 2, "{url}: {said}");
    }
    for scheme in ["redis", "rediss", "valkey", "valkeys"] {
        for rest in ["app:1234567", "app:65536", "app:1234x", "[::1]:1234567", "u:p@app:1234567"] {
            let url = format!("{scheme}://{rest}");
            let said = said(&url);
            assert!(said.contains("bad port: it takes a number up to 65535"), "{url}: {said}");
            assert!(!said.contains("app:") && !said.contains("1234567"), "{url}: {said}");
        }
    }
}

#[test]
fn a_secret_is_in_no_text_wherever_it_stands() {
    let mut random = fastrand::Rng::with_seed(14);
    let schemes = ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "http", "REDIS", " redis", "rédis"];
    let forms = [
        "X://U:S@h",
        "X://:S@h:7/2",
        "X://U:S",
        "X://U:S@",
        "X:U:S@h",
        "U:S@h",
        "X://S@h",
        "X://U:S@[::1]:1/x",
        "X://U:S@h:x",
        "X://U:S@h/1?protocol=resp3",
        "X://U:S@h#insecure",
        "X://U:S/0",
        "X:///s?user=U&pass=S",
        "X:///U:S@/s",
    ];
    let keys = ["?", "#", "/", "@", ":", "%", "%40", "ä", " ", "\\", "[", "]", "&", "=", "1?", "12/", "3#"];
    for _ in 0..20_000 {
        let mut word = || -> String { (0..6).map(|_| random.lowercase()).collect() };
        let words = [word(), word(), word()];
        let [user, a, b] = &words;
        let key = keys[random.usize(..keys.len())];
        let secret = match random.u8(..4) {
            0 => format!("{key}{a}{b}"),
            1 => format!("{a}{b}{key}"),
            2 => format!("{a}{b}"),
            _ => format!("{a}{key}{b}"),
        };
        let form = forms[random.usize(..forms.len())];
        let url = form.replace('X', schemes[random.usize(..schemes.len())]);
        // What stands where the host belongs is one, for all that anybody can tell.
        let no_host =
            !form.contains("@h") && !form.contains("@[") && !form.contains("@/") && key.contains(['@', '/', '?', '#']);
        if no_host {
            continue;
        }
        let url = url.replace('U', user).replace('S', &secret);
        let said = said(&url);
        let shown = words.iter().find(|word| said.contains(*word));
        assert_eq!(shown, None, "{url}: {said}");
    }
}

/// A server that answers everything with one line, in which it repeats what it has read.
fn parrot() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut heard = [0; 4096];
            let read = stream.read(&mut heard).unwrap_or_default();
            let text = String::from_utf8_lossy(&heard[..read]).replace("\r\n", " ");
            let _ = stream.write_all(format!("-ERR what is {text}\r\n").as_bytes());
        }
    });
    addr
}

#[tokio::test]
async fn a_server_that_repeats_the_login_is_not_quoted() {
    let addr = parrot();
    for url in [format!("redis://app:hunter2@{addr}"), format!("redis://:hunter2@{addr}/3")] {
        let error = builder(url).connect().await.expect_err("no Redis");
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
        assert!(error.to_string().contains("repeat the password"), "{error}");
        assert!(!all(&error).contains("hunter2"), "{error:?}");
    }
}

/// The log, as text.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<String>>);

impl Default for Log {
    fn default() -> Self {
        crate::silent::every_thread_is_asked();
        Self(Arc::default())
    }
}

impl Log {
    pub(crate) fn text(&self) -> String {
        self.0.lock().expect("no panic").clone()
    }
}

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0.lock().expect("no panic"), "{field} = {value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn the_log_and_the_errors_of_calls_name_the_server_alone() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    // Nobody listens there; nothing is what it seems at the other one.
    for (addr, says) in [("127.0.0.1:1".to_owned(), "no connection"), (parrot(), "repeat the password")] {
        let store = builder(format!("redis://app:hunter2@{addr}")).build().expect("a store");
        comes_true("the reason", async || {
            let error = store.get("k").await.expect_err("no connection");
            assert!(!all(&error).contains("hunter2"), "{error:?}");
            error.to_string().contains(says)
        })
        .await;
        assert!(!format!("{store:?}").contains("hunter2"));
    }
    let said = log.text();
    assert!(said.contains("redis://127.0.0.1:1/0") && !said.contains("hunter2"), "{said}");
}
