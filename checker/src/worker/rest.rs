//! What L2 has when all is at rest, read by a new cache over a new connection.

use crate::event::{Event, Setup, What};
use crate::row::{Id, Seen};
use crate::time::now;
use crate::worker::caches::{Far, bare};
use crate::worker::operations::Keys;
use accelerator::Lookup;

/// All values that are there.
pub(crate) async fn look(setup: &Setup, keys: Keys) -> anyhow::Result<Vec<Event>> {
    let store = crate::backend::store(setup.backend, &setup.url, &setup.prefix, setup.leases)?;
    let (far, near) = (bare("far", store.clone())?, bare("near", store)?);
    let mut found = Vec::new();
    for id in 0..keys.all {
        let begin = now();
        let cache = if id < keys.near { &far } else { &near };
        if let Some(seen) = one(cache, id).await? {
            found.push(Event { id, begin, end: now(), what: What::AtRest(seen) });
        }
    }
    // The TTL is long, and the server may be somebody else's.
    let ids: Vec<Id> = (0..keys.all).collect();
    far.mdel(&ids).await?;
    near.mdel(&ids).await?;
    Ok(found)
}

async fn one(cache: &Far, id: Id) -> anyhow::Result<Option<Seen>> {
    // A new connection may need a moment.
    for _ in 0..200 {
        match cache.lookup(&id).await {
            Lookup::Hit(row) => return Ok(Some(Seen::of(id, Some(&row)))),
            Lookup::Absent => return Ok(Some(Seen::Absent)),
            Lookup::Miss => return Ok(None),
            Lookup::Unavailable => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
    anyhow::bail!("L2 can't be read at rest")
}
