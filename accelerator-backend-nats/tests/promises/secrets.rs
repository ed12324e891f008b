//! A login is in no text: not in errors, not in `Debug`, not in the log.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use accelerator_backend_nats::NatsBus;
use accelerator_core::InvalidationBus;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{bus, comes_true, next, pretend};

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

/// Everything that is said of a URL.
fn said(url: &str) -> String {
    let builder = || NatsBus::builder().url(url);
    let mut said = format!("{:?}", builder());
    match builder().build() {
        Ok(bus) => {
            let _ = write!(said, " {bus:?}");
        }
        Err(error) => said += &all(&error),
    }
    said
}

#[test]
fn a_secret_is_in_no_text_wherever_it_stands() {
    let mut random = fastrand::Rng::with_seed(17);
    let schemes = ["nats", "tls", "NATS", " nats", "http", "nâts"];
    let forms = [
        "X://U:S@h",
        "X://:S@h:7",
        "X://S@h",
        "X://U:S@",
        "X:U:S@h",
        "U:S@h",
        "X://U:S@[::1]:1/x",
        "X://U:S@h:x",
        "X://U:S@h?tls=1",
        "X://U:S@h#insecure",
        "X://U:S@h,U:S@g",
    ];
    let keys = ["?", "#", "/", "@", ":", "%", "%40", "ä", " ", "\\", "[", "]", "&", "=", "1?", ","];
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
        // What stands where the host belongs is one, for all that anybody can tell.
        if form == "X://U:S@" && key.contains('@') {
            continue;
        }
        let url = form.replace('X', schemes[random.usize(..schemes.len())]).replace('U', user).replace('S', &secret);
        let said = said(&url);
        let shown = words.iter().find(|word| said.contains(*word));
        assert_eq!(shown, None, "{url}: {said}");
    }
}

#[test]
fn of_a_url_that_was_understood_the_server_is_shown() {
    for (url, says) in [
        ("nats://app:hunter2@bus.example:7000", "nats://bus.example:7000"),
        ("tls://hunter2@[::1]", "tls://[::1]:4222"),
    ] {
        let said = said(url);
        assert!(said.contains(says) && !said.contains("hunter2"), "{url}: {said}");
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

/// Servers that repeat the login, or let nobody in.
#[tokio::test]
async fn the_log_and_the_errors_of_calls_name_the_server_alone() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let parrots = [
        pretend(b"-ERR 'what is app:hunter2?'\r\n"),
        pretend(b"INFO {\"max_payload\":1024}\r\n-ERR 'Authorization Violation of hunter2'\r\n"),
        pretend(b"INFO {\"max_payload\":1024,\"x\":\"hunter2\"}\r\nhunter2\r\n"),
        "nats://127.0.0.1:1".to_owned(),
    ];
    for url in parrots {
        for login in ["app:hunter2@", "hunter2@"] {
            let bus = bus(url.replace("//", &format!("//{login}"))).build().expect("a bus");
            next(&mut bus.listen("t")).await;
            comes_true("an error", async || {
                let Err(error) = bus.publish("t", "news".into()).await else { return false };
                assert!(!all(&error).contains("hunter2"), "{error:?}");
                true
            })
            .await;
            assert!(!format!("{bus:?}").contains("hunter2"));
        }
    }
    let said = log.text();
    assert!(said.contains("repeat the password") && said.contains("nats://127.0.0.1:1"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
