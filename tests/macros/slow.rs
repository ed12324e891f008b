//! A source that is slow and does not fail: one body for all who wait, however many they are and however long it takes.
//! None of this is for the fake: without flights nobody waits.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use accelerator::macros::{cacheable, cacheable_batch};
use accelerator::testkit::settle;
use accelerator::{Begin, Cache, Tickets};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::common::{Away, Kind, Row, Rows, User, Users, World, ms, secs, user};

const CALLERS: u64 = 500;
const LIMIT: Duration = ms(400);
/// What a follower has for its leader, at most: `loader_timeout`, a read of L2 (where there is one) and an eighth.
const PATIENCE: Duration = ms(550);
/// The same without a read of L2.
const SHORTEST: Duration = ms(450);
/// Timers end on ticks of 10 ms.
const TICKS: Duration = ms(40);

impl<C: Cache<u64, Arc<User>> + Clone + 'static> Users<C> {
    #[cacheable(cache = self.cache, key = id)]
    async fn slowly(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn slowly_many(&self, ids: Vec<u64>) -> Result<Rows, Away> {
        self.source.find_many(&ids).await
    }

    /// Its body asks for its own key in a task, which nobody can see.
    #[cacheable(cache = self.cache, key = id)]
    async fn by_a_task(&self, id: u64) -> Result<Row, Away> {
        let own = self.clone();
        tokio::spawn(async move { own.slowly(id).await }).await.expect("no panic")
    }

    /// Its body asks for the other one's key, whose body asks for this one's.
    #[cacheable(cache = self.cache, key = id)]
    async fn in_a_circle(&self, id: u64) -> Result<Row, Away> {
        if self.source.runs() < 4 {
            self.source.find(id).await?;
            return Box::pin(self.in_a_circle(3 - id)).await;
        }
        self.source.find(id).await
    }

    async fn ask(&self, way: Way) -> Result<Row, Away> {
        match way {
            Way::Single => self.slowly(1).await,
            Way::Batch => self.slowly_many((1..=20).collect()).await.map(|mut rows| rows.remove(&1).flatten()),
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    Single,
    Batch,
}

/// So many callers, one each so many milliseconds; the longest that one of them had to wait.
async fn crowd<C: Cache<u64, Arc<User>> + Clone + 'static>(users: &Users<C>, way: Way, each_ms: u64) -> Duration {
    let calls: Vec<JoinHandle<_>> = (0..CALLERS)
        .map(|n| {
            let users = users.clone();
            tokio::spawn(async move {
                sleep(ms(n * each_ms)).await;
                let start = Instant::now();
                assert_eq!(users.ask(way).await, Ok(user(1, 1)));
                start.elapsed()
            })
        })
        .collect();
    let mut longest = Duration::ZERO;
    for call in calls {
        longest = longest.max(call.await.expect("no panic"));
    }
    longest
}

on_real!(
    a_slow_body_runs_once_by_the_defaults,
    a_slow_body_runs_once_however_slow,
    callers_who_come_one_after_another_wait_for_the_same_body
);
on_real!(
    beside_a_leader_that_is_not_polled_one_runs_in_each_patience,
    a_ticket_by_hand_is_given_out_again_once_in_each_patience
);
on_real!(
    the_answer_of_a_late_leader_ends_the_wait_of_all,
    what_comes_too_late_is_stored_unless_something_was_invalidated
);
on_real!(who_has_waited_for_a_turn_looks_into_the_cache_again, a_batch_that_has_waited_for_a_turn_looks_again);
on_real!(a_body_whose_task_asks_for_its_own_key_ends, bodies_that_ask_for_each_other_end);
on_real!(after_a_timeout_of_a_limited_leader_one_body_runs);

async fn a_slow_body_runs_once_by_the_defaults<K: Kind>(w: World<K>) {
    for way in [Way::Single, Way::Batch] {
        let w = World::<K>::new();
        let users = w.users();
        w.source.slow(ms(2_500));
        let longest = crowd(&users, way, 0).await;
        assert_eq!(w.source.runs(), 1);
        assert!(longest <= ms(2_500) + TICKS, "{longest:?}");
    }
    drop(w);
}

/// By how much a body is slow, in tenths of the patience.
const TENTHS: [u32; 4] = [4, 11, 25, 100];

async fn a_slow_body_runs_once_however_slow<K: Kind>(w: World<K>) {
    for way in [Way::Single, Way::Batch] {
        for tenths in TENTHS {
            let w = World::<K>::new();
            let users = w.users_with(|b| b.loader_timeout(LIMIT));
            w.source.slow(PATIENCE * tenths / 10);
            let longest = crowd(&users, way, 0).await;
            assert_eq!(w.source.runs(), 1, "{tenths} tenths");
            assert!(longest <= PATIENCE * tenths / 10 + TICKS, "{tenths} tenths: {longest:?}");
        }
    }
    drop(w);
}

async fn callers_who_come_one_after_another_wait_for_the_same_body<K: Kind>(w: World<K>) {
    for tenths in TENTHS {
        let w = World::<K>::new();
        let users = w.users_with(|b| b.loader_timeout(LIMIT));
        w.source.slow(PATIENCE * tenths / 10);
        let longest = crowd(&users, Way::Single, 1).await;
        assert_eq!(w.source.runs(), 1, "{tenths} tenths");
        assert!(longest <= PATIENCE * tenths / 10 + TICKS, "{tenths} tenths: {longest:?}");
    }
    drop(w);
}

/// Polls once, and never again.
fn once<F: Future>(future: std::pin::Pin<&mut F>) {
    assert!(matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
}

async fn beside_a_leader_that_is_not_polled_one_runs_in_each_patience<K: Kind>(w: World<K>) {
    for way in [Way::Single, Way::Batch] {
        let w = World::<K>::new();
        let users = w.users_with(|b| b.loader_timeout(LIMIT));
        w.source.slow(ms(50));
        let held = users.clone();
        let mut held = pin!(async move { held.ask(way).await });
        once(held.as_mut());
        settle().await;
        once(held.as_mut());
        assert_eq!(w.source.runs(), 1);
        let longest = crowd(&users, way, 0).await;
        assert_eq!(w.source.runs(), 2);
        assert!(longest <= PATIENCE + ms(50) + TICKS, "{longest:?}");
        assert_eq!(held.await, Ok(user(1, 1)));
        settle().await;
        assert_eq!(users.level().stats().flights, 0);
    }
    drop(w);
}

async fn a_ticket_by_hand_is_given_out_again_once_in_each_patience<K: Kind>(w: World<K>) {
    for tenths in TENTHS {
        let w = World::<K>::new();
        let users = w.users_with(|b| b.loader_timeout(LIMIT));
        let Begin::Lead(slow) = users.cache.begin(&1).await else { unreachable!("nothing is cached") };
        // So are those who take over: none of them is ever ready before the first.
        w.source.slow(secs(3600));
        let slowly = tokio::spawn(async move {
            sleep(PATIENCE * tenths / 10).await;
            slow.fill(user(1, 1));
        });
        let calls: Vec<JoinHandle<_>> = (0..CALLERS)
            .map(|_| {
                let users = users.clone();
                tokio::spawn(async move {
                    match users.cache.begin(&1).await {
                        Begin::Hit(value) => value,
                        Begin::Lead(ticket) => {
                            let value = users.source.find(1).await.expect("not away");
                            ticket.fill(value.clone());
                            value
                        }
                        other => unreachable!("{other:?}"),
                    }
                })
            })
            .collect();
        slowly.await.expect("no panic");
        settle().await;
        let waiting = calls.iter().filter(|call| !call.is_finished()).count();
        assert_eq!(waiting, w.source.runs(), "all are answered but those whose own bodies run");
        // Beside the first one, which is no body of theirs.
        let most = (PATIENCE * tenths / 10).as_millis().div_ceil(SHORTEST.as_millis()) as usize;
        assert!(w.source.runs() <= most, "{} of {most}, {tenths} tenths", w.source.runs());
        assert_eq!(users.cached(1).await, Some(user(1, 1)));
        calls.iter().for_each(JoinHandle::abort);
        settle().await;
        assert_eq!(users.level().stats().flights, 0);
    }
    drop(w);
}

async fn the_answer_of_a_late_leader_ends_the_wait_of_all<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.loader_timeout(LIMIT));
    let Begin::Lead(late) = users.cache.begin(&1).await else { unreachable!("nothing is cached") };
    let door = w.source.door();
    let spawn = || {
        let users = users.clone();
        tokio::spawn(async move { users.slowly(1).await })
    };
    let calls: Vec<_> = (0..10).map(|_| spawn()).collect();
    door.reached().await;
    assert_eq!(w.source.runs(), 1, "one took over");
    late.fill(user(1, 9));
    settle().await;
    assert_eq!(calls.iter().filter(|call| call.is_finished()).count(), 9);
    assert_eq!(users.cached(1).await, Some(user(1, 9)));
    door.open();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.expect("no panic"));
    }
    assert_eq!(answers.iter().filter(|answer| **answer == Ok(user(1, 9))).count(), 9);
    assert!(answers.contains(&Ok(user(1, 1))), "whose body ran has its own answer");
    assert_eq!(w.source.runs(), 1);
}

async fn what_comes_too_late_is_stored_unless_something_was_invalidated<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.loader_timeout(LIMIT));
    for (key, change) in [(1, false), (2, true)] {
        let Begin::Lead(late) = users.cache.begin(&key).await else { unreachable!("nothing is cached") };
        assert_eq!(users.slowly(key).await, Ok(user(key, 1)));
        if change {
            users.set(key, 5).await;
        }
        late.fill(user(key, 9));
        settle().await;
        assert_eq!(users.cached(key).await, Some(user(key, if change { 5 } else { 9 })));
    }
    assert_eq!(users.level().stats().flights, 0);
}

/// The leader fails, the source recovers: those who wait for their turn find what others have cached meanwhile.
async fn who_has_waited_for_a_turn_looks_into_the_cache_again<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    let spawn = || {
        let users = users.clone();
        tokio::spawn(async move { users.slowly(1).await })
    };
    let leader = spawn();
    door.reached().await;
    let calls: Vec<_> = (0..CALLERS).map(|_| spawn()).collect();
    settle().await;
    let doors: Vec<_> = (0..accelerator::memoize::TOGETHER).map(|_| w.source.door()).collect();
    door.open();
    settle().await;
    assert!(leader.await.expect("no panic").is_err());
    assert_eq!(w.source.runs(), 1 + doors.len());
    users.set(1, 7).await;
    w.source.away(false);
    doors.iter().for_each(crate::common::Door::open);
    let mut found = 0;
    for call in calls {
        found += usize::from(call.await.expect("no panic") == Ok(user(1, 7)));
    }
    assert_eq!(found, CALLERS as usize - doors.len());
    assert_eq!(w.source.runs(), 1 + doors.len(), "nobody asks for what is cached");
}

async fn a_batch_that_has_waited_for_a_turn_looks_again<K: Kind>(w: World<K>) {
    let (users, door) = (w.users(), w.source.door());
    w.source.away(true);
    let spawn = || {
        let users = users.clone();
        tokio::spawn(async move { users.slowly_many(vec![1, 2]).await })
    };
    let leader = spawn();
    door.reached().await;
    let calls: Vec<_> = (0..100).map(|_| spawn()).collect();
    settle().await;
    let doors: Vec<_> = (0..accelerator::memoize::TOGETHER).map(|_| w.source.door()).collect();
    door.open();
    settle().await;
    assert!(leader.await.expect("no panic").is_err());
    assert_eq!(w.source.runs(), 1 + doors.len());
    users.set(1, 7).await;
    w.source.away(false);
    doors.iter().for_each(crate::common::Door::open);
    let mut found = 0;
    for call in calls {
        found += usize::from(call.await.expect("no panic").is_ok_and(|rows| rows[&1] == user(1, 7)));
    }
    assert_eq!(found, 100 - doors.len());
    let calls = w.source.calls();
    assert!(calls[1 + doors.len()..].iter().all(|ids| *ids == [2]), "only what is not cached: {calls:?}");
}

async fn a_body_whose_task_asks_for_its_own_key_ends<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.loader_timeout(LIMIT));
    let start = Instant::now();
    assert_eq!(users.by_a_task(1).await, Ok(user(1, 1)));
    assert!(start.elapsed() < PATIENCE * 20, "{:?}", start.elapsed());
    assert_eq!(w.source.runs(), 1);
}

async fn bodies_that_ask_for_each_other_end<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.loader_timeout(LIMIT));
    let start = Instant::now();
    let (one, two) = tokio::join!(users.in_a_circle(1), users.in_a_circle(2));
    assert!(one.is_ok() && two.is_ok());
    assert!(start.elapsed() < PATIENCE * 6, "{:?}", start.elapsed());
}

/// A leader by `get_or_load` has a limit, and the source is slower than that. Bodies have none.
async fn after_a_timeout_of_a_limited_leader_one_body_runs<K: Kind>(w: World<K>) {
    let users = w.users_with(|b| b.loader_timeout(LIMIT));
    w.source.slow(PATIENCE * 2);
    let leader = users.clone();
    let leader = tokio::spawn(async move {
        let slow = async {
            sleep(secs(3600)).await;
            Ok::<_, accelerator::LoadError>(user(1, 1))
        };
        leader.level().get_or_load(&1, slow).await
    });
    settle().await;
    let longest = crowd(&users, Way::Single, 0).await;
    assert!(leader.await.expect("no panic").is_err());
    assert_eq!(w.source.runs(), 1);
    assert!(longest <= PATIENCE * 3 + TICKS, "{longest:?}");
}
