//! The same with leases: two nodes, one L2.

use std::collections::HashMap;

use accelerator_core::L2Store;
use accelerator_core::memoize::repeat::Often;
use accelerator_core::memoize::{Read, begin_batch, cacheable_batch_in_rounds, sharing};
use accelerator_core::testkit::{Op, settle};
use tokio::sync::mpsc::unbounded_channel;

use super::{KEY, Lookup, Rig, Source, within};

/// Two nodes over one L2 with leases, and one source.
fn nodes() -> (Rig, Rig) {
    let l2 = super::Faulty::new(super::MemoryL2::new().with_leases());
    let source = super::Arc::new(Source { value: super::Mutex::new(1), held: super::Mutex::default() });
    (Rig::over(l2.clone(), source.clone()), Rig::over(l2, source))
}

/// What one node loaded before the other's `del` does not come into L2 after it.
#[tokio::test]
async fn load_before_the_del_of_another_node_fills_nothing() {
    within(async {
        let (reader, writer) = nodes();
        let held = reader.source.hold();
        let get = reader.get();
        held.asked.notified().await;
        writer.change_and_del().await.unwrap().unwrap();
        held.answer.notify_one();
        get.await.unwrap().unwrap();
        assert_eq!(reader.l2.inner().peek("races.7"), None);
    })
    .await;
}

/// A load that failed lets the next one fill.
#[tokio::test]
async fn failed_load_gives_its_lease_back() {
    within(async {
        let (reader, other) = nodes();
        let failing = async { Err::<Option<u64>, _>(std::io::Error::other("away")) };
        reader.cache.get_or_load(&KEY, failing).await.unwrap_err();
        settle().await;
        assert_eq!(other.get().await.unwrap().unwrap(), Some(1));
        let stats = other.cache.stats();
        // A lease that is left ends by itself, too, but only after a wait.
        assert_eq!((stats.leases, stats.lease_waits), (1, 0));
    })
    .await;
}

/// Who finds another's lease waits for the value.
#[tokio::test]
async fn holder_loads_for_all_nodes() {
    within(async {
        let (reader, other) = nodes();
        let held = reader.source.hold();
        let first = reader.get();
        held.asked.notified().await;
        let asks = other.l2.gate_after(Op::Lease);
        let second = other.get();
        asks.reached().await;
        asks.open();
        held.answer.notify_one();
        assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (Some(1), Some(1)));
        assert_eq!(other.cache.stats().loads(), 0);
    })
    .await;
}

/// A cached batch loads its own keys while another node loads the rest, and waits for that one afterwards.
#[tokio::test]
async fn batch_by_a_body_loads_its_own_and_waits_for_the_holder() {
    within(async {
        let (holder, other) = nodes();
        let held = holder.source.hold();
        let get = holder.get();
        held.asked.notified().await;
        let (runs, mut ran) = unbounded_channel();
        let batch = tokio::spawn(async move {
            let read = Read::new();
            let begun = begin_batch(&other.cache, &[KEY, 8], &read).await;
            let body = move |keys: Vec<u64>| {
                runs.send(keys.clone()).unwrap();
                async move { keys.into_iter().map(|key| (key, Some(2))).collect::<HashMap<_, _>>() }
            };
            cacheable_batch_in_rounds(begun, read, sharing::Alone, Often, body).await
        });
        assert_eq!(ran.recv().await, Some(vec![8]));
        assert!(!batch.is_finished());
        held.answer.notify_one();
        assert_eq!(get.await.unwrap().unwrap(), Some(1));
        assert_eq!(batch.await.unwrap(), HashMap::from([(KEY, Some(1)), (8, Some(2))]));
        assert_eq!(ran.recv().await, None, "it ran once");
    })
    .await;
}

/// What is read while a writer holds the key is not cached: the source may have been asked before the change.
#[tokio::test]
async fn load_under_a_hold_fills_neither_level() {
    within(async {
        let (reader, writer) = nodes();
        let guard = writer.cache.write_guard(&KEY).await.unwrap();
        assert_eq!(reader.get().await.unwrap().unwrap(), Some(1));
        writer.source.change(2);
        guard.finish().await.unwrap();
        assert_eq!(reader.get().await.unwrap().unwrap(), Some(2));
    })
    .await;
}

/// A load that goes on keeps its lease.
#[tokio::test]
async fn living_holder_renews_its_lease() {
    within(async {
        let (reader, _) = nodes();
        let (held, renewal) = (reader.source.hold(), reader.l2.gate_after(Op::Renew));
        let get = reader.get();
        held.asked.notified().await;
        renewal.reached().await;
        // The fill waits for the renewal, which may bring another token.
        held.answer.notify_one();
        settle().await;
        renewal.open();
        assert_eq!(get.await.unwrap().unwrap(), Some(1));
        assert_eq!((reader.cache.stats().fills_lost, reader.l2.inner().len()), (0, 1));
    })
    .await;
}

/// What L2 refuses, as something came in between, is not kept by L1 either.
#[tokio::test]
async fn lost_fill_stays_in_no_level() {
    within(async {
        let (reader, _) = nodes();
        let held = reader.source.hold();
        let get = reader.get();
        held.asked.notified().await;
        reader.source.change(2);
        reader.l2.inner().del("races.7").await.unwrap();
        held.answer.notify_one();
        assert_eq!(get.await.unwrap().unwrap(), Some(1));
        assert_eq!(reader.cache.try_get(&KEY), Lookup::Miss);
    })
    .await;
}

/// A guard that ends leaves the hold of another writer.
#[tokio::test]
async fn finish_leaves_the_hold_of_another_guard() {
    within(async {
        let (one, two) = nodes();
        let (first, second) = (one.cache.write_guard(&KEY).await.unwrap(), two.cache.write_guard(&KEY).await.unwrap());
        first.finish().await.unwrap();
        assert_eq!(one.get().await.unwrap().unwrap(), Some(1));
        assert_eq!(two.l2.inner().peek("races.7"), None);
        two.source.change(2);
        drop(second);
        assert_eq!(one.get().await.unwrap().unwrap(), Some(2));
    })
    .await;
}

/// Neither a delete nor a write of another node ends a hold, and the writer's L1 doesn't keep what L2 did not take.
#[tokio::test]
async fn del_and_set_leave_a_hold() {
    within(async {
        let (other, writer) = nodes();
        let guard = writer.cache.write_guard(&KEY).await.unwrap();
        other.cache.del(&KEY).await.unwrap();
        assert_eq!(other.get().await.unwrap().unwrap(), Some(1));
        other.cache.set(&KEY, 1).await.unwrap();
        assert_eq!(other.cache.try_get(&KEY), Lookup::Miss);
        writer.source.change(2);
        drop(guard);
        assert_eq!(other.get().await.unwrap().unwrap(), Some(2));
    })
    .await;
}

/// A node caches nothing that it guards, though it doesn't ask L2 for the key, or L2 has lost the hold.
#[tokio::test]
async fn own_guard_is_known_without_l2() {
    within(async {
        let (node, _) = nodes();
        for dropped in [false, true] {
            let mut guard = Some(node.cache.write_guard(&KEY).await.unwrap());
            node.l2.inner().wipe();
            if dropped {
                guard = None;
            }
            node.source.change(1);
            assert_eq!(node.get().await.unwrap().unwrap(), Some(1));
            // The change comes, or came late.
            node.source.change(2);
            assert_eq!(node.get().await.unwrap().unwrap(), Some(2), "dropped: {dropped}");
            assert_eq!(node.l2.inner().peek("races.7"), None);
            if let Some(guard) = guard {
                guard.finish().await.unwrap();
            }
        }
    })
    .await;
}
