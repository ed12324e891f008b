//! User code that panics ends its own operation only.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use accelerator_core::testkit::{MemoryL1, settle};
use accelerator_core::{Begin, Cache, LevelCache};

use super::{KEY, LONG};

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("a waker"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_else_asleep() {
    let cache = LevelCache::<u64, u64>::builder().area("a").l1(MemoryL1::new()).ttl(LONG).build().unwrap();
    let Begin::Lead(ticket) = cache.begin(&KEY).await else { panic!("nothing is cached") };
    let mut first = pin!(cache.begin(&KEY));
    assert!(first.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
    let follows = cache.clone();
    let second = tokio::spawn(async move { matches!(follows.begin(&KEY).await, Begin::Hit(Some(1))) });
    settle().await;
    ticket.fill(Some(1));
    assert!(tokio::time::timeout(LONG / 60, second).await.expect("nobody sleeps on").unwrap());
}
