//! `cacheable_batch`: the types of keys, and that the body sees the missing ones only.

use std::collections::{BTreeMap, HashMap};

use accelerator::Cache;
use accelerator::macros::{cache_evict_batch, cacheable_batch};

use super::support::{Dyn, Level, Plain, Runs, Value, Wide, dynamic, level, send};

type Map = HashMap<u64, Option<Value>>;
type Ids = Vec<u64>;

fn all(runs: &Runs, ids: &[u64]) -> Map {
    ids.iter().map(|id| (*id, Some(runs.user(*id)))).collect()
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn of_a_vec(cache: &Dyn, ids: Vec<u64>, runs: &Runs) -> Result<Map, Plain> {
    let moved: Vec<u64> = ids;
    Ok(all(runs, &moved))
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn of_a_mutable_vec(cache: &Dyn, mut ids: Ids, runs: &Runs) -> Result<Map, Plain> {
    ids.reverse();
    Ok(all(runs, &ids))
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn of_a_slice(cache: &Dyn, ids: &[u64], runs: &Runs) -> Result<Map, Plain> {
    tokio::task::yield_now().await;
    Ok(all(runs, ids))
}

#[cacheable_batch(cache = cache, keys = &ids)]
async fn of_a_ref_vec<'a>(cache: &Dyn, ids: &'a Vec<u64>, runs: &'a Runs) -> Map {
    all(runs, ids)
}

#[cacheable_batch(cache = cache, keys = ids, allow_stale = false, cache_none = false, on_cache_error = "propagate",
    ttl = std::time::Duration::from_secs(9), condition = !ids.is_empty())]
async fn of_all_options(cache: &Level, ids: &[u64], runs: &Runs) -> Result<BTreeMap<u64, Option<Value>>, Wide> {
    ids.iter().map(|id| Ok((*id, Some(runs.user(*id))))).collect()
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn of_a_generic<C: Cache<u64, Value> + ?Sized>(cache: &C, ids: &[u64], runs: &Runs) -> Map {
    all(runs, ids)
}

/// The body does not look at the keys.
#[cacheable_batch(cache = cache, keys = ids)]
async fn of_unread_keys(cache: &Dyn, ids: &[u64], known: Map) -> Map {
    known
}

struct Inner {
    ids: Vec<u64>,
}

struct Request {
    inner: Inner,
    limit: usize,
}

#[cacheable_batch(cache = cache, keys = request.inner.ids)]
async fn of_a_field(cache: &Dyn, request: Request, runs: &Runs) -> Result<Map, Plain> {
    assert!(request.inner.ids.len() <= request.limit);
    Ok(all(runs, &request.inner.ids))
}

#[cacheable_batch(cache = cache, keys = request.0)]
async fn of_an_unread_field(cache: &Dyn, mut request: (Vec<u64>, Map), runs: &Runs) -> Result<Map, Plain> {
    runs.add();
    request.1.remove(&0);
    Ok(request.1)
}

struct Borrowed<'a> {
    ids: &'a [u64],
}

#[cacheable_batch(cache = cache, keys = request.ids)]
async fn of_a_borrowed_field(cache: &Dyn, request: Borrowed<'_>, runs: &Runs) -> Result<Map, Plain> {
    tokio::task::yield_now().await;
    Ok(all(runs, request.ids))
}

#[tokio::test]
async fn only_missing_keys_reach_the_body() {
    let (cache, runs) = (dynamic(), Runs::default());
    let keys = |map: Map| {
        let mut keys: Vec<u64> = map.into_iter().filter_map(|(key, value)| value.map(|_| key)).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(send(of_a_vec(&cache, vec![2, 1, 2], &runs)).await.expect("ok")), [1, 2]);
    runs.are(2);
    assert_eq!(keys(send(of_a_mutable_vec(&cache, vec![1, 2, 3, 4], &runs)).await.expect("ok")), [1, 2, 3, 4]);
    runs.are(4);
    assert_eq!(keys(send(of_a_slice(&cache, &[4, 5], &runs)).await.expect("ok")), [4, 5]);
    runs.are(5);
    assert_eq!(keys(send(of_a_ref_vec(&cache, &vec![5, 6], &runs)).await), [5, 6]);
    runs.are(6);
    assert_eq!(keys(send(of_a_generic(&cache, &[6, 7], &runs)).await), [6, 7]);
    assert_eq!(keys(send(of_a_generic(&*cache, &[6, 7], &runs)).await), [6, 7]);
    runs.are(7);
    let request = Request { inner: Inner { ids: vec![7, 8] }, limit: 1 };
    assert_eq!(keys(send(of_a_field(&cache, request, &runs)).await.expect("ok")), [7, 8]);
    runs.are(8);
    assert_eq!(keys(send(of_a_borrowed_field(&cache, Borrowed { ids: &[8, 9] }, &runs)).await.expect("ok")), [8, 9]);
    runs.are(9);
    let known = all(&Runs::default(), &[10]);
    assert_eq!(keys(send(of_unread_keys(&cache, &[10], known.clone())).await), [10]);
    assert_eq!(keys(send(of_an_unread_field(&cache, (vec![10], known), &runs)).await.expect("ok")), [10]);
    runs.are(9);
    assert_eq!(keys(send(of_a_vec(&cache, vec![], &runs)).await.expect("ok")), [0_u64; 0]);
    runs.are(9);
}

#[tokio::test]
async fn options() {
    let (cache, runs) = (level(), Runs::default());
    for _ in 0..2 {
        assert_eq!(send(of_all_options(&cache, &[1, 2], &runs)).await.expect("ok").len(), 2);
    }
    runs.are(2);
    assert!(send(of_all_options(&cache, &[], &runs)).await.expect("ok").is_empty());
    runs.are(2);
}

#[cache_evict_batch(cache = cache, keys = ids)]
async fn evict(cache: &Dyn, ids: Vec<u64>) -> Result<usize, Plain> {
    let moved = ids;
    Ok(moved.len())
}

#[cache_evict_batch(cache = cache, keys = ids, before = true, condition = !ids.is_empty())]
async fn evict_first(cache: &Dyn, ids: &[u64]) -> Result<(), Plain> {
    Err(Plain("too late"))
}

#[cache_evict_batch(cache = cache, keys = result)]
async fn evict_found(cache: &Dyn, found: &[u64]) -> Result<Vec<u64>, Plain> {
    Ok(found.to_vec())
}

#[cache_evict_batch(cache = cache, keys = result.iter().copied().filter(|id| *id != spare).collect::<Vec<_>>())]
async fn evict_some(cache: &Dyn, found: &[u64], spare: u64) -> Result<Vec<u64>, Plain> {
    Ok(found.to_vec())
}

#[cache_evict_batch(cache = cache, keys = [first, first + 1])]
async fn evict_pair(cache: &Dyn, first: u64) -> Result<(), Plain> {
    Ok(())
}

#[tokio::test]
async fn many_keys_are_evicted() {
    let (cache, runs) = (dynamic(), Runs::default());
    let fill = async |expected: usize| {
        send(of_a_slice(&cache, &[1, 2, 3], &runs)).await.expect("ok");
        runs.are(expected);
    };
    fill(3).await;
    send(evict(&cache, vec![1, 2])).await.expect("ok");
    fill(5).await;
    send(evict_first(&cache, &[1])).await.expect_err("the body fails");
    fill(6).await;
    send(evict_found(&cache, &[3])).await.expect("ok");
    fill(7).await;
    send(evict_some(&cache, &[1, 2, 3], 2)).await.expect("ok");
    fill(9).await;
    send(evict_pair(&cache, 2)).await.expect("ok");
    fill(11).await;
}

/// What can't be copied is taken along all the same.
struct Unique(u64);

struct Pair {
    left: String,
    right: Unique,
}

impl Clone for Pair {
    fn clone(&self) -> Self {
        Self { left: self.left.clone(), right: Unique(self.right.0) }
    }
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn of_a_part_that_cannot_be_copied(cache: &Dyn, ids: &[u64], runs: &Runs, pair: Pair) -> Map {
    let right = pair.right;
    assert_eq!(right.0, 3);
    all(runs, ids)
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn of_what_cannot_be_copied(cache: &Dyn, ids: &[u64], runs: &Runs, one: Unique, count: &mut u64) -> Map {
    let moved = one;
    *count += moved.0;
    all(runs, ids)
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn of_a_generic_argument<T: Send>(cache: &Dyn, ids: &[u64], runs: &Runs, what: T) -> Map {
    drop(what);
    all(runs, ids)
}

#[cacheable_batch(cache = cache, keys = ids)]
async fn of_patterns(cache: &Dyn, ids: &[u64], runs: &Runs, (left, Unique(right)): (String, Unique)) -> Map {
    assert_eq!(format!("{left}{right}"), "a1");
    all(runs, ids)
}

#[tokio::test]
async fn a_body_takes_along_what_it_likes_whether_that_can_be_copied_or_not() {
    let (runs, cache, mut count) = (Runs::default(), dynamic(), 0);
    let pair = Pair { left: String::new(), right: Unique(3) };
    assert_eq!(pair.clone().left, "");
    assert_eq!(send(of_a_part_that_cannot_be_copied(&cache, &[1], &runs, pair)).await.len(), 1);
    assert_eq!(send(of_what_cannot_be_copied(&cache, &[2], &runs, Unique(5), &mut count)).await.len(), 1);
    assert_eq!(count, 5);
    assert_eq!(send(of_a_generic_argument(&cache, &[3], &runs, Unique(1))).await.len(), 1);
    assert_eq!(send(of_patterns(&cache, &[4], &runs, ("a".to_owned(), Unique(1)))).await.len(), 1);
}
