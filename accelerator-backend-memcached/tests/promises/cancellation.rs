//! A call may be dropped at any await: later calls get their own answers.

use std::pin::pin;
use std::time::Duration;

use accelerator_backend_memcached::MemcachedStore;
use accelerator_core::testkit::server::{MemcachedServer, memcached_addr};
use accelerator_core::{Bytes, HoldOwner, L2Store};
use futures_util::future::BoxFuture;

use crate::tools::{LONG, Raw, builder, connect, once, value};

/// Polls a call so many times at most, with the replies coming in between. Whether it ended.
async fn polled(times: usize, call: impl Future) -> bool {
    let mut call = pin!(call);
    for _ in 0..times {
        if once(&mut call).await.is_ready() {
            return true;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    false
}

type Call = for<'a> fn(&'a MemcachedStore) -> BoxFuture<'a, ()>;

const CALLS: [(&str, Call); 8] = [
    ("get", |store| Box::pin(async { drop(store.get("dropped").await) })),
    ("set", |store| Box::pin(async { drop(store.set("dropped", vec![1; 100_000].into(), LONG).await) })),
    ("del", |store| Box::pin(async { drop(store.del("dropped").await) })),
    ("mget", |store| Box::pin(async { drop(store.mget(&["dropped", "a", "b"]).await) })),
    ("get_or_lease", |store| Box::pin(async { drop(store.get_or_lease("dropped", LONG).await) })),
    ("hold", |store| Box::pin(async { drop(store.hold("dropped", HoldOwner(1), LONG).await) })),
    ("unhold", |store| Box::pin(async { drop(store.unhold("dropped", HoldOwner(1)).await) })),
    ("fill", |store| {
        Box::pin(async {
            if let Ok(accelerator_core::L2Read::Leased { token, .. }) = store.get_or_lease("fresh", LONG).await {
                drop(store.fill("fresh", &token, value("filled"), LONG).await);
                drop(store.release("fresh", token).await);
            }
        })
    }),
];

#[tokio::test]
async fn a_call_dropped_after_any_poll_leaves_the_others_their_answers() {
    let Some(server) = MemcachedServer::start() else { return };
    // One connection: who comes next gets that of the dropped call, or what is in its place.
    let store = builder(server.addr()).max_connections(1).connect().await.expect("a store");
    store.set("kept", value("kept"), LONG).await.expect("set");
    for (name, call) in CALLS {
        let mut times = 0;
        while !polled(times, call(&store)).await {
            let kept = store.get("kept").await.expect("the call after a dropped one");
            assert!(kept.is_some_and(|kept| kept.ends_with(b"kept")), "after {times} polls of {name}");
            times += 1;
            assert!(times < 100, "{name} doesn't end");
        }
        assert!(times > 0, "{name} ended without a poll");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_dropped_at_random_never_swap_answers() {
    let Some(addr) = memcached_addr() else { return };
    let store = builder(addr).key_prefix("random:").max_connections(4).connect().await.expect("a store");
    let own = |n: usize| -> Bytes { format!("value of {n}").repeat(1 + n * 37 % 100).into() };
    let keys: Vec<String> = (0..32).map(|n| format!("key.{n}")).collect();
    for (n, key) in keys.iter().enumerate() {
        store.set(key, own(n), LONG).await.expect("set");
    }
    let tasks = (0..8).map(|task: usize| {
        let (store, keys) = (store.clone(), keys.clone());
        tokio::spawn(async move {
            for round in 0..500 {
                let n = (task * 5 + round * 7) % keys.len();
                let patience = Duration::from_micros(spread(task, round) % 400);
                let one = tokio::time::timeout(patience, store.get(&keys[n])).await;
                if let Ok(got) = one {
                    assert_eq!(got.expect("get"), Some(own(n)));
                }
                let some = [n, (n + 1) % keys.len(), n];
                let wanted: Vec<&str> = some.iter().map(|n| keys[*n].as_str()).collect();
                let many = tokio::time::timeout(patience, store.mget(&wanted)).await;
                for (n, got) in some.into_iter().zip(many.into_iter().flatten()) {
                    assert_eq!(got.expect("mget"), Some(own(n)));
                }
                assert_eq!(store.get(&keys[n]).await.expect("get"), Some(own(n)), "undisturbed");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a task");
    }
}

/// Spread out, and the same in each run.
fn spread(task: usize, round: usize) -> u64 {
    ((task as u64) << 32 | round as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40
}

/// A connection is made for whoever needs one: the caller that asked may be gone when it is there.
#[tokio::test]
async fn a_connection_that_nobody_waits_for_any_more_serves_the_next() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).max_connections(1).build().expect("a store");
    let mut raw = Raw::connect(&server.addr());
    let before = raw.stat("total_connections");
    assert!(!polled(1, store.get("key")).await, "the first call has to connect");
    assert_eq!(store.get("key").await.expect("get"), None);
    assert_eq!(raw.stat("total_connections") - before, 1);
}

#[tokio::test]
async fn a_dropped_write_is_whole_or_not_there() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = connect(server.addr()).await;
    let (old, new): (Bytes, Bytes) = (vec![1; 1_000_000].into(), vec![2; 1_000_000].into());
    store.set("key", old.clone(), LONG).await.expect("set");
    for times in 0..20 {
        polled(times, store.set("key", new.clone(), LONG)).await;
        // A server that got half a command waits for the rest, and forgets it when the connection ends.
        let got = store.get("key").await.expect("get").expect("a value");
        assert!(got == old || got == new, "after {times} polls");
    }
}
