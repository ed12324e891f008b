//! Makes requests, and says what each annotation saved: every call would be one query.

use std::error::Error;
use std::sync::Arc;

use accelerator_example_service::api::{self, Response};
use accelerator_example_service::cache::user_cache;
use accelerator_example_service::repo::UserRepo;
use accelerator_example_service::service::UserService;
use accelerator_example_service::user::User;
use rusqlite::Connection;
use tokio::task::JoinSet;

/// Ids 1 to this exist at the beginning.
const USERS: u64 = 1_000;
/// Ids up to this are asked for.
const ASKED: u64 = 1_200;
/// Clients that ask at the same time.
const CLIENTS: u64 = 16;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    println!("{:<18} {:<40} {:>6} {:>8} {:>6}", "annotation", "the requests", "calls", "queries", "saved");
    row("cacheable", "users one by one, 16 clients at once", cacheable).await?;
    row("cacheable_batch", "pages of 20 users", cacheable_batch).await?;
    row("cache_put", "each user read, saved, read 3 times", cache_put).await?;
    row("cache_evict", "each user read, deleted, read 3 times", cache_evict).await?;
    row("cache_evict_batch", "the same, 20 users per request", cache_evict_batch).await?;
    println!("\nA call is a request that would be one query without the cache. All answers were checked.");
    Ok(())
}

/// Runs one kind of requests on a database and a cache of its own. It says how many it made.
async fn row(annotation: &str, requests: &str, run: impl AsyncFnOnce(Arc<UserService>) -> Outcome<u64>) -> Outcome {
    let repo = UserRepo::new(Connection::open_in_memory()?)?;
    for id in 1..=USERS {
        let (name, email) = (format!("user-{id}").into(), format!("{id}@example.org").into());
        repo.save_user(User { id, name, email }).await?;
    }
    let before = repo.queries();
    let calls = run(Arc::new(UserService::new(user_cache()?, repo.clone()))).await?;
    let queries = repo.queries() - before;
    let saved = 100.0 * (1.0 - queries as f64 / calls as f64);
    println!("{annotation:<18} {requests:<40} {calls:>6} {queries:>8} {saved:>5.1}%");
    Ok(())
}

async fn cacheable(service: Arc<UserService>) -> Outcome<u64> {
    const EACH: u64 = 1_500;
    let mut clients = JoinSet::new();
    for seed in 0..CLIENTS {
        let service = service.clone();
        clients.spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..EACH {
                let id = popular(&mut random);
                check(&api::get_user(&service, &id.to_string()).await, &[id], |id| id <= USERS)?;
            }
            Outcome::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(CLIENTS * EACH)
}

async fn cacheable_batch(service: Arc<UserService>) -> Outcome<u64> {
    const PAGES: u64 = 2_000;
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..PAGES {
        let ids: Vec<u64> = (0..20).map(|_| popular(&mut random)).collect();
        check(&api::list_users(&service, &text(&ids)).await, &ids, |id| id <= USERS)?;
    }
    Ok(PAGES)
}

async fn cache_put(service: Arc<UserService>) -> Outcome<u64> {
    for id in 1..=USERS {
        let (text, name) = (id.to_string(), format!("new-{id}"));
        check(&api::get_user(&service, &text).await, &[id], |_| true)?;
        expect(&api::put_user(&service, &text, &name, "new@example.org").await, 204, "")?;
        for _ in 0..3 {
            expect(&api::get_user(&service, &text).await, 200, &format!("{id} {name} <new@example.org>"))?;
        }
    }
    Ok(5 * USERS)
}

async fn cache_evict(service: Arc<UserService>) -> Outcome<u64> {
    for id in 1..=USERS {
        let text = id.to_string();
        check(&api::get_user(&service, &text).await, &[id], |_| true)?;
        expect(&api::delete_user(&service, &text).await, 204, "")?;
        for _ in 0..3 {
            check(&api::get_user(&service, &text).await, &[id], |_| false)?;
        }
    }
    Ok(5 * USERS)
}

async fn cache_evict_batch(service: Arc<UserService>) -> Outcome<u64> {
    let all: Vec<u64> = (1..=USERS).collect();
    for ids in all.chunks(20) {
        check(&api::list_users(&service, &text(ids)).await, ids, |_| true)?;
        expect(&api::delete_users(&service, &text(ids)).await, 204, "")?;
        for _ in 0..3 {
            check(&api::list_users(&service, &text(ids)).await, ids, |_| false)?;
        }
    }
    Ok(5 * USERS / 20)
}

/// An id; a few are asked for often.
fn popular(random: &mut fastrand::Rng) -> u64 {
    1 + (random.f64().powi(3) * ASKED as f64) as u64
}

fn text(ids: &[u64]) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

/// The answer has the users that there are, as they were at the beginning.
fn check(response: &Response, ids: &[u64], exists: impl Fn(u64) -> bool) -> Outcome {
    let lines: Vec<_> =
        ids.iter().filter(|id| exists(**id)).map(|id| format!("{id} user-{id} <{id}@example.org>")).collect();
    match ids {
        [_] if lines.is_empty() => expect(response, 404, "there is no such user"),
        _ => expect(response, 200, &lines.join("\n")),
    }
}

fn expect(response: &Response, status: u16, body: &str) -> Outcome {
    if (response.status, response.body.as_str()) == (status, body) {
        return Ok(());
    }
    Err(format!("a wrong answer: {response:?} instead of {status} {body:?}").into())
}
