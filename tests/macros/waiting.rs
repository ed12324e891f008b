//! Waiting for somebody's body: it is bounded, it survives that somebody's panic and disappearance, and a body that waits
//! for itself ends. None of this is for the fake: without flights nobody waits.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use accelerator::Cache;
use accelerator::macros::{cacheable, cacheable_batch};
use accelerator::testkit::settle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::common::{Away, Kind, Row, Rows, Told, User, Users, World, secs, user};

impl<C: Cache<u64, Arc<User>> + Clone + 'static> Users<C> {
    #[cacheable(cache = self.cache, key = id)]
    async fn one(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn one_told(&self, id: u64) -> Result<Row, Told> {
        Ok(self.source.find(id).await?)
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn some(&self, ids: Vec<u64>) -> Result<Rows, Away> {
        self.source.find_many(&ids).await
    }

    /// Its body asks for its own key, by another function.
    #[cacheable(cache = self.cache, key = id)]
    async fn by_another(&self, id: u64) -> Result<Row, Away> {
        self.one(id).await
    }

    /// Its body asks for its own key, by itself; the first time.
    #[cacheable(cache = self.cache, key = id)]
    async fn by_itself(&self, id: u64) -> Result<Row, Away> {
        if self.source.runs() == 0 {
            self.source.find(id).await?;
            return Box::pin(self.by_itself(id)).await;
        }
        self.source.find(id).await
    }

    /// Its body asks the cache for its own key.
    #[cacheable(cache = self.cache, key = id)]
    async fn by_the_cache(&self, id: u64) -> Result<Row, Away> {
        // What it answers is the cache's business; that it answers is ours.
        drop(self.cache.get(&id).await);
        self.source.find(id).await
    }

    /// Its body asks for its own keys.
    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn some_by_another(&self, ids: Vec<u64>) -> Result<Rows, Away> {
        self.some(ids).await
    }

    /// Its body asks for one of its own keys.
    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn some_by_one(&self, ids: Vec<u64>) -> Result<Rows, Away> {
        let mut rows = Rows::new();
        for id in ids {
            rows.insert(id, self.one(id).await?);
        }
        Ok(rows)
    }
}

on_real!(
    waiting_is_bounded_by_loader_timeout,
    a_body_that_asks_for_its_own_key_ends,
    a_batch_that_asks_for_its_own_keys_ends
);
on_real!(after_a_panic_of_the_body_nobody_hangs, after_a_panic_of_a_batch_nobody_hangs);
on_real!(when_the_caller_goes_the_next_who_waits_runs, when_the_caller_of_a_batch_goes_those_who_wait_run);
on_real!(a_waiter_may_go_without_harm, a_panic_of_something_else_in_the_leaders_task_passes_the_load_on);

const LIMIT: std::time::Duration = secs(3);

fn limited<K: Kind>(w: &World<K>) -> Users<K::Cache> {
    w.users_with(|b| b.loader_timeout(LIMIT))
}

/// What a leader may take: its load, the read of L2 before it, and a little more.
fn is_one_wait(took: std::time::Duration) -> bool {
    (LIMIT..LIMIT * 3 / 2).contains(&took)
}

async fn waiting_is_bounded_by_loader_timeout<K: Kind>(w: World<K>) {
    let users = limited(&w);
    for (key, batch) in [(1, false), (2, true)] {
        let (held, door, before) = (users.clone(), w.source.door(), w.source.runs());
        let mut held = pin!(async move { held.one(key).await });
        // It gets as far as the door, and is not polled any more.
        while w.source.runs() == before {
            assert!(held.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            settle().await;
        }
        let start = Instant::now();
        if batch {
            assert_eq!(users.some(vec![key]).await.map(|rows| rows.len()), Ok(1));
        } else {
            assert_eq!(users.one(key).await, Ok(user(key, 1)), "it ran its own body");
        }
        assert!(is_one_wait(start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(w.source.runs(), before + 2);
        settle().await;
        assert_eq!(users.cached(key).await, Some(user(key, 1)), "it led beside the other, for all who waited");
        door.open();
        assert_eq!(held.await, Ok(user(key, 1)), "the body itself has no limit");
    }
}

async fn a_body_that_asks_for_its_own_key_ends<K: Kind>(w: World<K>) {
    let users = limited(&w);
    let start = Instant::now();
    assert_eq!(users.by_another(1).await, Ok(user(1, 1)));
    assert!(is_one_wait(start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(w.source.runs(), 1);
    let again = World::<K>::new();
    let (users, start) = (limited(&again), Instant::now());
    assert_eq!(users.by_itself(1).await, Ok(user(1, 1)));
    assert!(is_one_wait(start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(again.source.runs(), 2);
    let start = Instant::now();
    assert_eq!(users.by_the_cache(2).await, Ok(user(2, 1)));
    assert!(start.elapsed() < LIMIT * 3, "{:?}", start.elapsed());
    settle().await;
    assert_eq!(users.cached(2).await, Some(user(2, 1)));
}

async fn a_batch_that_asks_for_its_own_keys_ends<K: Kind>(w: World<K>) {
    let users = limited(&w);
    let start = Instant::now();
    assert_eq!(users.some_by_another(vec![1, 2]).await.map(|rows| rows.len()), Ok(2));
    assert!(is_one_wait(start.elapsed()), "the keys are waited for at once: {:?}", start.elapsed());
    assert_eq!(w.source.runs(), 1);
    let start = Instant::now();
    assert_eq!(users.some_by_one(vec![3, 4]).await.map(|rows| rows.len()), Ok(2));
    assert!(start.elapsed() < LIMIT * 3, "{:?}", start.elapsed());
    assert_eq!(w.source.runs(), 3);
}

async fn after_a_panic_of_the_body_nobody_hangs<K: Kind>(w: World<K>) {
    for copied in [false, true] {
        let w2 = World::<K>::new();
        let (users, door) = (w2.users(), w2.source.door());
        let spawn = |copied: bool| {
            let users = users.clone();
            tokio::spawn(async move {
                match copied {
                    true => users.one_told(1).await.map_err(|Told(run)| Away(run)),
                    false => users.one(1).await,
                }
            })
        };
        w2.source.panics(true);
        let leader = spawn(copied);
        door.reached().await;
        let waiters: Vec<_> = (0..10).map(|_| spawn(copied)).collect();
        settle().await;
        w2.source.panics(false);
        door.open();
        assert!(leader.await.expect_err("it panicked").is_panic());
        for waiter in waiters {
            assert_eq!(waiter.await.expect("no panic"), Ok(user(1, 1)));
        }
        assert_eq!(users.one(1).await, Ok(user(1, 1)), "the next call starts clean");
    }
    drop(w);
}

async fn after_a_panic_of_a_batch_nobody_hangs<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.panics(true);
    let leader = users.clone();
    let leader = tokio::spawn(async move { leader.some(vec![1, 2]).await });
    door.reached().await;
    let (one, some) = (users.clone(), users.clone());
    let one = tokio::spawn(async move { one.one(1).await });
    let some = tokio::spawn(async move { some.some(vec![1, 2]).await });
    settle().await;
    w.source.panics(false);
    door.open();
    assert!(leader.await.expect_err("it panicked").is_panic());
    assert_eq!(one.await.expect("no panic"), Ok(user(1, 1)));
    assert_eq!(some.await.expect("no panic").map(|rows| rows.len()), Ok(2));
}

async fn when_the_caller_goes_the_next_who_waits_runs<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    let spawn = || {
        let users = users.clone();
        tokio::spawn(async move { users.one(1).await })
    };
    let leader = spawn();
    door.reached().await;
    let waiters: Vec<_> = (0..10).map(|_| spawn()).collect();
    settle().await;
    let second = w.source.door();
    leader.abort();
    assert!(leader.await.expect_err("it was cancelled").is_cancelled());
    second.reached().await;
    settle().await;
    assert_eq!(w.source.runs(), 2, "one of those who waited runs, the others wait for it");
    second.open();
    for waiter in waiters {
        assert_eq!(waiter.await.expect("no panic"), Ok(user(1, 1)));
    }
    assert_eq!(w.source.runs(), 2);
    assert_eq!(users.cached(1).await, Some(user(1, 1)), "the heir's outcome is cached");
}

async fn when_the_caller_of_a_batch_goes_those_who_wait_run<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    let leader = users.clone();
    let leader = tokio::spawn(async move { leader.some(vec![1, 2, 3]).await });
    door.reached().await;
    let (one, some) = (users.clone(), users.clone());
    let one = tokio::spawn(async move { one.one(1).await });
    let some = tokio::spawn(async move { some.some(vec![2, 3]).await });
    settle().await;
    leader.abort();
    assert!(leader.await.expect_err("it was cancelled").is_cancelled());
    assert_eq!(one.await.expect("no panic"), Ok(user(1, 1)));
    assert_eq!(some.await.expect("no panic").map(|rows| rows.len()), Ok(2));
    settle().await;
    for id in 1..=3 {
        assert_eq!(users.cached(id).await, Some(user(id, 1)), "{id}");
    }
    assert_eq!(w.source.calls()[0], [1, 2, 3]);
    assert_eq!(w.source.runs(), 3, "each key once more: {:?}", w.source.calls());
}

async fn a_waiter_may_go_without_harm<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    let spawn = || {
        let users = users.clone();
        tokio::spawn(async move { users.one(1).await })
    };
    let leader = spawn();
    door.reached().await;
    let (goes, stays) = (spawn(), spawn());
    settle().await;
    goes.abort();
    assert!(goes.await.expect_err("it was cancelled").is_cancelled());
    door.open();
    assert_eq!(leader.await.expect("no panic"), Ok(user(1, 1)));
    assert_eq!(stays.await.expect("no panic"), Ok(user(1, 1)));
    assert_eq!(w.source.runs(), 1);
}

async fn a_panic_of_something_else_in_the_leaders_task_passes_the_load_on<K: Kind>(w: World<K>) {
    for batch in [false, true] {
        let w = World::<K>::new();
        let (users, door, fate) = (w.users(), w.source.door(), Arc::new(Notify::new()));
        let (leads, falls) = (users.clone(), fate.clone());
        let body = async move {
            match batch {
                true => drop(leads.some(vec![1, 2]).await),
                false => drop(leads.one(1).await),
            }
        };
        let stranger = async move {
            falls.notified().await;
            std::panic::resume_unwind(Box::new("a stranger"));
        };
        let leader = tokio::spawn(async move { tokio::join!(body, stranger) });
        door.reached().await;
        let spawn = || {
            let users = users.clone();
            tokio::spawn(async move { users.one(1).await })
        };
        let waiters: Vec<_> = (0..10).map(|_| spawn()).collect();
        settle().await;
        fate.notify_one();
        assert!(leader.await.expect_err("it panicked").is_panic());
        for waiter in waiters {
            assert_eq!(waiter.await.expect("no panic"), Ok(user(1, 1)));
        }
        assert_eq!(w.source.runs(), 2, "one of those who waited ran, the others waited for it");
        assert_eq!(users.cached(1).await, Some(user(1, 1)), "the heir's outcome is cached");
    }
    drop(w);
}
