//! `cacheable`: what is cached is the answer, known absence too, for as long as it was said; a body that fails may be
//! stood in for by a stale value.

use std::sync::Arc;

use accelerator::macros::cacheable;
use accelerator::{Cache, CacheResult};

use crate::common::{Away, Kind, Row, TTL, User, Users, World, ms, secs, user};

impl<C: Cache<u64, Arc<User>>> Users<C> {
    #[cacheable(cache = self.cache, key = id)]
    async fn find(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn find_infallible(&self, id: u64) -> Row {
        self.source.find(id).await.ok().flatten()
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn get_or_make(&self, id: u64) -> Result<Arc<User>, Away> {
        let found = self.source.find(id).await?;
        Ok(found.unwrap_or_else(|| Arc::new(User { id, version: 99 })))
    }

    #[cacheable(cache = self.cache, key = id, cache_none = false)]
    async fn find_or_ask_again(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable(cache = self.cache, key = id, ttl = ttl)]
    async fn find_for(&self, id: u64, ttl: std::time::Duration) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable(cache = self.cache, key = id, condition = id.is_multiple_of(2) && !fresh)]
    async fn find_even(&self, id: u64, fresh: bool) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable(cache = self.cache, key = id, allow_stale = false)]
    async fn find_strict(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn find_with_error_of_cache(&self, id: u64) -> CacheResult<Row> {
        self.source
            .find(id)
            .await
            .map_err(|Away(run)| accelerator::CacheError::loader(std::io::Error::other(run.to_string())))
    }
}

on_all!(
    a_hit_is_the_answer_and_no_body_runs,
    a_known_absence_is_the_answer,
    an_always_present_type_asks_past_an_absence
);
on_all!(where_the_condition_is_false_the_cache_has_no_part);
on_real!(what_a_body_found_is_cached_for_the_ttl, an_absence_is_honoured_until_null_ttl_is_over);
on_real!(without_cache_none_an_absence_is_not_kept, a_ttl_of_the_function_beats_that_of_the_cache);
on_real!(a_stale_value_stands_in_for_a_failure, a_stale_value_is_not_given_where_the_function_forbids_it);
on_real!(by_default_a_cache_serves_nothing_stale, a_stale_absence_stands_in_too);

async fn a_hit_is_the_answer_and_no_body_runs<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 7).await;
    assert_eq!(users.find(1).await, Ok(user(1, 7)));
    assert_eq!(users.find_infallible(1).await, user(1, 7));
    assert_eq!(users.get_or_make(1).await, Ok(user(1, 7).expect("some")));
    assert_eq!(users.find_strict(1).await, Ok(user(1, 7)));
    assert_eq!(users.find_even(1, false).await, Ok(user(1, 1)), "odd: not from the cache");
    assert_eq!(w.source.runs(), 1);
    assert_eq!(users.find(2).await, Ok(user(2, 1)), "another key is another key");
    assert_eq!(w.source.calls(), [[1], [2]]);
}

async fn a_known_absence_is_the_answer<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 0).await;
    assert_eq!(users.find(1).await, Ok(None));
    assert_eq!(users.find_infallible(1).await, None);
    assert_eq!(users.find_or_ask_again(1).await, Ok(None), "who caches no absence still honours one");
    assert_eq!(w.source.runs(), 0);
}

async fn an_always_present_type_asks_past_an_absence<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(1, 0).await;
    w.source.put(0);
    assert_eq!(users.get_or_make(1).await.map(|user| user.version), Ok(99));
    assert_eq!(w.source.runs(), 1);
}

async fn where_the_condition_is_false_the_cache_has_no_part<K: Kind>(w: World<K>) {
    let users = w.users();
    users.set(2, 7).await;
    assert_eq!(users.find_even(2, false).await, Ok(user(2, 7)));
    assert_eq!(users.find_even(2, true).await, Ok(user(2, 1)), "not asked");
    assert_eq!(users.find_even(3, false).await, Ok(user(3, 1)));
    assert_eq!(users.cached(2).await, Some(user(2, 7)), "not filled");
    assert_eq!(users.cached(3).await, None, "not filled");
    w.source.away(true);
    assert_eq!(users.find_even(3, false).await, Err(Away(3)));
}

/// Needs fills.
async fn what_a_body_found_is_cached_for_the_ttl<K: Kind>(w: World<K>) {
    let users = w.users();
    assert_eq!(users.find(1).await, Ok(user(1, 1)));
    w.source.put(2);
    w.pass(TTL - ms(1)).await;
    assert_eq!(users.find(1).await, Ok(user(1, 1)));
    assert_eq!(w.source.runs(), 1);
    w.pass(ms(1)).await;
    assert_eq!(users.find(1).await, Ok(user(1, 2)));
    assert_eq!(w.source.runs(), 2);
}

/// Needs fills.
async fn an_absence_is_honoured_until_null_ttl_is_over<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.null_ttl(secs(10)));
    w.source.put(0);
    assert_eq!(users.find(1).await, Ok(None));
    w.source.put(1);
    w.pass(secs(10) - ms(1)).await;
    assert_eq!(users.find(1).await, Ok(None));
    assert_eq!(w.source.runs(), 1);
    w.pass(ms(1)).await;
    assert_eq!(users.find(1).await, Ok(user(1, 1)));
}

/// Needs fills.
async fn without_cache_none_an_absence_is_not_kept<K: Kind>(w: World<K>) {
    let users = w.users();
    w.source.put(0);
    for _ in 0..3 {
        assert_eq!(users.find_or_ask_again(1).await, Ok(None));
    }
    assert_eq!(w.source.runs(), 3);
    w.source.put(1);
    for _ in 0..3 {
        assert_eq!(users.find_or_ask_again(1).await, Ok(user(1, 1)), "a value is kept");
    }
    assert_eq!(w.source.runs(), 4);
}

/// Needs fills.
async fn a_ttl_of_the_function_beats_that_of_the_cache<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.null_ttl(secs(10)));
    for (id, ttl) in [(1, secs(5)), (2, TTL * 2)] {
        w.source.put(1);
        assert_eq!(users.find_for(id, ttl).await, Ok(user(id, 1)));
        w.source.put(2);
        w.pass(ttl - ms(1)).await;
        assert_eq!(users.find_for(id, ttl).await, Ok(user(id, 1)));
        w.pass(ms(1)).await;
        assert_eq!(users.find_for(id, ttl).await, Ok(user(id, 2)));
    }
    // An absence keeps the cache's null_ttl.
    w.source.put(0);
    assert_eq!(users.find_for(3, secs(50)).await, Ok(None));
    w.source.put(1);
    w.pass(secs(10)).await;
    assert_eq!(users.find_for(3, secs(50)).await, Ok(user(3, 1)));
}

/// Needs lives.
async fn a_stale_value_stands_in_for_a_failure<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.stale_on_error(secs(100)));
    assert_eq!(users.find(1).await, Ok(user(1, 1)));
    w.source.away(true);
    w.pass(TTL + secs(100) - ms(1)).await;
    assert_eq!(users.find(1).await, Ok(user(1, 1)));
    assert_eq!(w.source.runs(), 2, "the body was run first");
    w.pass(ms(1)).await;
    assert_eq!(users.find(1).await, Err(Away(3)), "too old");
}

/// Needs lives.
async fn a_stale_absence_stands_in_too<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.stale_on_error(secs(100)).null_ttl(secs(10)));
    w.source.put(0);
    assert_eq!(users.find(1).await, Ok(None));
    w.source.away(true);
    w.pass(secs(10)).await;
    assert_eq!(users.find(1).await, Ok(None));
    assert_eq!(w.source.runs(), 2);
    w.pass(secs(2)).await;
    assert_eq!(users.get_or_make(1).await, Err(Away(3)), "a type without absence has nothing to give instead");
}

/// Needs lives.
async fn a_stale_value_is_not_given_where_the_function_forbids_it<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.stale_on_error(secs(100)));
    assert_eq!(users.find_strict(1).await, Ok(user(1, 1)));
    w.source.away(true);
    w.pass(TTL).await;
    assert_eq!(users.find_strict(1).await, Err(Away(2)));
    assert_eq!(users.find(1).await, Ok(user(1, 1)), "who allows it gets it");
    assert_eq!(users.find_strict(1).await, Err(Away(w.source.runs())), "also while failures are remembered");
}

/// Needs lives.
async fn by_default_a_cache_serves_nothing_stale<K: Kind>(w: World<K>) {
    let users = w.users();
    assert_eq!(users.find(1).await, Ok(user(1, 1)));
    w.source.away(true);
    w.pass(TTL).await;
    assert_eq!(users.find(1).await, Err(Away(2)));
    assert!(users.find_with_error_of_cache(1).await.is_err());
}
