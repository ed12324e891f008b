//! A body that fails while others wait for it. Its own caller gets its error. The others get a copy, or run their own
//! bodies, not too many at once. None of this is for the fake: without flights nobody waits.

use std::sync::Arc;
use std::time::Duration;

use accelerator::macros::cacheable;
use accelerator::memoize::TOGETHER;
use accelerator::testkit::settle;
use accelerator::{Cache, CacheResult, ErrorKind};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::common::{Away, Copied, Kind, Row, Told, User, Users, Wide, World, ms, secs, user};

impl<C: Cache<u64, Arc<User>> + Clone> Users<C> {
    #[cacheable(cache = self.cache, key = id)]
    async fn or_away(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn or_copied(&self, id: u64) -> Result<Row, Copied> {
        Ok(self.source.find(id).await?)
    }

    #[cacheable(cache = self.cache, key = id)]
    async fn or_told(&self, id: u64) -> Result<Row, Told> {
        Ok(self.source.find(id).await?)
    }

    #[cacheable(cache = self.cache, key = id, on_cache_error = "propagate")]
    async fn or_wide(&self, id: u64) -> Result<Row, Wide> {
        Ok(self.source.find(id).await?)
    }
}

on_all!(the_caller_of_a_body_gets_its_error_untouched);
on_real!(waiters_get_a_copy_of_an_error_that_can_be_copied, waiters_of_a_get_can_read_the_error_of_the_body);
on_real!(waiters_run_together_where_the_error_cannot_be_copied, what_waiters_find_by_themselves_is_not_cached);
on_real!(propagated_waiters_get_an_error_of_the_cache, a_stale_value_goes_to_all_who_wait);
on_real!(a_thousand_waiters_of_a_failing_body_end_within_the_bound, a_thousand_waiters_share_one_failure);
on_real!(a_waiter_of_another_function_with_another_error_runs_its_own_body);

async fn the_caller_of_a_body_gets_its_error_untouched<K: Kind>(w: World<K>) {
    let users = w.users();
    w.source.away(true);
    assert_eq!(users.or_away(1).await, Err(Away(1)));
    assert_eq!(users.or_copied(1).await, Err(Copied(2)));
    assert_eq!(users.or_told(1).await, Err(Told(3)));
    assert!(matches!(users.or_wide(1).await, Err(Wide::Away(4))));
    w.source.away(false);
    assert_eq!(users.or_away(1).await, Ok(user(1, 1)), "a failure is not kept");
}

/// One leads and stands at a door; so many others wait for it.
macro_rules! waiting {
    ($w:ident, $users:ident, $door:ident, $find:ident, $waiters:expr) => {{
        let spawn = || {
            let users = $users.clone();
            tokio::spawn(async move { users.$find(1).await })
        };
        let leader = spawn();
        $door.reached().await;
        let waiters: Vec<JoinHandle<_>> = (0..$waiters).map(|_| spawn()).collect();
        settle().await;
        assert_eq!($w.source.runs(), 1, "all wait");
        (leader, waiters)
    }};
}

async fn waiters_get_a_copy_of_an_error_that_can_be_copied<K: Kind>(w: World<K>) {
    for way in 0..2 {
        let w = World::<K>::new();
        let (users, door) = (w.users(), w.source.door());
        w.source.away(true);
        if way == 0 {
            let (leader, waiters) = waiting!(w, users, door, or_copied, 10);
            door.open();
            assert_eq!(leader.await.expect("no panic"), Err(Copied(1)));
            for waiter in waiters {
                assert_eq!(waiter.await.expect("no panic"), Err(Copied(1)));
            }
        } else {
            let (leader, waiters) = waiting!(w, users, door, or_told, 10);
            door.open();
            assert_eq!(leader.await.expect("no panic"), Err(Told(1)));
            for waiter in waiters {
                assert_eq!(waiter.await.expect("no panic"), Err(Told(1)));
            }
        }
        assert_eq!(w.source.runs(), 1);
    }
    drop(w);
}

async fn waiters_of_a_get_can_read_the_error_of_the_body<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    let (leader, _) = waiting!(w, users, door, or_told, 0);
    let cache = users.cache.clone();
    let get: JoinHandle<CacheResult<Row>> = tokio::spawn(async move { cache.get(&1).await });
    settle().await;
    door.open();
    assert_eq!(leader.await.expect("no panic"), Err(Told(1)));
    let error = get.await.expect("no panic").expect_err("the load failed");
    assert_eq!((error.kind(), error.downcast_ref::<Told>()), (ErrorKind::Loader, Some(&Told(1))));
}

async fn a_waiter_of_another_function_with_another_error_runs_its_own_body<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    let (leader, _) = waiting!(w, users, door, or_told, 0);
    let other = users.clone();
    let other = tokio::spawn(async move { other.or_copied(1).await });
    settle().await;
    door.open();
    assert_eq!(leader.await.expect("no panic"), Err(Told(1)));
    assert_eq!(other.await.expect("no panic"), Err(Copied(2)));
}

async fn waiters_run_together_where_the_error_cannot_be_copied<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    let (leader, waiters) = waiting!(w, users, door, or_away, 3 * TOGETHER);
    // From here on each run stands at a door of its own.
    let doors: Vec<_> = (0..3 * TOGETHER).map(|_| w.source.door()).collect();
    door.open();
    settle().await;
    assert_eq!(w.source.runs(), 1 + TOGETHER, "so many at once, and no more");
    doors[0].open();
    settle().await;
    assert_eq!(w.source.runs(), 2 + TOGETHER, "one ends, the next begins");
    doors.iter().for_each(crate::common::Door::open);
    let mut errors = Vec::new();
    for one in std::iter::once(leader).chain(waiters) {
        let Away(run) = one.await.expect("no panic").expect_err("it failed");
        errors.push(run);
    }
    errors.sort_unstable();
    assert!(errors.iter().copied().eq(1..=1 + 3 * TOGETHER), "each has the error of its own run");
    assert_eq!(w.source.most_at_once(), TOGETHER as u64);
}

async fn what_waiters_find_by_themselves_is_not_cached<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    let (leader, waiters) = waiting!(w, users, door, or_away, 5);
    w.source.away(false);
    door.open();
    assert_eq!(leader.await.expect("no panic"), Err(Away(1)));
    for waiter in waiters {
        assert_eq!(waiter.await.expect("no panic"), Ok(user(1, 1)));
    }
    settle().await;
    assert_eq!(users.cached(1).await, None);
    assert_eq!(w.source.runs(), 6);
}

async fn propagated_waiters_get_an_error_of_the_cache<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    let (leader, waiters) = waiting!(w, users, door, or_wide, 5);
    door.open();
    assert!(matches!(leader.await.expect("no panic"), Err(Wide::Away(1))));
    for waiter in waiters {
        let error = waiter.await.expect("no panic").expect_err("it failed");
        assert!(matches!(error, Wide::Cache(error) if error.kind() == ErrorKind::Loader));
    }
    assert_eq!(w.source.runs(), 1);
}

async fn a_stale_value_goes_to_all_who_wait<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.stale_on_error(secs(100)));
    assert_eq!(users.or_away(1).await, Ok(user(1, 1)));
    w.pass(crate::common::TTL).await;
    w.source.away(true);
    let door = w.source.door();
    let spawn = || {
        let users = users.clone();
        tokio::spawn(async move { users.or_away(1).await })
    };
    let mut all = vec![spawn()];
    door.reached().await;
    all.extend((0..10).map(|_| spawn()));
    settle().await;
    door.open();
    for one in all {
        assert_eq!(one.await.expect("no panic"), Ok(user(1, 1)));
    }
    assert_eq!(w.source.runs(), 2);
}

const WAITERS: usize = 1000;
const SLOW: Duration = ms(50);

/// The leader's run, then the waiters' in rounds of `TOGETHER`.
async fn a_thousand_waiters_of_a_failing_body_end_within_the_bound<K: Kind>(w: World<K>) {
    // The waiters' wait for the leader is over long before this.
    let (users, door) = (w.users_with(|b| b.loader_timeout(secs(2))), w.source.door());
    w.source.away(true);
    w.source.slow(SLOW);
    let (leader, waiters) = waiting!(w, users, door, or_away, WAITERS - 1);
    let start = Instant::now();
    door.open();
    assert_eq!(leader.await.expect("no panic"), Err(Away(1)));
    for waiter in waiters {
        assert!(waiter.await.expect("no panic").is_err());
    }
    let (runs, total) = (w.source.runs(), start.elapsed());
    println!("cannot be copied: body_runs={runs} total_ms={}", total.as_millis());
    let rounds = u32::try_from((WAITERS - 1).div_ceil(TOGETHER) + 1).expect("few rounds");
    assert_eq!(runs, WAITERS);
    // Timers of tokio end on whole milliseconds.
    assert!(total <= (SLOW + ms(1)) * rounds, "{total:?} for {rounds} rounds");
    assert_eq!(w.source.most_at_once(), TOGETHER as u64);
}

async fn a_thousand_waiters_share_one_failure<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    w.source.slow(SLOW);
    let (leader, waiters) = waiting!(w, users, door, or_told, WAITERS - 1);
    let start = Instant::now();
    door.open();
    assert_eq!(leader.await.expect("no panic"), Err(Told(1)));
    for waiter in waiters {
        assert_eq!(waiter.await.expect("no panic"), Err(Told(1)));
    }
    let (runs, total) = (w.source.runs(), start.elapsed());
    println!("can be copied: body_runs={runs} total_ms={}", total.as_millis());
    assert_eq!(runs, 1);
    assert!(total <= SLOW + ms(1), "{total:?}");
}
