//! A cache that can't take part: the function does without (`ignore`), or returns the cache's error (`propagate`).

use std::sync::Arc;

use accelerator::macros::{cache_evict, cache_evict_batch, cache_put, cacheable, cacheable_batch};
use accelerator::testkit::{Fault, Op};
use accelerator::{Cache, CacheError, CacheResult, ErrorKind, StoreErrorKind};

use crate::common::{Away, Erased, Kind, Row, Rows, Users, Wide, World, user};

/// None of these errors can be made of a `CacheError`: with `ignore` there is no need.
impl<C: Cache<u64, Arc<crate::common::User>>> Users<C> {
    #[cacheable(cache = self.cache, key = id)]
    async fn find_anyway(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable(cache = self.cache, key = id, on_cache_error = "ignore")]
    async fn find_anyway_of_cache(&self, id: u64) -> CacheResult<Row> {
        self.source.find(id).await.map_err(|_| CacheError::new(ErrorKind::Loader, "the body's"))
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn find_all_anyway(&self, ids: &[u64]) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn find_all_anyway_of_cache(&self, ids: &[u64]) -> CacheResult<Rows> {
        self.source.find_many(ids).await.map_err(|_| CacheError::new(ErrorKind::Loader, "the body's"))
    }

    #[cache_put(cache = self.cache, key = id, value = user(id, 5))]
    async fn save_anyway(&self, id: u64) -> Result<u64, Away> {
        self.source.find(id).await.map(|_| id)
    }

    #[cache_evict(cache = self.cache, key = id)]
    async fn delete_anyway(&self, id: u64) -> Result<u64, Away> {
        self.source.find(id).await.map(|_| id)
    }

    #[cache_evict_batch(cache = self.cache, keys = ids)]
    async fn delete_all_anyway(&self, ids: &[u64]) -> Result<usize, Away> {
        self.source.find_many(ids).await.map(|rows| rows.len())
    }

    #[cache_evict(cache = self.cache, key = id, before = true)]
    async fn delete_anyway_after(&self, id: u64) -> Result<u64, Away> {
        self.source.find(id).await.map(|_| id)
    }

    #[cache_evict_batch(cache = self.cache, keys = ids, before = true)]
    async fn delete_all_anyway_after(&self, ids: &[u64]) -> Result<usize, Away> {
        self.source.find_many(ids).await.map(|rows| rows.len())
    }
}

impl<C: Cache<u64, Arc<crate::common::User>>> Users<C> {
    #[cacheable(cache = self.cache, key = id, on_cache_error = "propagate")]
    async fn find_or_say(&self, id: u64) -> Result<Row, Wide> {
        Ok(self.source.find(id).await?)
    }

    #[cacheable_batch(cache = self.cache, keys = ids, on_cache_error = "propagate")]
    async fn find_all_or_say(&self, ids: &[u64]) -> Result<Rows, Wide> {
        Ok(self.source.find_many(ids).await?)
    }

    #[cache_put(cache = self.cache, key = id, value = user(id, 5), on_cache_error = "propagate")]
    async fn save_or_say(&self, id: u64) -> Result<u64, Wide> {
        self.source.find(id).await?;
        Ok(id)
    }

    #[cache_evict(cache = self.cache, key = id, on_cache_error = "propagate")]
    async fn delete_or_say(&self, id: u64) -> Result<u64, Wide> {
        self.source.find(id).await?;
        Ok(id)
    }

    #[cache_evict_batch(cache = self.cache, keys = ids, on_cache_error = "propagate")]
    async fn delete_all_or_say(&self, ids: &[u64]) -> Result<usize, Wide> {
        Ok(self.source.find_many(ids).await?.len())
    }

    #[cache_evict(cache = self.cache, key = id, before = true, on_cache_error = "propagate")]
    async fn delete_or_say_after(&self, id: u64) -> Result<u64, Wide> {
        self.source.find(id).await?;
        Ok(id)
    }

    #[cache_evict_batch(cache = self.cache, keys = ids, before = true, on_cache_error = "propagate")]
    async fn delete_all_or_say_after(&self, ids: &[u64]) -> Result<usize, Wide> {
        Ok(self.source.find_many(ids).await?.len())
    }
}

on_all!(ignored_the_body_runs_and_its_outcome_is_the_answer, ignored_a_failure_of_the_body_stays_its_own);
on_all!(propagated_a_read_is_the_error_and_runs_no_body, propagated_a_write_is_the_error_after_its_body);
on_all!(propagated_an_eviction_before_the_body_keeps_it_from_running, propagated_a_failing_body_keeps_its_error);

fn is_the_caches<T: std::fmt::Debug>(outcome: Result<T, Wide>) {
    let error = outcome.expect_err("the cache's error");
    let is = |error: &CacheError| matches!(error.kind(), ErrorKind::Shutdown | ErrorKind::Unconfirmed);
    assert!(matches!(&error, Wide::Cache(error) if is(error)), "{error:?}");
}

async fn ignored_the_body_runs_and_its_outcome_is_the_answer<K: Kind>(w: World<K>) {
    let users = w.users();
    users.stop().await;
    assert_eq!(users.find_anyway(1).await, Ok(user(1, 1)));
    assert_eq!(users.find_anyway_of_cache(1).await.expect("the body's answer"), user(1, 1));
    let all = Rows::from([(1, user(1, 1)), (2, user(2, 1))]);
    assert_eq!(users.find_all_anyway(&[1, 2]).await, Ok(all.clone()));
    assert_eq!(users.find_all_anyway_of_cache(&[1, 2]).await.expect("the body's answer"), all);
    assert_eq!(w.source.calls(), [vec![1], vec![1], vec![1, 2], vec![1, 2]]);
    assert_eq!(users.save_anyway(1).await, Ok(1));
    assert_eq!(users.delete_anyway(1).await, Ok(1));
    assert_eq!(users.delete_anyway_after(1).await, Ok(1));
    assert_eq!(users.delete_all_anyway(&[1, 2]).await, Ok(2));
    assert_eq!(users.delete_all_anyway_after(&[1, 2]).await, Ok(2));
    assert_eq!(w.source.runs(), 9);
}

async fn ignored_a_failure_of_the_body_stays_its_own<K: Kind>(w: World<K>) {
    let users = w.users();
    users.stop().await;
    w.source.away(true);
    assert_eq!(users.find_anyway(1).await, Err(Away(1)));
    assert_eq!(users.find_all_anyway(&[1, 2]).await, Err(Away(2)));
    assert_eq!(users.save_anyway(1).await, Err(Away(3)));
    assert_eq!(users.delete_anyway(1).await, Err(Away(4)));
    assert_eq!(users.delete_all_anyway(&[1, 2]).await, Err(Away(5)));
    let of_cache = users.find_all_anyway_of_cache(&[1, 2]).await.expect_err("it is away");
    assert_eq!((of_cache.kind(), w.source.runs()), (ErrorKind::Loader, 6));
}

async fn propagated_a_read_is_the_error_and_runs_no_body<K: Kind>(w: World<K>) {
    let users = w.users();
    users.stop().await;
    is_the_caches(users.find_or_say(1).await);
    is_the_caches(users.find_all_or_say(&[1, 2]).await);
    assert_eq!(users.find_all_or_say(&[]).await.expect("nothing was asked"), Rows::new());
    assert_eq!(w.source.runs(), 0);
}

async fn propagated_a_write_is_the_error_after_its_body<K: Kind>(w: World<K>) {
    let users = w.users();
    users.stop().await;
    is_the_caches(users.save_or_say(1).await);
    is_the_caches(users.delete_or_say(1).await);
    is_the_caches(users.delete_all_or_say(&[1, 2]).await);
    assert_eq!(w.source.runs(), 3);
}

async fn propagated_an_eviction_before_the_body_keeps_it_from_running<K: Kind>(w: World<K>) {
    let users = w.users();
    users.stop().await;
    is_the_caches(users.delete_or_say_after(1).await);
    is_the_caches(users.delete_all_or_say_after(&[1, 2]).await);
    assert_eq!(w.source.runs(), 0);
    assert_eq!(users.delete_all_or_say_after(&[]).await.expect("nothing to evict"), 0);
}

async fn propagated_a_failing_body_keeps_its_error<K: Kind>(w: World<K>) {
    let users = w.users();
    w.source.away(true);
    assert!(matches!(users.find_or_say(1).await, Err(Wide::Away(1))));
    assert!(matches!(users.find_all_or_say(&[1]).await, Err(Wide::Away(2))));
    users.stop().await;
    assert!(matches!(users.save_or_say(1).await, Err(Wide::Away(3))));
    assert!(matches!(users.delete_or_say(1).await, Err(Wide::Away(4))));
    assert!(matches!(users.delete_all_or_say(&[1]).await, Err(Wide::Away(5))));
}

/// A read needs no L2; a write that L2 does not confirm is an error of the cache.
#[tokio::test(start_paused = true)]
async fn an_l2_that_fails_is_a_miss_to_reads_and_an_error_to_writes() {
    let w = World::<Erased>::new();
    let users = w.users();
    w.l2.always(Some(Fault::Error(StoreErrorKind::Unavailable)));
    assert_eq!(users.find_or_say(1).await.expect("loads"), user(1, 1));
    assert_eq!(users.find_all_or_say(&[2, 3]).await.expect("loads").len(), 2);
    is_the_caches(users.save_or_say(1).await);
    assert_eq!(users.save_anyway(1).await, Ok(1));
    is_the_caches(users.delete_or_say(2).await);
    assert_eq!(users.delete_anyway(2).await, Ok(2));
    is_the_caches(users.delete_all_or_say(&[2, 3]).await);
    assert_eq!(users.delete_all_anyway(&[2, 3]).await, Ok(2));
    let runs = w.source.runs();
    is_the_caches(users.delete_or_say_after(2).await);
    assert_eq!(w.source.runs(), runs);
    assert!(w.l2.calls(Op::Del) > 0);
}
