//! Ten thousand tasks that want one cold key at the same time, by whatever way: it is loaded once. Not for the fake:
//! it has no flights.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use accelerator::Cache;
use accelerator::macros::{cacheable, cacheable_batch};
use tokio::sync::Barrier;

use crate::common::{Away, Kind, Row, Rows, User, Users, World, ms, secs, user};

const TASKS: usize = 10_000;
/// A slow machine may take long to let them all come.
const PATIENT: std::time::Duration = secs(60);

impl<C: Cache<u64, Arc<User>>> Users<C> {
    #[cacheable(cache = self.cache, key = id)]
    async fn wanted(&self, id: u64) -> Result<Row, Away> {
        self.source.find(id).await
    }

    #[cacheable_batch(cache = self.cache, keys = ids)]
    async fn many_wanted(&self, ids: &[u64]) -> Result<Rows, Away> {
        self.source.find_many(ids).await
    }
}

on_real!(ten_thousand_tasks_run_one_body, a_macro_method_get_and_mget_share_one_load_whoever_comes_first);
on_threads!(on_threads_ten_thousand_tasks_run_one_body, on_threads_all_ways_share_one_load);

async fn ten_thousand_tasks_run_one_body<K: Kind>(w: World<K>) {
    one_body(w).await;
}

async fn on_threads_ten_thousand_tasks_run_one_body<K: Kind>(w: World<K>) {
    one_body(w).await;
}

async fn one_body<K: Kind>(w: World<K>) {
    let (users, door) = (w.users_with(|b| b.loader_timeout(PATIENT)), w.source.door());
    let all_there = Arc::new(Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| {
            let (users, all_there) = (users.clone(), all_there.clone());
            tokio::spawn(async move {
                all_there.wait().await;
                match n % 2 {
                    0 => users.wanted(1).await,
                    _ => users.many_wanted(&[1]).await.map(|mut rows| rows.remove(&1).flatten()),
                }
            })
        })
        .collect();
    door.reached().await;
    door.open();
    for task in tasks {
        assert_eq!(task.await.expect("no panic"), Ok(user(1, 1)));
    }
    println!("{TASKS} tasks: body_runs={}", w.source.runs());
    assert_eq!(w.source.runs(), 1);
}

/// The first is once the method, once the batch method, once `get` and once `mget`.
async fn a_macro_method_get_and_mget_share_one_load_whoever_comes_first<K: Kind>(w: World<K>) {
    for first in 0..4 {
        one_load(&World::<K>::new(), first).await;
    }
    drop(w);
}

async fn on_threads_all_ways_share_one_load<K: Kind>(w: World<K>) {
    one_load(&w, 0).await;
}

async fn one_load<K: Kind>(w: &World<K>, first: usize) {
    let (loads, door) = (Arc::new(AtomicUsize::new(0)), w.source.door());
    let (counted, source) = (loads.clone(), w.source.clone());
    // Bodies and the loader ask the same source; those of the loader are counted apart as well.
    let users = w.users_with(|b| {
        b.loader_timeout(PATIENT).loader(move |id| {
            let source = source.clone();
            counted.fetch_add(1, SeqCst);
            async move { source.find(id).await.map_err(|_| std::io::Error::other("away")) }
        })
    });
    let all_there = Arc::new(Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|n| {
            let (users, all_there) = (users.clone(), all_there.clone());
            tokio::spawn(async move {
                all_there.wait().await;
                // The last to come to the barrier goes on first.
                match (n + 1 + first) % 4 {
                    0 => users.wanted(1).await.expect("loads"),
                    1 => users.many_wanted(&[1]).await.expect("loads").remove(&1).flatten(),
                    2 => users.cache.get(&1).await.expect("loads"),
                    _ => users.level().mget(&[1]).await.into_results().remove(0).expect("loads"),
                }
            })
        })
        .collect();
    door.reached().await;
    door.open();
    for task in tasks {
        assert_eq!(task.await.expect("no panic"), user(1, 1));
    }
    let (all, by_loader) = (w.source.runs(), loads.load(SeqCst));
    println!("{TASKS} tasks, method, get and mget: loads={all}, of these body_runs={}", all - by_loader);
    assert_eq!(all, 1);
    w.pass(ms(0)).await;
    assert_eq!(users.cached(1).await, Some(user(1, 1)));
}
