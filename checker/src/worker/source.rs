//! The loader: it asks the database, and takes its time, so that the row changes while it is on its way.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use accelerator::{CacheError, ErrorKind};

use crate::event::What;
use crate::row::{Id, Row};
use crate::time::now;
use crate::worker::calls::slow;
use crate::worker::client::Client;
use crate::worker::journal::Journal;

/// One load in so many fails, and one in so many panics: the lease must come back.
const FAILS: u32 = 500;
const PANICS: u32 = 5000;
/// One load in so many is slow, where some are.
const SLOW: u32 = 100;

#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) client: Client,
    pub(crate) journal: Arc<Journal>,
}

/// The failure of a loader that is not well.
#[derive(Debug)]
pub(crate) struct Injected;

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a failure for the test")
    }
}

impl Error for Injected {}

impl Source {
    pub(crate) async fn load(self, id: Id) -> Result<Option<Row>, Injected> {
        let row = self.read(id).await;
        dawdle().await?;
        Ok(row)
    }

    pub(crate) async fn load_many(self, ids: Vec<Id>) -> Result<Vec<(Id, Option<Row>)>, Injected> {
        let rows = futures_util::future::join_all(ids.iter().map(|id| self.read(*id))).await;
        dawdle().await?;
        Ok(ids.into_iter().zip(rows).collect())
    }

    async fn read(&self, id: Id) -> Option<Row> {
        let begin = now();
        let version = self.client.read(id).await;
        self.journal.push(id, begin, What::Loaded(version));
        Row::of(id, version)
    }
}

async fn dawdle() -> Result<(), Injected> {
    if fastrand::u32(..SLOW) == 0 {
        tokio::time::sleep(slow()).await;
    }
    match fastrand::u32(..1000) {
        0..600 => {}
        600..900 => tokio::task::yield_now().await,
        900..990 => tokio::time::sleep(Duration::from_millis(fastrand::u64(1..4))).await,
        _ => tokio::time::sleep(Duration::from_millis(20)).await,
    }
    if fastrand::u32(..PANICS) == 0 {
        // A panic without a word on stderr: it is part of the test.
        std::panic::resume_unwind(Box::new(Injected));
    }
    if fastrand::u32(..FAILS) == 0 { Err(Injected) } else { Ok(()) }
}

/// Whether the loader was made to fail.
pub(crate) fn is_injected(error: &CacheError) -> bool {
    error.kind() == ErrorKind::Panic || error.downcast_ref::<Injected>().is_some()
}
