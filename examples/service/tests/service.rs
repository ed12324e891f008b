//! What the annotations of the service do, seen by the queries that reach the table.

#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accelerator::testkit::ManualClock;
use accelerator_example_service::api;
use accelerator_example_service::cache::builder;
use accelerator_example_service::repo::UserRepo;
use accelerator_example_service::service::UserService;
use accelerator_example_service::user::{User, UserError};
use rusqlite::Connection;

/// A service over a table with the users 1 to 9.
struct Rig {
    service: UserService,
    /// The same database, for what happens behind the service's back.
    table: Connection,
    queries: Arc<Mutex<Vec<String>>>,
    /// No query runs while the test holds this.
    gate: Arc<Mutex<()>>,
    clock: ManualClock,
}

impl Rig {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("file:users-{}?mode=memory&cache=shared", NEXT.fetch_add(1, Ordering::Relaxed));
        let (queries, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(())));
        let (log, wait) = (queries.clone(), gate.clone());
        let watch = move |sql: &'static str, ids: &[u64]| {
            let verb = sql.split(' ').next().unwrap();
            let form = if sql.contains(" IN ") { " many" } else { "" };
            log.lock().unwrap().push(format!("{verb}{form} {ids:?}"));
            drop(wait.lock().unwrap());
        };
        let repo = UserRepo::watched(Connection::open(&name).unwrap(), watch).unwrap();
        let table = Connection::open(&name).unwrap();
        for id in 1..10 {
            let User { id, name, email } = user(id);
            table.execute("INSERT INTO users VALUES (?1, ?2, ?3)", (id, name, email)).unwrap();
        }
        let clock = ManualClock::new();
        // Nobody waits in vain here, however slow the machine is.
        let cache = builder().clock(clock.clone()).loader_timeout(Duration::from_secs(600)).build().unwrap();
        Self { service: UserService::new(Arc::new(cache), repo), table, queries, gate, clock }
    }

    /// The queries since the last time.
    fn queries(&self) -> Vec<String> {
        std::mem::take(&mut *self.queries.lock().unwrap())
    }

    /// From now on every query fails.
    fn break_table(&self) {
        self.table.execute("ALTER TABLE users RENAME TO broken", []).unwrap();
    }

    fn mend_table(&self) {
        self.table.execute("ALTER TABLE broken RENAME TO users", []).unwrap();
    }

    /// The name in the table.
    fn name(&self, id: u64) -> Option<String> {
        self.table.query_row("SELECT name FROM users WHERE id = ?1", [id], |row| row.get(0)).ok()
    }
}

fn user(id: u64) -> User {
    User { id, name: format!("user {id}").into(), email: format!("{id}@example.org").into() }
}

/// Another user under the same id.
fn other(id: u64) -> User {
    User { name: "other".into(), ..user(id) }
}

/// What a batch answers for these; above 9 there are none.
fn users(ids: &[u64]) -> HashMap<u64, Option<User>> {
    ids.iter().map(|id| (*id, (*id < 10).then(|| user(*id)))).collect()
}

fn is_database<T>(result: Result<T, UserError>) -> bool {
    matches!(result, Err(UserError::Database(_)))
}

const NONE: [&str; 0] = [];

#[tokio::test]
async fn get_user_asks_the_table_once() {
    let rig = Rig::new();
    for _ in 0..3 {
        assert_eq!(rig.service.get_user(7).await.unwrap(), Some(user(7)));
    }
    assert_eq!(rig.queries(), ["SELECT [7]"]);
    assert_eq!(rig.service.get_user(8).await.unwrap(), Some(user(8)));
    assert_eq!(rig.queries(), ["SELECT [8]"]);
}

#[tokio::test]
async fn get_user_asks_again_when_the_ttl_is_over() {
    let rig = Rig::new();
    rig.service.get_user(7).await.unwrap();
    rig.clock.tick(Duration::from_secs(300));
    rig.service.get_user(7).await.unwrap();
    assert_eq!(rig.queries(), ["SELECT [7]", "SELECT [7]"]);
}

#[tokio::test]
async fn get_user_honours_a_known_absent_user_until_null_ttl_is_over() {
    let rig = Rig::new();
    for _ in 0..3 {
        assert_eq!(rig.service.get_user(77).await.unwrap(), None);
    }
    assert_eq!(rig.queries(), ["SELECT [77]"]);
    rig.clock.tick(Duration::from_secs(30));
    assert_eq!(rig.service.get_user(77).await.unwrap(), None);
    assert_eq!(rig.queries(), ["SELECT [77]"]);
}

#[tokio::test]
async fn callers_who_ask_together_share_one_query_with_a_batch_among_them() {
    let rig = Rig::new();
    let (gate, service) = (rig.gate.clone(), &rig.service);
    let held = gate.lock().unwrap();
    let release = async { drop(held) };
    let (one, two, batch, ()) =
        tokio::join!(service.get_user(7), service.get_user(7), service.batch_get_users(vec![7]), release);
    assert_eq!((one.unwrap(), two.unwrap()), (Some(user(7)), Some(user(7))));
    assert_eq!(batch.unwrap(), users(&[7]));
    assert_eq!(rig.queries(), ["SELECT [7]"]);
}

#[tokio::test]
async fn batch_get_users_sends_only_the_missing_ids_each_once_in_their_order() {
    let rig = Rig::new();
    rig.service.get_user(2).await.unwrap();
    rig.service.get_user(77).await.unwrap();
    assert_eq!(rig.queries(), ["SELECT [2]", "SELECT [77]"]);
    let ids = vec![9, 2, 5, 9, 77, 1, 5, 88];
    assert_eq!(rig.service.batch_get_users(ids.clone()).await.unwrap(), users(&ids));
    assert_eq!(rig.queries(), ["SELECT many [9, 5, 1, 88]"]);
    assert_eq!(rig.service.batch_get_users(ids.clone()).await.unwrap(), users(&ids));
    assert_eq!(rig.queries(), NONE, "all is known now");
    assert_eq!(rig.service.get_user(9).await.unwrap(), Some(user(9)));
    assert_eq!(rig.service.get_user(88).await.unwrap(), None);
    assert_eq!(rig.queries(), NONE, "single reads know what the batch found");
}

#[tokio::test]
async fn batch_get_users_of_nothing_asks_nothing() {
    let rig = Rig::new();
    assert_eq!(rig.service.batch_get_users(vec![]).await.unwrap(), HashMap::new());
    assert_eq!(rig.queries(), NONE);
}

#[tokio::test]
async fn save_user_puts_what_it_saved() {
    let rig = Rig::new();
    rig.service.get_user(7).await.unwrap();
    rig.service.get_user(77).await.unwrap();
    rig.queries();
    for id in [7, 77, 78] {
        rig.service.save_user(other(id)).await.unwrap();
        assert_eq!(rig.name(id).as_deref(), Some("other"));
        assert_eq!(rig.service.get_user(id).await.unwrap(), Some(other(id)), "cached, known absent, and not cached");
    }
    assert_eq!(rig.queries(), ["INSERT [7]", "INSERT [77]", "INSERT [78]"]);
}

#[tokio::test]
async fn delete_user_evicts() {
    let rig = Rig::new();
    rig.service.get_user(7).await.unwrap();
    rig.service.delete_user(7).await.unwrap();
    assert_eq!(rig.name(7), None);
    assert_eq!(rig.service.get_user(7).await.unwrap(), None);
    assert_eq!(rig.queries(), ["SELECT [7]", "DELETE [7]", "SELECT [7]"]);
}

#[tokio::test]
async fn batch_delete_users_evicts_each_and_nothing_else() {
    let rig = Rig::new();
    rig.service.batch_get_users(vec![1, 2, 3, 4]).await.unwrap();
    rig.service.batch_delete_users(vec![1, 3, 3, 77]).await.unwrap();
    assert_eq!(rig.queries(), ["SELECT many [1, 2, 3, 4]", "DELETE many [1, 3, 3, 77]"]);
    let mut left = users(&[2, 4]);
    left.extend([(1, None), (3, None)]);
    assert_eq!(rig.service.batch_get_users(vec![1, 2, 3, 4]).await.unwrap(), left);
    assert_eq!(rig.queries(), ["SELECT many [1, 3]"]);
}

#[tokio::test]
async fn a_failed_read_reaches_its_caller_and_is_not_cached() {
    let rig = Rig::new();
    rig.service.get_user(2).await.unwrap();
    rig.break_table();
    assert!(is_database(rig.service.get_user(7).await));
    assert!(is_database(rig.service.batch_get_users(vec![2, 7]).await));
    assert_eq!(rig.service.batch_get_users(vec![2]).await.unwrap(), users(&[2]), "hits need no table");
    rig.mend_table();
    assert_eq!(rig.service.batch_get_users(vec![2, 7]).await.unwrap(), users(&[2, 7]));
    assert_eq!(rig.service.get_user(7).await.unwrap(), Some(user(7)));
    assert_eq!(rig.queries(), ["SELECT [2]", "SELECT [7]", "SELECT many [7]", "SELECT many [7]"]);
}

#[tokio::test]
async fn a_failed_query_answers_all_who_waited_for_it() {
    let rig = Rig::new();
    rig.break_table();
    let (gate, service) = (rig.gate.clone(), &rig.service);
    let held = gate.lock().unwrap();
    let release = async { drop(held) };
    let (one, two, batch, ()) =
        tokio::join!(service.get_user(7), service.get_user(7), service.batch_get_users(vec![7]), release);
    assert!(is_database(one) && is_database(two) && is_database(batch));
    assert_eq!(rig.queries(), ["SELECT [7]"]);
}

#[tokio::test]
async fn a_failed_write_leaves_the_cache_alone() {
    let rig = Rig::new();
    let before = users(&[7, 8, 77]);
    assert_eq!(rig.service.batch_get_users(vec![7, 8, 77]).await.unwrap(), before);
    rig.break_table();
    assert!(is_database(rig.service.save_user(other(7)).await));
    assert!(is_database(rig.service.save_user(other(77)).await));
    assert!(is_database(rig.service.delete_user(7).await));
    assert!(is_database(rig.service.batch_delete_users(vec![7, 8]).await));
    rig.queries();
    assert_eq!(rig.service.batch_get_users(vec![7, 8, 77]).await.unwrap(), before);
    assert_eq!(rig.service.get_user(7).await.unwrap(), Some(user(7)));
    assert_eq!(rig.queries(), NONE);
}

#[tokio::test]
async fn the_handlers_answer_for_the_service() {
    let rig = Rig::new();
    let service = &rig.service;
    let said = |response: api::Response| (response.status, response.body);
    let line = |id: u64| format!("{id} user {id} <{id}@example.org>");
    assert_eq!(said(api::get_user(service, "7").await), (200, line(7)));
    assert_eq!(said(api::get_user(service, "77").await), (404, "there is no such user".to_owned()));
    for wrong in ["", "x", "-1", "9223372036854775808"] {
        assert_eq!(api::get_user(service, wrong).await.status, 400, "{wrong:?}");
    }
    assert_eq!(said(api::list_users(service, "8,77,7").await), (200, format!("{}\n{}", line(8), line(7))));
    assert_eq!(said(api::list_users(service, "").await), (200, String::new()));
    assert_eq!(api::put_user(service, "7", "other", "7@example.org").await.status, 204);
    assert_eq!(said(api::get_user(service, "7").await), (200, "7 other <7@example.org>".to_owned()));
    assert_eq!(api::delete_user(service, "7").await.status, 204);
    assert_eq!(api::delete_users(service, "8,9").await.status, 204);
    assert_eq!(said(api::list_users(service, "6,7,8,9").await), (200, line(6)));
    rig.break_table();
    assert_eq!(said(api::get_user(service, "1").await), (503, "the database refused".to_owned()));
}

/// The service is the template of the guide; it adds docs and `pub`, and has lines that rustfmt likes.
#[test]
fn the_service_is_the_template_of_the_guide() {
    let guide = include_str!("../../../docs/guide/macros.md");
    let guide = guide.split("impl UserService {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let here = include_str!("../src/service/user_service.rs");
    let here = here.split("impl UserService {").nth(2).unwrap().split("\n}\n").next().unwrap();
    let words = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("///"));
        lines.collect::<Vec<_>>().join(" ").replace("pub ", "").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words(here), words(guide));
    assert_eq!(words(here).matches("#[cache").count(), 5);
}

#[test]
fn the_program_says_what_each_annotation_saved() {
    let output = Command::new(env!("CARGO_BIN_EXE_accelerator-example-service")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    for annotation in ["cacheable", "cacheable_batch", "cache_put", "cache_evict", "cache_evict_batch"] {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(annotation)).unwrap();
        let figures: Vec<_> = line.split_whitespace().rev().take(3).collect();
        let [saved, queries, calls] = figures[..] else { panic!("{line}") };
        let (calls, queries): (f64, f64) = (calls.parse().unwrap(), queries.parse().unwrap());
        assert!(0.0 < queries && queries < calls, "{line}");
        assert_eq!(saved, format!("{:.1}%", 100.0 * (1.0 - queries / calls)), "{line}");
    }
}
