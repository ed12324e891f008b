//! The source of truth: products in a SQLite file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use indicatif::ProgressBar;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use thread_local::ThreadLocal;

const SCHEMA: &str = "CREATE TABLE product (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, price INTEGER NOT NULL, description TEXT NOT NULL, stock INTEGER NOT NULL
)";
const INSERT: &str = "INSERT INTO product (id, name, price, description, stock) VALUES (?1, ?2, ?3, ?4, ?5)";
const FIND: &str = "SELECT id, name, price, description, stock FROM product WHERE id = ?1";

/// What a page about a product needs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Product {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// In cents.
    pub(crate) price: u32,
    pub(crate) description: String,
    pub(crate) stock: u32,
}

impl Product {
    /// Product `id`; the same for everybody who asks.
    fn sample(id: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(u64::from(id));
        let mut description = String::with_capacity(220);
        while description.len() < 200 {
            const WORDS: [&str; 8] =
                ["robust ", "light ", "blue ", "for the kitchen, ", "steel ", "new ", "soft ", "fast "];
            description.push_str(WORDS[random.usize(..WORDS.len())]);
        }
        Self {
            id,
            name: format!("Product {id}"),
            price: random.u32(99..100_000),
            description,
            stock: random.u32(..500),
        }
    }
}

/// A database file in a directory of its own, which goes away with this.
pub(crate) struct Catalogue {
    // Before the directory: closed before their file is removed.
    connections: ThreadLocal<Connection>,
    queries: AtomicU64,
    file: PathBuf,
    _directory: TempDir,
}

impl Catalogue {
    /// A catalogue of the products `ids` (ascending).
    pub(crate) fn build(ids: &[u32], bar: &ProgressBar) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("accelerator-demo-").tempdir()?;
        let file = directory.path().join("catalogue.sqlite");
        fill(&file, ids, bar)?;
        Ok(Self { connections: ThreadLocal::new(), queries: AtomicU64::new(0), file, _directory: directory })
    }

    /// The product, by a query. One connection per thread: SQLite's are not for use by two threads at a time.
    pub(crate) fn find(&self, id: u32) -> rusqlite::Result<Option<Product>> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = self.connections.get_or_try(|| Connection::open_with_flags(&self.file, flags))?;
        let row = |row: &rusqlite::Row<'_>| {
            let (id, name, price) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Product { id, name, price, description: row.get(3)?, stock: row.get(4)? })
        };
        // Prepared once per connection.
        connection.prepare_cached(FIND)?.query_row([id], row).optional()
    }

    /// How often it was asked.
    pub(crate) fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// The size of the file.
    pub(crate) fn bytes(&self) -> anyhow::Result<u64> {
        Ok(self.file.metadata().context("can't see the database file")?.len())
    }
}

fn fill(file: &Path, ids: &[u32], bar: &ProgressBar) -> anyhow::Result<()> {
    let mut connection = Connection::open(file)?;
    // Write-ahead log: as a service would run it. Not synchronous: nobody needs this file after a power cut.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute(SCHEMA, [])?;
    for ids in ids.chunks(10_000) {
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare_cached(INSERT)?;
        for &id in ids {
            let Product { id, name, price, description, stock } = Product::sample(id);
            insert.execute((id, name, price, description, stock))?;
        }
        drop(insert);
        transaction.commit()?;
        bar.inc(ids.len() as u64);
    }
    // All into the file itself, so that readers don't search the log.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}
