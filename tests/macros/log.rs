//! What `ignore` leaves behind: a record of target `accelerator::macros`, not more often than once a second for each
//! macro; and what a load leaves behind that was given up, of target `accelerator::load`. That limit is the process's, so each test here runs in a process of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use accelerator::Cache;
use accelerator::macros::{cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::common::{Away, Kind, Row, Rows, User, Users, Wide, World, lock, ms, user};

impl<C: Cache<u64, Arc<User>>> Users<C> {
    #[cacheable(cache = self.cache, key = id)]
    async fn read(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn read_all(&self, ids: &[u64]) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }

    #[cache_put(cache = self.cache, key = id, value = user(id, 5))]
    async fn write(&self, id: u64) -> Result<(), Away> {
        self.source.find(id).await.map(drop)
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn evict(&self, id: u64) -> Result<(), Away> {
        self.source.find(id).await.map(drop)
    }

    #[cache_evict_batch(cache = self.cache, keys = ids)]
    async fn evict_all(&self, ids: &[u64]) -> Result<(), Away> {
        self.source.find_many(ids).await.map(drop)
    }

    #[cacheable(cache = self.cache, key = id, on_cache_error = "propagate")]
    async fn read_or_say(&self, id: u64) -> Result<Row, Wide> {
        Ok(self.source.find(id).await?)
    }
}

/// One record: its fields as text.
type Fields = BTreeMap<String, String>;

/// Keeps the records of our target.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<Fields>>>);

struct Reader(Fields);

impl Visit for Reader {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Records {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["accelerator::macros", "accelerator::load"].contains(&metadata.target())
    }
    fn event(&self, event: &Event<'_>) {
        let mut reader = Reader(Fields::from([("level".to_owned(), event.metadata().level().to_string())]));
        event.record(&mut reader);
        lock(&self.0).push(reader.0);
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Whether this process is for this test alone; where not, the test has been run in one that is.
fn is_alone<K: Kind>(w: &World<K>) -> bool {
    const ALONE: &str = "ACCELERATOR_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let (_, own) = w.test.split_once("::").expect("the name of this binary comes first");
    let exe = std::env::current_exe().expect("a test is a program");
    let out = Command::new(exe).args(["--exact", own]).env(ALONE, "1").output().expect("a process");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && said.contains("1 passed"), "{said}");
    false
}

on_all!(
    an_ignored_error_of_the_cache_is_a_record,
    nothing_else_is_a_record,
    a_cache_that_is_down_is_no_flood_of_records
);

/// The first load that is given up says which option to raise; the next ones say nothing for a minute.
#[tokio::test(start_paused = true)]
async fn a_load_that_is_given_up_is_a_record() {
    let own = concat!(module_path!(), "::a_load_that_is_given_up_is_a_record");
    let w = World::<crate::common::Level>::new().named(own);
    if !is_alone(&w) {
        return;
    }
    let records = Records::default();
    let _here = tracing::subscriber::set_default(records.clone());
    let users = w.users_with(|b| b.loader_timeout(ms(300)));
    for id in 4711..4720 {
        let never = std::future::pending::<Result<Row, accelerator::LoadError>>();
        users.level().get_or_load(&id, never).await.expect_err("it is given up");
    }
    let records = lock(&records.0).clone();
    assert_eq!(records.len(), 1, "{records:?}");
    let said = format!("{records:?}");
    for word in ["WARN", "users", "loader_timeout = 300ms", "raise loader_timeout(..)"] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    assert!(!said.contains("4711"), "no keys in a log: {said}");
}

async fn an_ignored_error_of_the_cache_is_a_record<K: Kind>(w: World<K>) {
    if !is_alone(&w) {
        return;
    }
    let records = Records::default();
    let _here = tracing::subscriber::set_default(records.clone());
    let users = w.users();
    users.stop().await;
    users.read(4711).await.expect("the body's answer");
    users.read_all(&[4711]).await.expect("the body's answer");
    users.write(4711).await.expect("the body's answer");
    users.evict(4711).await.expect("the body's answer");
    users.evict_all(&[4711]).await.expect("the body's answer");
    let records = lock(&records.0).clone();
    let said: Vec<_> = records.iter().map(|fields| (&*fields["cache_macro"], &*fields["op"])).collect();
    let expected = [
        ("cacheable", "begin"),
        ("cacheable_batch", "begin"),
        ("cache_put", "set"),
        ("cache_evict", "del"),
        ("cache_evict_batch", "mdel"),
    ];
    assert_eq!(said, expected);
    for fields in &records {
        assert_eq!((&*fields["level"], &*fields["result"], &*fields["left_out"]), ("WARN", "ignored", "0"));
        assert!(
            fields["error"].contains("the cache was shut down") || fields["error"].contains("is stopped"),
            "{fields:?}"
        );
        assert!(!format!("{fields:?}").contains("4711"), "no keys in a log: {fields:?}");
    }
}

async fn nothing_else_is_a_record<K: Kind>(w: World<K>) {
    if !is_alone(&w) {
        return;
    }
    let records = Records::default();
    let _here = tracing::subscriber::set_default(records.clone());
    let users = w.users();
    users.read(1).await.expect("loads");
    w.source.away(true);
    assert!(users.read(2).await.is_err() && users.write(2).await.is_err());
    users.stop().await;
    assert!(users.read_or_say(3).await.is_err());
    assert_eq!(*lock(&records.0), Vec::<Fields>::new());
}

async fn a_cache_that_is_down_is_no_flood_of_records<K: Kind>(w: World<K>) {
    if !is_alone(&w) {
        return;
    }
    let records = Records::default();
    let _here = tracing::subscriber::set_default(records.clone());
    let users = w.users();
    users.stop().await;
    let start = Instant::now();
    for id in 0..1000 {
        users.read(id).await.expect("the body's answer");
        users.write(id).await.expect("the body's answer");
    }
    let (lines, seconds) = (lock(&records.0).len() as u64, start.elapsed().as_secs());
    assert!((2..=2 * (1 + seconds)).contains(&lines), "{lines} lines in {seconds} s");
}
