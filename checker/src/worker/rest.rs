//! What there is when all is at rest. What L2 has is read by a new cache over a new connection.

use std::ops::Range;
use std::time::Duration;

use accelerator::{L1Store, LevelCache, Lookup};
use futures_util::{StreamExt, stream};

use crate::event::{Event, Setup, What};
use crate::row::{Id, Row, Seen};
use crate::time::now;
use crate::worker::caches::bare;
use crate::worker::operations::Keys;

/// Looks at once.
const AT_ONCE: usize = 64;

/// All values that are there. They are removed.
pub(crate) async fn look(setup: &Setup, keys: Keys) -> anyhow::Result<Vec<Event>> {
    let store = crate::backend::store(setup.backend, &setup.url, &setup.prefix, setup.leases)?;
    let (far, near) = (bare("far", store.clone())?, bare("near", store)?);
    let mut found = all(&far, 0..keys.near).await?;
    found.extend(all(&near, keys.near..keys.all).await?);
    // The TTL is long, and the server may be somebody else's.
    let ids: Vec<Id> = (0..keys.all).collect();
    far.mdel(&ids).await?;
    near.mdel(&ids).await?;
    Ok(found)
}

/// All values that are there.
pub(crate) async fn look_only(setup: &Setup, keys: Id) -> anyhow::Result<Vec<Event>> {
    let store = crate::backend::store(setup.backend, &setup.url, &setup.prefix, setup.leases)?;
    all(&bare("near", store)?, 0..keys).await
}

/// What a cache has of these keys.
pub(crate) async fn all<L1: L1Store<Id, Row>>(
    cache: &LevelCache<Id, Row, L1>,
    keys: Range<Id>,
) -> anyhow::Result<Vec<Event>> {
    let mut found = Vec::new();
    let mut looks = stream::iter(keys).map(|id| one(cache, id)).buffer_unordered(AT_ONCE);
    while let Some(event) = looks.next().await {
        found.extend(event?);
    }
    Ok(found)
}

async fn one<L1: L1Store<Id, Row>>(cache: &LevelCache<Id, Row, L1>, id: Id) -> anyhow::Result<Option<Event>> {
    let begin = now();
    // A new connection may need a moment.
    for _ in 0..200 {
        let seen = match cache.lookup(&id).await {
            Lookup::Hit(row) => Seen::of(id, Some(&row)),
            Lookup::Absent => Seen::Absent,
            Lookup::Miss => return Ok(None),
            Lookup::Unavailable => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        return Ok(Some(Event { id, begin, end: now(), what: What::AtRest(seen) }));
    }
    anyhow::bail!("L2 can't be read at rest")
}
