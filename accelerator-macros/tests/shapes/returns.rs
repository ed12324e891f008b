//! Return types, and bodies whose types are inferred from them.

use std::sync::Arc;

use accelerator::macros::{cache_evict, cache_put, cacheable};

use super::support::{Dyn, Found, Plain, Runs, User, Value, Wide, dynamic, send};

#[cacheable(cache = cache, key = id)]
async fn option(cache: &Dyn, id: u64, runs: &Runs) -> Option<Value> {
    Some(runs.user(id))
}

#[cacheable(cache = cache, key = id)]
async fn always(cache: &Dyn, id: u64, runs: &Runs) -> Value {
    runs.user(id)
}

#[cacheable(cache = cache, key = id)]
async fn result(cache: &Dyn, id: u64, runs: &Runs) -> Result<Value, Plain> {
    Ok(runs.user(id))
}

#[cacheable(cache = cache, key = id)]
async fn io(cache: &Dyn, id: u64, runs: &Runs) -> std::io::Result<Option<Value>> {
    Ok(Some(runs.user(id)))
}

#[tokio::test]
async fn all_return_types_share_a_value() {
    let (cache, runs) = (dynamic(), Runs::default());
    let user = Arc::new(User::new(1));
    assert_eq!(send(option(&cache, 1, &runs)).await, Some(user.clone()));
    assert_eq!(send(always(&cache, 1, &runs)).await, user);
    assert_eq!(send(result(&cache, 1, &runs)).await, Ok(user.clone()));
    assert_eq!(send(io(&cache, 1, &runs)).await.expect("ok"), Some(user));
    runs.are(1);
}

#[cacheable(cache = cache, key = id)]
async fn none(cache: &Dyn, id: u64) -> Found {
    Ok(None)
}

fn parse(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.parse()
}

impl From<std::num::ParseIntError> for Plain {
    fn from(_: std::num::ParseIntError) -> Self {
        Self("number")
    }
}

#[cacheable(cache = cache, key = id)]
async fn question_mark(cache: &Dyn, id: u64, text: &str) -> Found {
    let number = parse(text)?;
    if number == 0 {
        return Ok(None);
    }
    Ok(Some(Arc::new(User::new(number))))
}

#[cacheable(cache = cache, key = id)]
async fn collects(cache: &Dyn, id: u64, texts: &[&str]) -> Result<Option<Value>, Plain> {
    let ids: Vec<u64> = texts.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
    ids.into_iter().map(|id| if id == 0 { Err(Plain("zero")) } else { Ok(Arc::new(User::new(id))) }).next().transpose()
}

#[cacheable(cache = cache, key = id)]
async fn only_returns(cache: &Dyn, id: u64) -> Found {
    #[allow(clippy::needless_return)]
    return Ok(None);
}

#[cacheable(cache = cache, key = id)]
async fn diverges(cache: &Dyn, id: u64) -> Found {
    loop {
        tokio::task::yield_now().await;
        if id > 0 {
            return Err(Plain("ended"));
        }
    }
}

#[cacheable(cache = cache, key = id)]
async fn has_items(cache: &Dyn, id: u64) -> Found {
    const ADDED: u64 = 1;
    fn make(id: u64) -> User {
        User::new(id + ADDED)
    }
    Ok(Some(Arc::new(make(id))))
}

#[tokio::test]
async fn types_are_inferred_as_before() {
    assert_eq!(send(none(&dynamic(), 1)).await, Ok(None));
    assert_eq!(send(question_mark(&dynamic(), 1, "x")).await, Err(Plain("number")));
    assert_eq!(send(question_mark(&dynamic(), 1, "0")).await, Ok(None));
    assert_eq!(send(question_mark(&dynamic(), 1, "7")).await, Ok(Some(Arc::new(User::new(7)))));
    assert_eq!(send(collects(&dynamic(), 1, &["7"])).await, Ok(Some(Arc::new(User::new(7)))));
    assert_eq!(send(only_returns(&dynamic(), 1)).await, Ok(None));
    assert_eq!(send(diverges(&dynamic(), 1)).await, Err(Plain("ended")));
    assert_eq!(send(has_items(&dynamic(), 1)).await, Ok(Some(Arc::new(User::new(2)))));
}

#[cache_put(cache = cache, key = user.id, value = Some(user))]
async fn put_and_coerce(
    cache: &Dyn,
    user: Value,
    fail: bool,
) -> Result<Box<dyn Send>, Box<dyn std::error::Error + Send>> {
    if fail {
        return Err(Box::new(std::io::Error::other("no")));
    }
    let id: Box<u64> = Box::new(user.id);
    Ok(id)
}

#[cache_evict(cache = cache, key = id)]
async fn unit(cache: &Dyn, id: u64) {
    if id == 0 {
        return;
    }
    tokio::task::yield_now().await;
}

#[cache_evict(cache = cache, key = id, on_cache_error = "propagate")]
async fn propagates(cache: &Dyn, id: u64) -> Result<(), Wide> {
    Ok(())
}

#[tokio::test]
async fn writes_return_what_they_did() {
    let (cache, runs) = (dynamic(), Runs::default());
    assert!(send(put_and_coerce(&cache, Arc::new(User::new(1)), true)).await.is_err());
    send(always(&cache, 1, &runs)).await;
    runs.are(1);
    assert!(send(put_and_coerce(&cache, Arc::new(User::new(2)), false)).await.is_ok());
    send(always(&cache, 2, &runs)).await;
    runs.are(1);
    send(unit(&cache, 2)).await;
    send(always(&cache, 2, &runs)).await;
    runs.are(2);
    send(propagates(&cache, 2)).await.expect("ok");
    send(always(&cache, 2, &runs)).await;
    runs.are(3);
}
