//! `cache_put` and `cache_evict`: what is evaluated when, and what the body may do with its arguments.

use std::sync::Arc;

use accelerator::macros::{cache_evict, cache_put, cacheable};

use super::support::{Dyn, Found, Plain, Runs, User, Value, dynamic, send};

#[cacheable(cache = cache, key = id)]
async fn get(cache: &Dyn, id: u64, runs: &Runs) -> Option<Value> {
    runs.add();
    None
}

fn save(user: User) -> Result<User, Plain> {
    if user.name.is_empty() { Err(Plain("a name is needed")) } else { Ok(user) }
}

/// As the service template has it: the body moves `user`.
#[cache_put(cache = cache, key = user.id, value = Some(Arc::new(user.clone())))]
async fn put_moved(cache: &Dyn, user: User) -> Result<(), Plain> {
    tokio::task::yield_now().await;
    save(user)?;
    Ok(())
}

#[cache_put(cache = cache, key = result.id, value = Arc::clone(result))]
async fn put_result(cache: &Dyn, user: User) -> Result<Value, Plain> {
    Ok(Arc::new(save(user)?))
}

#[cache_put(cache = cache, key = id, value = result)]
async fn put_all_of_the_result(cache: &Dyn, id: u64) -> Result<Option<Value>, Plain> {
    Ok(Some(Arc::new(User::new(id))))
}

#[cache_put(cache = cache, key = id, value = Arc::new(User { id, name: format!("{result} of {name}") }), condition = *result > 0)]
async fn put_mixed(cache: &Dyn, id: u64, name: String, count: u8) -> Result<u8, Plain> {
    tokio::task::yield_now().await;
    if name.is_empty() { Err(Plain("empty")) } else { Ok(count) }
}

#[cache_put(cache = cache, key = id, value = None, ttl = std::time::Duration::from_secs(5), on_cache_error = "ignore")]
async fn put_none(cache: &Dyn, id: u64) -> Result<(), Plain> {
    Ok(())
}

#[cache_put(cache = cache, key = user.as_ref().map_or(0, |user| user.id), value = user.clone(), condition = user.is_some())]
async fn put_if(cache: &Dyn, user: Option<Value>) -> Result<(), Plain> {
    drop(user);
    Ok(())
}

#[tokio::test]
async fn put_tells_the_cache_after_ok() {
    let (cache, runs) = (dynamic(), Runs::default());
    let name = async |id: u64| send(get(&cache, id, &runs)).await.map(|user| user.name.clone());
    send(put_moved(&cache, User::new(1))).await.expect("ok");
    assert_eq!(name(1).await.as_deref(), Some("user 1"));
    let nameless = User { id: 2, name: String::new() };
    assert_eq!(send(put_moved(&cache, nameless)).await, Err(Plain("a name is needed")));
    runs.are(0);
    assert_eq!(name(2).await, None);
    runs.are(1);

    send(put_result(&cache, User::new(3))).await.expect("ok");
    assert_eq!(name(3).await.as_deref(), Some("user 3"));
    send(put_all_of_the_result(&cache, 4)).await.expect("ok");
    assert_eq!(name(4).await.as_deref(), Some("user 4"));
    send(put_mixed(&cache, 5, "x".into(), 7)).await.expect("ok");
    assert_eq!(name(5).await.as_deref(), Some("7 of x"));
    send(put_mixed(&cache, 5, "y".into(), 0)).await.expect("ok");
    assert_eq!(name(5).await.as_deref(), Some("7 of x"));
    send(put_none(&cache, 5)).await.expect("ok");
    assert_eq!(name(5).await, None);
    runs.are(1);

    send(put_if(&cache, None)).await.expect("ok");
    send(put_if(&cache, Some(Arc::new(User::new(6))))).await.expect("ok");
    assert_eq!(name(6).await.as_deref(), Some("user 6"));
    runs.are(1);
}

#[cache_evict(cache = cache, key = id)]
async fn evict(cache: &Dyn, id: u64, fail: bool) -> Found<()> {
    if fail { Err(Plain("failed")) } else { Ok(None) }
}

#[cache_evict(cache = cache, key = id, before = true)]
async fn evict_first(cache: &Dyn, id: u64) -> Found<()> {
    Err(Plain("failed"))
}

#[cache_evict(cache = cache, key = id, before = false, condition = really)]
async fn evict_if(cache: &Dyn, id: u64, really: bool) -> Found<()> {
    Ok(None)
}

#[cache_evict(cache = cache, key = *result)]
async fn evict_result(cache: &Dyn, id: u64) -> Result<u64, Plain> {
    Ok(id)
}

#[cache_evict(cache = cache, key = result.unwrap_or(other), condition = result.is_some() && other > 0)]
async fn evict_either(cache: &Dyn, found: Option<u64>, other: u64) -> Result<Option<u64>, Plain> {
    Ok(found)
}

#[tokio::test]
async fn evict_tells_the_cache_after_ok_or_before() {
    let (cache, runs) = (dynamic(), Runs::default());
    let get = async |expected: usize| {
        send(get(&cache, 1, &runs)).await;
        runs.are(expected);
    };
    get(1).await;
    send(evict(&cache, 1, true)).await.expect_err("fails");
    get(1).await;
    send(evict(&cache, 1, false)).await.expect("ok");
    get(2).await;
    send(evict_first(&cache, 1)).await.expect_err("fails");
    get(3).await;
    send(evict_if(&cache, 1, false)).await.expect("ok");
    get(3).await;
    send(evict_if(&cache, 1, true)).await.expect("ok");
    get(4).await;
    send(evict_result(&cache, 1)).await.expect("ok");
    get(5).await;
    send(evict_either(&cache, None, 1)).await.expect("ok");
    get(5).await;
    send(evict_either(&cache, Some(1), 2)).await.expect("ok");
    get(6).await;
}
