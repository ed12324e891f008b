//! The table of users. It knows nothing of a cache.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};
use tokio::task;

use crate::user::{CacheResult, User, UserError};

const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL)";
const GET: &str = "SELECT id, name, email FROM users WHERE id = ?1";
const BATCH_GET: &str = "SELECT id, name, email FROM users WHERE id IN (SELECT value FROM json_each(?1))";
const SAVE: &str = "INSERT OR REPLACE INTO users (id, name, email) VALUES (?1, ?2, ?3)";
const DELETE: &str = "DELETE FROM users WHERE id = ?1";
const BATCH_DELETE: &str = "DELETE FROM users WHERE id IN (SELECT value FROM json_each(?1))";

/// Sees every query: its SQL, and the ids that it is about.
type Watch = Box<dyn Fn(&'static str, &[u64]) + Send + Sync>;

/// The users in a database; clones share the connection.
#[derive(Clone)]
pub struct UserRepo(Arc<Inner>);

struct Inner {
    connection: Mutex<Connection>,
    queries: AtomicU64,
    watch: Option<Watch>,
}

impl UserRepo {
    /// The table `users` of a database, created if need be.
    ///
    /// # Errors
    /// The database's.
    pub fn new(connection: Connection) -> CacheResult<Self> {
        Self::build(connection, None)
    }

    /// The same; `watch` sees every query, with the ids that it is about, before it runs.
    ///
    /// # Errors
    /// The database's.
    pub fn watched(
        connection: Connection,
        watch: impl Fn(&'static str, &[u64]) + Send + Sync + 'static,
    ) -> CacheResult<Self> {
        Self::build(connection, Some(Box::new(watch)))
    }

    fn build(connection: Connection, watch: Option<Watch>) -> CacheResult<Self> {
        connection.execute(CREATE, [])?;
        Ok(Self(Arc::new(Inner { connection: Mutex::new(connection), queries: AtomicU64::new(0), watch })))
    }

    /// How many queries were made.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.0.queries.load(Ordering::Relaxed)
    }

    /// The user, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn get_user(&self, id: u64) -> CacheResult<Option<User>> {
        self.query(GET, vec![id], move |query| query.query_row([id], user).optional()).await
    }

    /// Every id with its user, or with `None` where there is none: the cache then knows that as well.
    ///
    /// # Errors
    /// The database's.
    pub async fn batch_get_users(&self, ids: &[u64]) -> CacheResult<HashMap<u64, Option<User>>> {
        let (mut found, list) = (ids.iter().map(|id| (*id, None)).collect::<HashMap<_, _>>(), json(ids));
        self.query(BATCH_GET, ids.to_vec(), move |query| {
            for user in query.query_map([list], user)? {
                let user = user?;
                found.insert(user.id, Some(user));
            }
            Ok(found)
        })
        .await
    }

    /// Adds the user, or replaces the one with this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn save_user(&self, user: User) -> CacheResult<()> {
        let User { id, name, email } = user;
        self.query(SAVE, vec![id], move |query| query.execute((id, name, email)).map(drop)).await
    }

    /// Removes the user, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_user(&self, id: u64) -> CacheResult<()> {
        self.query(DELETE, vec![id], move |query| query.execute([id]).map(drop)).await
    }

    /// Removes those of these users that there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn batch_delete_users(&self, ids: &[u64]) -> CacheResult<()> {
        let list = json(ids);
        self.query(BATCH_DELETE, ids.to_vec(), move |query| query.execute([list]).map(drop)).await
    }

    /// All SQL goes through here. SQLite blocks, so it runs where blocking harms nobody; a caller that goes away does not
    /// stop it.
    async fn query<T: Send + 'static>(
        &self,
        sql: &'static str,
        ids: Vec<u64>,
        run: impl FnOnce(&mut CachedStatement<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> CacheResult<T> {
        let inner = Arc::clone(&self.0);
        let work = move || {
            inner.queries.fetch_add(1, Ordering::Relaxed);
            if let Some(watch) = &inner.watch {
                watch(sql, &ids);
            }
            // SQLite itself is never left half done by a panic here.
            let connection = inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
            run(&mut connection.prepare_cached(sql)?)
        };
        Ok(task::spawn_blocking(work).await.map_err(|_| UserError::Stopped)??)
    }
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: row.get(0)?, name: row.get(1)?, email: row.get(2)? })
}

/// `[1, 2]`: one parameter for any number of ids.
fn json(ids: &[u64]) -> String {
    format!("{ids:?}")
}
