//! A store may stand in a `static` and outlive runtimes; without one it says so.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use accelerator_core::testkit::server::RedisServer;
use accelerator_core::{L2Store, LevelCache, StoreErrorKind};
use tokio::runtime::{Builder, Runtime};

use crate::support::{LONG, builder, comes_true, value};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_runtime_may_end_and_the_next_takes_over() {
    let Some(server) = RedisServer::start() else { return };
    let store = builder(server.url()).build().expect("a store, without a runtime");
    for round in 0..3 {
        let runtime = runtime();
        runtime.block_on(async {
            comes_true("a connection", async || store.set("k", value("v"), LONG).await.is_ok()).await;
        });
        drop(runtime);
        assert!(!store.is_connected(), "round {round}");
    }
}

#[test]
fn a_call_survives_the_runtime_that_carried_the_connection() {
    let Some(server) = RedisServer::start() else { return };
    let (first, second) = (runtime(), runtime());
    let store = first.block_on(builder(server.url()).connect()).expect("a connection");
    server.stop();
    // The call waits on one runtime for a connection that another carries, until that one is gone.
    let (waiting, heard) = mpsc::channel();
    let carrier = thread::spawn(move || {
        first.block_on(async {
            heard.recv().expect("the call");
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
    });
    let answer = second.block_on(async {
        let call = store.get("k");
        waiting.send(()).expect("the carrier");
        call.await
    });
    carrier.join().expect("a thread");
    assert_eq!(answer.expect_err("the connection is gone").kind(), StoreErrorKind::Unavailable);
    server.cont();
    second.block_on(async { comes_true("a connection", async || store.get("k").await.is_ok()).await });
}

#[test]
fn a_runtime_that_is_not_run_any_more_is_left() {
    let Some(server) = RedisServer::start() else { return };
    let (asleep, awake) = (runtime(), runtime());
    let limits = builder(server.url()).response_timeout(Duration::from_millis(100));
    let store = asleep.block_on(limits.connect()).expect("a connection");
    asleep.block_on(store.get("k")).expect("get");
    // From here on nobody runs the runtime that carries the connection, though it lives.
    awake.block_on(async {
        comes_true("a connection", async || {
            matches!(tokio::time::timeout(Duration::from_millis(50), store.get("k")).await, Ok(Ok(_)))
        })
        .await;
    });
    drop(asleep);
    assert!(store.is_connected(), "on the second runtime");
}

#[test]
fn a_runtime_that_runs_only_during_calls_connects_all_the_same() {
    let Some(server) = RedisServer::start() else { return };
    let (store, runtime) = (builder(server.url()).build().expect("a store"), runtime());
    let start = std::time::Instant::now();
    while runtime.block_on(store.get("k")).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "never connected");
    }
}

#[test]
fn without_a_runtime_a_call_is_an_error() {
    let store = builder("redis://127.0.0.1:1").build().expect("a store");
    let mut call = store.get("k");
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let answer = loop {
        if let std::task::Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            break answer;
        }
    };
    let error = answer.expect_err("no runtime");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[test]
fn a_runtime_without_io_is_named() {
    let Some(server) = RedisServer::start() else { return };
    let store = builder(server.url()).build().expect("a store");
    let bare = Builder::new_current_thread().build().expect("a runtime");
    bare.block_on(async {
        // The task panics in its own corner, and the next call says why there is none.
        store.get("k").await.expect_err("no I/O");
        let error = store.get("k").await.expect_err("no I/O");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("enable_all"), "{error}");
    });
    // Another runtime has what it takes.
    runtime().block_on(async { comes_true("a connection", async || store.get("k").await.is_ok()).await });
}

/// A thread whose runtime is run only during its calls deletes a key while the server stands still, and calls no more.
#[test]
fn a_delete_that_an_idle_runtime_has_left_is_sent_by_another() {
    let Some(server) = RedisServer::start() else { return };
    let (asleep, awake) = (runtime(), runtime());
    let limits =
        builder(server.url()).response_timeout(Duration::from_millis(100)).connect_timeout(Duration::from_millis(500));
    let store = asleep.block_on(limits.connect()).expect("a connection");
    let cache =
        LevelCache::<u64, String>::builder().area("idle").l2(store).ttl(LONG).l2_timeout(Duration::from_secs(1));
    let cache = cache.build().expect("a cache");
    asleep.block_on(async { cache.set(&1, String::from("old")).await }).expect("set");
    server.stop();
    asleep.block_on(async { cache.del(&1).await }).expect_err("nobody confirms it");
    server.cont();
    assert_eq!(cache.stats().unconfirmed, 1);
    awake.block_on(async {
        // By calls for other keys.
        comes_true("the delete", async || {
            let _ = cache.get(&2).await;
            cache.stats().unconfirmed == 0
        })
        .await;
        assert_eq!(cache.get(&1).await.expect("an answer"), None);
    });
}
