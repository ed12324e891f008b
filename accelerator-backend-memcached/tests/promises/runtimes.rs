//! Runtimes that are alive and not run: what was left in one of them is nobody's burden.

use std::time::Duration;

use accelerator_core::testkit::server::MemcachedServer;
use accelerator_core::{L2Store, StoreErrorKind};
use tokio::runtime::{Builder, Runtime};

use crate::tools::{LONG, builder, kind, lease, until_it_works, value};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_server_is_found_again_though_the_runtime_of_the_first_try_stands_still() {
    let Some(server) = MemcachedServer::start() else { return };
    server.kill();
    let store = builder(server.addr()).connect_timeout(Duration::from_secs(1)).build().expect("a store");
    let (asleep, awake) = (runtime(), runtime());
    assert_eq!(kind(asleep.block_on(store.get("key"))), StoreErrorKind::Unavailable);
    server.restart();
    assert!(awake.block_on(until_it_works(&store)) < Duration::from_secs(10));
}

#[test]
fn connections_of_a_runtime_that_stands_still_are_used_in_another() {
    let Some(server) = MemcachedServer::start() else { return };
    let store = builder(server.addr()).response_timeout(Duration::from_secs(5)).build().expect("a store");
    let runtimes = [runtime(), runtime(), runtime()];
    for round in 0..3 {
        for (at, runtime) in runtimes.iter().enumerate() {
            runtime.block_on(async {
                let key = format!("key-{round}-{at}");
                let token = lease(&store, &key).await;
                store.fill(&key, &token, value("v"), LONG).await.expect("a fill");
                let many = futures_util::future::join_all((0..3).map(|_| store.get(&key))).await;
                assert!(many.iter().all(|got| matches!(got, Ok(Some(_)))), "{many:?}");
            });
        }
    }
}
