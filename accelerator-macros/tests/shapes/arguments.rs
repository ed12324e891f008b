//! Patterns, keys made of arguments, options, names that could collide.

use std::sync::Arc;
use std::time::Duration;

use accelerator::macros::cacheable;
use accelerator::stores::MokaL1;
use accelerator::{Cache, LevelCache};

use super::support::{Dyn, Found, Plain, Runs, Value, Wide, dynamic, send};

struct Wrapper(u64);

#[cacheable(cache = cache, key = a + b)]
async fn of_a_tuple(cache: &Dyn, (a, b): (u64, u64), runs: &Runs) -> Found {
    Ok(Some(runs.user(a + b)))
}

#[cacheable(cache = cache, key = id)]
async fn of_a_struct(cache: &Dyn, Wrapper(id): Wrapper, runs: &Runs) -> Found {
    Ok(Some(runs.user(id)))
}

#[cacheable(cache = cache, key = id)]
async fn of_a_mutable(cache: &Dyn, mut id: u64, runs: &Runs, _: u8) -> Found {
    let user = runs.user(id);
    id += 1;
    assert!(id > 0);
    Ok(Some(user))
}

/// The names of the expansion are no names of the function.
#[cacheable(cache = __read, key = __begun, condition = __condition > 0)]
async fn of_odd_names(__read: &Dyn, __begun: u64, __condition: u8, runs: &Runs) -> Found {
    let (__read, __out) = (__begun, 0);
    Ok(Some(runs.user(__read + __out)))
}

#[tokio::test]
async fn patterns() {
    let (cache, runs) = (dynamic(), Runs::default());
    for _ in 0..2 {
        send(of_a_tuple(&cache, (1, 2), &runs)).await.expect("ok");
        send(of_a_struct(&cache, Wrapper(4), &runs)).await.expect("ok");
        send(of_a_mutable(&cache, 5, &runs, 0)).await.expect("ok");
        send(of_odd_names(&cache, 6, 1, &runs)).await.expect("ok");
    }
    runs.are(4);
}

type Pages = Arc<dyn Cache<(u64, String), u64>>;

fn pages() -> Pages {
    Arc::new(
        LevelCache::builder().area("pages").l1(MokaL1::new(10)).ttl(Duration::from_secs(60)).build().expect("valid"),
    )
}

/// `name` goes into the key and into the body.
#[cacheable(cache = pages, key = (tenant, name))]
async fn of_a_composite_key(pages: Pages, tenant: u64, name: String, runs: &Runs) -> Found<u64> {
    runs.add();
    let owned: String = name;
    Ok(Some(tenant + owned.len() as u64))
}

#[cacheable(cache = pages, key = (tenant, name.to_owned()))]
async fn of_borrowed_text(pages: &Pages, tenant: u64, name: &str, runs: &Runs) -> Found<u64> {
    runs.add();
    Ok(Some(tenant + name.len() as u64))
}

#[tokio::test]
async fn composite_keys() {
    let (pages, runs) = (pages(), Runs::default());
    assert_eq!(send(of_a_composite_key(pages.clone(), 1, "ab".into(), &runs)).await, Ok(Some(3)));
    assert_eq!(send(of_borrowed_text(&pages, 1, "ab", &runs)).await, Ok(Some(3)));
    runs.are(1);
    assert_eq!(send(of_borrowed_text(&pages, 2, "ab", &runs)).await, Ok(Some(4)));
    runs.are(2);
}

const SHORT: Duration = Duration::from_secs(60);

#[cacheable(
    cache = cache,
    key = id,
    allow_stale = false,
    cache_none = false,
    on_cache_error = "propagate",
    ttl = SHORT * 2,
    condition = id > 0 && !fresh,
)]
async fn of_all_options(cache: &Dyn, id: u64, fresh: bool, runs: &Runs) -> Result<Option<Value>, Wide> {
    runs.add();
    Ok(None)
}

#[cacheable(cache = cache, key = id, on_cache_error = "ignore", allow_stale = true, cache_none = true, crate = accelerator)]
async fn of_defaults_written_out(cache: &Dyn, id: u64, runs: &Runs) -> Found {
    runs.add();
    Ok(None)
}

#[tokio::test]
async fn options() {
    let (cache, runs) = (dynamic(), Runs::default());
    for _ in 0..2 {
        send(of_all_options(&cache, 1, false, &runs)).await.expect("ok");
    }
    runs.are(2);
    for _ in 0..2 {
        send(of_defaults_written_out(&cache, 2, &runs)).await.expect("ok");
    }
    runs.are(3);
    send(of_all_options(&cache, 2, true, &runs)).await.expect("ok");
    runs.are(4);
    send(of_all_options(&cache, 2, false, &runs)).await.expect("ok");
    runs.are(4);
}

/// A body may hold what is not `Sync`.
#[cacheable(cache = cache, key = id)]
async fn of_a_cell(cache: &Dyn, id: u64, cell: std::cell::Cell<u64>) -> Found {
    tokio::task::yield_now().await;
    cell.set(id);
    tokio::task::yield_now().await;
    Ok((cell.get() > id).then(|| Runs::default().user(id)))
}

#[tokio::test]
async fn arguments_that_are_not_sync() {
    assert_eq!(send(of_a_cell(&dynamic(), 1, std::cell::Cell::new(0))).await, Ok(None));
}

#[cfg_attr(all(), cacheable(cache = cache, key = id))]
#[allow(clippy::unused_async)]
#[must_use = "kept"]
async fn of_other_attributes(cache: &Dyn, #[allow(unused_variables)] id: u64) -> Found {
    #![allow(clippy::let_and_return)]
    let out = Err(Plain("no"));
    out
}

#[tokio::test]
async fn other_attributes_are_kept() {
    assert_eq!(send(of_other_attributes(&dynamic(), 1)).await, Err(Plain("no")));
}
