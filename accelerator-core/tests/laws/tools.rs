//! The testkit's tools do what they say: the clock, the faults, the gates.

use std::time::Duration;

use accelerator_core::testkit::{Fault, Faulty, ManualClock, MemoryL1, MemoryL2, Op, Then, block_on};
use accelerator_core::{Bytes, Clock, Entry, L1Store, L2Store, Limits, StoreErrorKind, StoreResult};

const MINUTE: Duration = Duration::from_secs(60);

fn kind<T>(answer: StoreResult<T>) -> Option<StoreErrorKind> {
    answer.err().map(|e| e.kind())
}

fn faulty() -> Faulty<MemoryL2> {
    let store = Faulty::new(MemoryL2::new());
    for key in ["a", "b", "c"] {
        store.inner().put_raw(key, key, MINUTE);
    }
    store
}

async fn never<T>(operation: impl Future<Output = T>) -> bool {
    tokio::time::timeout(MINUTE, operation).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn advance_moves_paused_tokio_time_too() {
    let clock = ManualClock::new();
    let (seen, before) = (clock.clone(), clock.monotonic_ms());
    let sleeper = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        seen.monotonic_ms() - before
    });
    accelerator_core::testkit::settle().await;
    clock.advance(Duration::from_secs(4)).await;
    assert!(!sleeper.is_finished());
    clock.advance(Duration::from_secs(1)).await;
    assert!(sleeper.is_finished(), "the timer's time has come and its task has run");
    assert_eq!(sleeper.await.unwrap(), 5000, "a timer that fires finds the clock moved");
}

#[tokio::test]
async fn advance_leaves_running_tokio_time_alone() {
    let clock = ManualClock::new();
    let (mono, start) = (clock.monotonic_ms(), tokio::time::Instant::now());
    clock.advance(Duration::from_secs(3600)).await;
    assert_eq!(clock.monotonic_ms(), mono + 3_600_000);
    assert!(start.elapsed() < MINUTE);
}

#[test]
fn advance_needs_no_runtime() {
    use std::task::{Context, Poll, Waker};
    let clock = ManualClock::new();
    let mono = clock.monotonic_ms();
    let mut advance = std::pin::pin!(clock.advance(MINUTE));
    assert_eq!(advance.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
    assert_eq!(clock.monotonic_ms(), mono + 60_000);
}

#[test]
fn the_wall_clock_can_be_wrong() {
    let clock = ManualClock::new();
    let mono = clock.monotonic_ms();
    clock.set_unix(1_000);
    clock.tick(Duration::from_secs(1));
    assert_eq!((clock.unix_ms(), clock.monotonic_ms()), (2_000, mono + 1000));
    clock.skew_unix(-10_000);
    assert_eq!(clock.unix_ms(), 0, "before 1970 reads as 1970");
    clock.skew_unix(10_001);
    assert_eq!(clock.unix_ms(), 2_001);
}

#[test]
fn a_bounded_memory_l1_drops_the_oldest() {
    let store = MemoryL1::with_capacity(2);
    for key in [1, 2, 1, 3] {
        store.insert(key, Entry::new(Some(key), 0, 1, 1, 0));
    }
    assert_eq!([1, 2, 3].map(|key| store.get(&key).is_some()), [false, true, true]);
    store.remove(&2);
    store.insert(4, Entry::new(Some(4), 0, 1, 1, 0));
    assert_eq!([3, 4].map(|key| store.get(&key).is_some()), [true, true], "a removed key has no place in the order");
    assert_eq!(store.len(), 2);
}

#[test]
fn a_batch_is_one_round_trip_of_memory_l2() {
    let (clock, keys) = (ManualClock::new(), ["a", "b"]);
    let store = MemoryL2::with_clock(clock.clone());
    block_on(async {
        store.mset(keys.map(|key| (key, Bytes::from_static(b"v"), MINUTE)).to_vec()).await;
        store.mget(&keys).await;
        store.mget(&[]).await;
        store.get("a").await.unwrap();
    });
    assert_eq!((store.round_trips(), store.len(), store.keys()), (3, 2, keys.map(str::to_owned).to_vec()));
    clock.tick(Duration::from_secs(20));
    assert_eq!(store.remaining("a"), Some(Duration::from_secs(40)));
    clock.tick(Duration::from_secs(40));
    assert_eq!((store.peek("a"), store.len()), (None, 0));
}

#[test]
fn memory_l2_refuses_what_servers_choke_on() {
    let store = MemoryL2::new().with_limits(Limits::default().max_key_bytes(3).max_value_bytes(3));
    block_on(async {
        assert_eq!(kind(store.get("four").await), Some(StoreErrorKind::TooLarge));
        assert_eq!(kind(store.get("a b").await), Some(StoreErrorKind::Rejected));
        let set = store.set("key", Bytes::from_static(b"four"), MINUTE).await;
        assert_eq!(kind(set), Some(StoreErrorKind::TooLarge));
    });
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_what_it_says() {
    let store = faulty();
    store.push(Fault::Error(StoreErrorKind::Rejected));
    assert_eq!(kind(store.del("a").await), Some(StoreErrorKind::Rejected));
    assert!(store.inner().peek("a").is_some(), "an error isn't carried out");

    store.push(Fault::Hang);
    assert!(never(store.del("a")).await);
    assert!(store.inner().peek("a").is_some(), "neither is what hangs");

    store.push(Fault::LostReply(Then::Hang));
    assert!(never(store.del("a")).await);
    assert!(store.inner().peek("a").is_none(), "what loses its reply is");

    store.push(Fault::LostReply(Then::Error(StoreErrorKind::Timeout)));
    assert_eq!(kind(store.del("b").await), Some(StoreErrorKind::Timeout));
    assert!(store.inner().peek("b").is_none());

    store.push(Fault::Garbage(Bytes::from_static(b"?")));
    assert_eq!(store.get("c").await.unwrap().unwrap(), "?");
    assert_eq!(store.get("c").await.unwrap().unwrap(), "c", "a queued fault is for one operation");

    let start = tokio::time::Instant::now();
    store.push(Fault::Delay(Duration::from_secs(3)));
    assert_eq!(store.get("c").await.unwrap().unwrap(), "c");
    assert!(start.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn the_more_special_rule_wins() {
    let store = faulty();
    let error = |kind| Fault::Error(kind);
    store.always(Some(error(StoreErrorKind::Other)));
    store.always_for(Op::Get, Some(error(StoreErrorKind::Protocol)));
    store.push(error(StoreErrorKind::Timeout));
    store.push_for(Op::Get, Fault::None);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(kind(store.get("a").await));
    }
    answers.push(kind(store.del("a").await));
    let expected = [StoreErrorKind::Timeout, StoreErrorKind::Protocol, StoreErrorKind::Other].map(Some);
    assert_eq!(answers, [&[None], &expected[..]].concat());
    store.heal();
    assert!(store.get("a").await.is_ok());
    assert_eq!((store.calls(Op::Get), store.calls(Op::Del), store.calls(Op::Set)), (4, 1, 0));
}

#[tokio::test]
async fn a_batch_may_fail_in_some_positions() {
    let store = faulty();
    let keys = ["a", "b", "c"];
    store.push(Fault::at([1], Fault::Error(StoreErrorKind::Rejected)));
    let answers = store.mget(&keys).await.into_iter().map(|answer| answer.map_err(|e| e.kind()));
    let value = |key: &'static str| Ok(Some(Bytes::from_static(key.as_bytes())));
    assert_eq!(answers.collect::<Vec<_>>(), [value("a"), Err(StoreErrorKind::Rejected), value("c")]);

    store.push(Fault::at([0, 2], Fault::Garbage(Bytes::from_static(b"?"))));
    let answers: Vec<_> = store.mget(&keys).await.into_iter().map(|answer| answer.unwrap().unwrap()).collect();
    assert_eq!(answers, ["?", "b", "?"]);

    store.push(Fault::at([0], Fault::Error(StoreErrorKind::Other)));
    let answers = store.mdel(&keys).await;
    assert_eq!(answers.iter().map(Result::is_err).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(store.inner().keys(), ["a"]);

    let log = store.log();
    assert_eq!(
        (log.len(), log[2].op, log[2].batch, &log[2].keys[..]),
        (3, Op::Del, true, &keys.map(str::to_owned)[..])
    );
}

#[tokio::test]
async fn gates_stop_one_operation_on_either_side() {
    let store = faulty();
    let (before, after) = (store.gate(Op::Del), store.gate_after(Op::Del));
    assert!(!before.is_reached());
    let deleting = tokio::spawn({
        let store = store.clone();
        async move { store.del("a").await }
    });
    before.reached().await;
    assert!(store.inner().peek("a").is_some(), "before it is carried out");
    assert!(!after.is_reached());
    // One gate stops one operation.
    store.del("b").await.unwrap();
    before.open();
    after.reached().await;
    assert!(store.inner().peek("a").is_none(), "after it was carried out");
    assert!(!deleting.is_finished());
    after.open();
    deleting.await.unwrap().unwrap();
}
