//! `cacheable_batch`: the body gets the missing keys, once each, at most once per call; the answer has them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use accelerator::Cache;
use accelerator::macros::{cacheable, cacheable_batch};
use accelerator::memoize::TOGETHER;
use accelerator::testkit::settle;

use crate::common::{Away, Copied, Kind, Row, Rows, TTL, User, Users, Wide, World, ms, secs, user};

pub(crate) struct Request {
    pub(crate) ids: Vec<u64>,
    pub(crate) who: &'static str,
}

impl<C: Cache<u64, Arc<User>> + Clone + 'static> Users<C> {
    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn many(&self, ids: Vec<u64>) -> Result<Rows, Away> {
        self.source.find_many(&ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn many_of_slice(&self, ids: &[u64]) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn many_of_vec(&self, ids: &Vec<u64>) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = request.ids)]
    async fn many_of_request(&self, request: Request) -> Result<Rows, Away> {
        assert_eq!(request.who, "me", "the rest of the argument is what it was");
        self.source.find_many(&request.ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn many_sorted(&self, ids: &[u64]) -> BTreeMap<u64, Row> {
        self.source.find_many(ids).await.unwrap_or_default().into_iter().collect()
    }

    #[cacheable_batch(cache = self.cache, keys = ids, cache_none = false)]
    async fn many_or_ask_again(&self, ids: &[u64]) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids, ttl = secs(5))]
    async fn many_for_5s(&self, ids: &[u64]) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids, condition = !fresh)]
    async fn many_unless(&self, ids: &[u64], fresh: bool) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids, allow_stale = false)]
    async fn many_strict(&self, ids: &[u64]) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn many_or_copied(&self, ids: Vec<u64>) -> Result<Rows, Copied> {
        Ok(self.source.find_many(&ids).await?)
    }

    #[cacheable_batch(cache = self.cache, keys = ids, on_cache_error = "propagate")]
    async fn many_or_wide(&self, ids: Vec<u64>) -> Result<Rows, Wide> {
        Ok(self.source.find_many(&ids).await?)
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn single(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }
}

fn rows(ids: impl IntoIterator<Item = u64>, version: u64) -> Rows {
    ids.into_iter().map(|id| (id, user(id, version))).collect()
}

on_all!(each_key_reaches_the_body_once_in_the_order_of_the_call, only_the_misses_reach_the_body_in_every_shape_of_keys);
on_all!(
    no_keys_run_nothing,
    hits_alone_run_nothing,
    the_answer_has_every_key,
    a_key_that_is_left_out_is_not_cached_as_absent
);
on_all!(where_the_condition_is_false_all_keys_reach_the_body_once, a_failing_body_is_the_error_of_its_caller);
on_real!(what_a_batch_found_is_cached_for_one_and_many, cache_none_and_ttl_hold_for_each_key);
on_real!(stale_values_stand_in_where_there_is_one_for_each_key);
on_real!(keys_that_others_load_go_to_the_body_too_without_fill, a_batch_with_nothing_to_load_waits_for_others);
on_real!(two_batches_crosswise_end_without_waiting, a_batch_that_waits_for_a_failing_body_shares_its_error);
on_real!(a_batch_that_gets_a_ticket_while_it_waits_starts_at_once, batches_that_waited_run_together);
on_real!(a_left_out_key_makes_its_waiters_ask_for_themselves);

async fn each_key_reaches_the_body_once_in_the_order_of_the_call<K: Kind>(w: World<K>) {
    let users = w.users();
    assert_eq!(users.many(vec![3, 1, 3, 2, 1, 3]).await, Ok(rows([1, 2, 3], 1)));
    assert_eq!(w.source.calls(), [[3, 1, 2]]);
    assert_eq!(users.many_unless(&[9, 8, 9], true).await, Ok(rows([8, 9], 1)));
    assert_eq!(w.source.calls()[1], [9, 8]);
}

async fn only_the_misses_reach_the_body_in_every_shape_of_keys<K: Kind>(w: World<K>) {
    for shape in 0..5 {
        let w = World::<K>::new();
        let users = w.users();
        users.set(2, 7).await;
        users.set(4, 0).await;
        let ids = vec![1, 2, 3, 4, 5];
        let found: Rows = match shape {
            0 => users.many(ids).await.expect("loads"),
            1 => users.many_of_slice(&ids).await.expect("loads"),
            2 => users.many_of_vec(&ids).await.expect("loads"),
            3 => users.many_of_request(Request { ids, who: "me" }).await.expect("loads"),
            _ => users.many_sorted(&ids).await.into_iter().collect(),
        };
        let mut expected = rows([1, 3, 5], 1);
        expected.extend([(2, user(2, 7)), (4, None)]);
        assert_eq!(found, expected, "shape {shape}");
        assert_eq!(w.source.calls(), [[1, 3, 5]], "shape {shape}");
    }
    drop(w);
}

async fn no_keys_run_nothing<K: Kind>(w: World<K>) {
    let users = w.users();
    assert_eq!(users.many(Vec::new()).await, Ok(Rows::new()));
    assert_eq!(users.many_of_slice(&[]).await, Ok(Rows::new()));
    assert_eq!(users.many_of_request(Request { ids: Vec::new(), who: "me" }).await, Ok(Rows::new()));
    assert_eq!(users.many_unless(&[], true).await, Ok(Rows::new()), "past the cache neither");
    users.stop().await;
    assert_eq!(users.many(Vec::new()).await, Ok(Rows::new()));
    assert_eq!(w.source.runs(), 0);
}

async fn hits_alone_run_nothing<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 7).await;
    users.set(2, 0).await;
    let expected = Rows::from([(1, user(1, 7)), (2, None)]);
    assert_eq!(users.many(vec![1, 2, 1]).await, Ok(expected));
    assert_eq!(w.source.runs(), 0);
}

async fn the_answer_has_every_key<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 7).await;
    w.source.leave_out(&[3]);
    let mut expected = rows([2], 1);
    expected.extend([(1, user(1, 7)), (3, None)]);
    assert_eq!(users.many(vec![1, 2, 3]).await, Ok(expected));
}

async fn a_key_that_is_left_out_is_not_cached_as_absent<K: Kind>(w: World<K>) {
    let users = w.users();
    w.source.leave_out(&[2]);
    assert_eq!(users.many(vec![1, 2]).await.map(|rows| rows[&2].clone()), Ok(None));
    assert_eq!(users.cached(2).await, None);
    w.source.leave_out(&[]);
    assert_eq!(users.many(vec![2]).await, Ok(rows([2], 1)));
}

async fn where_the_condition_is_false_all_keys_reach_the_body_once<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 7).await;
    assert_eq!(users.many_unless(&[1, 2], true).await, Ok(rows([1, 2], 1)));
    assert_eq!(w.source.calls(), [[1, 2]]);
    assert_eq!((users.cached(1).await, users.cached(2).await), (Some(user(1, 7)), None));
    assert_eq!(users.many_unless(&[1], false).await, Ok(rows([1], 7)));
}

async fn a_failing_body_is_the_error_of_its_caller<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 7).await;
    w.source.away(true);
    assert_eq!(users.many(vec![1, 2]).await, Err(Away(1)), "hits alone are no answer");
    assert_eq!(users.many_or_copied(vec![1, 2]).await, Err(Copied(2)));
    w.source.away(false);
    assert_eq!(users.many(vec![2]).await, Ok(rows([2], 1)), "a failure is not kept");
}

/// Needs fills.
async fn what_a_batch_found_is_cached_for_one_and_many<K: Kind>(w: World<K>) {
    let users = w.users();
    assert_eq!(users.many(vec![1, 2]).await, Ok(rows([1, 2], 1)));
    w.source.put(0);
    assert_eq!(users.many(vec![1, 2, 3]).await.map(|rows| rows[&3].clone()), Ok(None));
    assert_eq!(w.source.calls(), [vec![1, 2], vec![3]]);
    w.source.put(2);
    assert_eq!(users.single(1).await, Ok(user(1, 1)));
    assert_eq!(users.single(3).await, Ok(None), "absence is cached as well");
    assert_eq!(w.source.runs(), 2);
    w.pass(TTL).await;
    assert_eq!(users.many(vec![1, 3]).await, Ok(rows([1, 3], 2)));
}

/// Needs fills.
async fn cache_none_and_ttl_hold_for_each_key<K: Kind>(w: World<K>) {
    let users = w.users();
    w.source.put(0);
    for _ in 0..2 {
        assert_eq!(users.many_or_ask_again(&[1, 2]).await, Ok(Rows::from([(1, None), (2, None)])));
    }
    assert_eq!(w.source.runs(), 2);
    w.source.put(1);
    for _ in 0..2 {
        assert_eq!(users.many_for_5s(&[1, 2]).await, Ok(rows([1, 2], 1)));
    }
    assert_eq!(w.source.runs(), 3);
    w.pass(secs(5) - ms(1)).await;
    assert_eq!(users.many_for_5s(&[1, 2]).await, Ok(rows([1, 2], 1)));
    assert_eq!(w.source.runs(), 3);
    w.pass(ms(1)).await;
    w.source.put(2);
    assert_eq!(users.many_for_5s(&[1, 2]).await, Ok(rows([1, 2], 2)));
}

/// Needs lives.
async fn stale_values_stand_in_where_there_is_one_for_each_key<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.stale_on_error(secs(100)));
    users.many(vec![1, 2]).await.expect("loads");
    w.source.away(true);
    w.pass(TTL).await;
    assert_eq!(users.many_strict(&[1, 2]).await, Err(Away(2)));
    w.pass(secs(2)).await;
    assert_eq!(users.many(vec![1, 2]).await, Ok(rows([1, 2], 1)));
    w.pass(secs(2)).await;
    assert_eq!(users.many(vec![1, 3]).await, Err(Away(4)), "3 was never seen");
}

/// Needs flights.
async fn keys_that_others_load_go_to_the_body_too_without_fill<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    let other = users.clone();
    let other = tokio::spawn(async move { other.single(1).await });
    door.reached().await;
    w.source.put(2);
    // It has 2 to load, and so waits for nobody.
    assert_eq!(users.many(vec![1, 2]).await, Ok(rows([1, 2], 2)));
    assert_eq!(w.source.calls(), [vec![1], vec![1, 2]]);
    assert!(!other.is_finished());
    assert_eq!(users.cached(2).await, Some(user(2, 2)));
    door.open();
    assert_eq!(other.await.expect("no panic"), Ok(user(1, 1)));
    assert_eq!(users.cached(1).await, Some(user(1, 1)), "from whom had the ticket, not from the batch");
}

/// Needs flights.
async fn a_batch_with_nothing_to_load_waits_for_others<K: Kind>(w: World<K>) {
    let users = w.users();
    let (first, second) = (w.source.door(), w.source.door());
    let (one, two, both) = (users.clone(), users.clone(), users.clone());
    let one = tokio::spawn(async move { one.single(1).await });
    first.reached().await;
    let two = tokio::spawn(async move { two.single(2).await });
    second.reached().await;
    let both = tokio::spawn(async move { both.many(vec![1, 2]).await });
    settle().await;
    first.open();
    settle().await;
    assert!(!both.is_finished());
    second.open();
    assert_eq!(both.await.expect("no panic"), Ok(rows([1, 2], 1)));
    assert_eq!(w.source.calls(), [[1], [2]], "no run of its own");
    for one in [one, two] {
        one.await.expect("no panic").expect("loads");
    }
}

/// Needs flights. A batch that waited for others while it held a ticket would wait for itself here.
async fn two_batches_crosswise_end_without_waiting<K: Kind>(w: World<K>) {
    let users = w.users();
    let (first, second) = (w.source.door(), w.source.door());
    let (a, b) = (users.clone(), users.clone());
    let start = tokio::time::Instant::now();
    let a = tokio::spawn(async move { a.many(vec![1, 2]).await });
    first.reached().await;
    let b = tokio::spawn(async move { b.many(vec![3, 2, 1]).await });
    second.reached().await;
    assert_eq!(w.source.calls(), [vec![1, 2], vec![3, 2, 1]]);
    second.open();
    assert_eq!(b.await.expect("no panic"), Ok(rows([1, 2, 3], 1)));
    first.open();
    assert_eq!(a.await.expect("no panic"), Ok(rows([1, 2], 1)));
    assert_eq!(start.elapsed(), ms(0));
    assert_eq!(w.source.runs(), 2);
}

/// Needs flights.
async fn a_batch_that_waits_for_a_failing_body_shares_its_error<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    let leader = users.clone();
    let leader = tokio::spawn(async move { leader.many_or_copied(vec![1, 2]).await });
    door.reached().await;
    let (copied, own, wide) = (users.clone(), users.clone(), users.clone());
    let copied = tokio::spawn(async move { copied.many_or_copied(vec![2, 1]).await });
    let own = tokio::spawn(async move { own.many(vec![1, 2]).await });
    let wide = tokio::spawn(async move { wide.many_or_wide(vec![1, 2]).await });
    settle().await;
    assert_eq!(w.source.runs(), 1);
    door.open();
    assert_eq!(leader.await.expect("no panic"), Err(Copied(1)));
    assert_eq!(copied.await.expect("no panic"), Err(Copied(1)), "a copy");
    assert_eq!(own.await.expect("no panic"), Err(Away(2)), "an error of its own type, by its own body");
    assert!(matches!(wide.await.expect("no panic"), Err(Wide::Cache(_))), "propagated");
    assert_eq!(w.source.calls(), [[1, 2], [1, 2]]);
}

/// Needs flights.
async fn a_batch_that_gets_a_ticket_while_it_waits_starts_at_once<K: Kind>(w: World<K>) {
    let users = w.users();
    let (first, second) = (w.source.door(), w.source.door());
    let (one, two, both) = (users.clone(), users.clone(), users.clone());
    let one = tokio::spawn(async move { one.single(1).await });
    first.reached().await;
    let two = tokio::spawn(async move { two.single(2).await });
    second.reached().await;
    let both = tokio::spawn(async move { both.many(vec![2, 1]).await });
    settle().await;
    w.source.put(2);
    one.abort();
    assert_eq!(both.await.expect("no panic"), Ok(rows([1, 2], 2)));
    assert_eq!(w.source.calls(), [vec![1], vec![2], vec![2, 1]]);
    assert!(!two.is_finished(), "2 is not waited for any more");
    second.open();
    assert_eq!(two.await.expect("no panic"), Ok(user(2, 1)));
    assert_eq!((users.cached(1).await, users.cached(2).await), (Some(user(1, 2)), Some(user(2, 1))));
}

/// Needs flights.
async fn batches_that_waited_run_together<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    w.source.slow(ms(50));
    let spawn = || {
        let users = users.clone();
        tokio::spawn(async move { users.many(vec![1, 2]).await })
    };
    let leader = spawn();
    door.reached().await;
    let waiters: Vec<_> = (0..3 * TOGETHER).map(|_| spawn()).collect();
    settle().await;
    assert_eq!(w.source.runs(), 1);
    door.open();
    for one in std::iter::once(leader).chain(waiters) {
        one.await.expect("no panic").expect_err("it failed");
    }
    assert_eq!((w.source.runs(), w.source.most_at_once()), (1 + 3 * TOGETHER, TOGETHER as u64));
}

/// Needs flights.
async fn a_left_out_key_makes_its_waiters_ask_for_themselves<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.leave_out(&[2]);
    let leader = users.clone();
    let leader = tokio::spawn(async move { leader.many(vec![1, 2]).await });
    door.reached().await;
    let waiter = users.clone();
    let waiter = tokio::spawn(async move { waiter.single(2).await });
    settle().await;
    w.source.leave_out(&[]);
    door.open();
    assert_eq!(leader.await.expect("no panic").map(|rows| rows[&2].clone()), Ok(None));
    assert_eq!(waiter.await.expect("no panic"), Ok(user(2, 1)));
    assert_eq!(w.source.calls(), [vec![1, 2], vec![2]]);
}
