//! Recovery: a delete that L2 did not confirm is sent again until it is confirmed.

use std::time::Duration;

use accelerator_core::testkit::{Fault, Op, settle};
use accelerator_core::{ErrorKind, Lookup, StoreErrorKind};

use crate::common::{TTL, World, ms, ok, secs};

const DOWN: Fault = Fault::Error(StoreErrorKind::Unavailable);

/// Time passes, in steps that leave nobody behind.
async fn pass(w: &World, time: Duration) {
    let until = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < until {
        w.clock.advance(ms(20)).await;
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_delete_is_sent_again_until_it_is_confirmed() {
    for failing in ["del", "set", "mdel"] {
        let w = World::new();
        let cache = ok(w.both());
        cache.mset([(1, Some(7)), (2, Some(7))]).await.unwrap();
        w.l2.always(Some(DOWN));
        let failed = match failing {
            "del" => cache.del(&1).await,
            "set" => cache.set(&1, 8).await,
            _ => cache.mdel(&[1, 2]).await,
        };
        let e = failed.unwrap_err();
        assert!(e.kind() == ErrorKind::Unconfirmed && e.is_queued(), "{failing}: {e}");
        let keys = if failing == "mdel" { 2 } else { 1 };
        pass(&w, secs(5)).await;
        assert_eq!(cache.stats().unconfirmed, keys, "{failing}");
        assert_eq!(cache.lookup(&1).await, Lookup::Unavailable, "{failing}");
        // 16 on average, as each pause is a random part of itself; never one every few milliseconds.
        assert!((3..40).contains(&w.l2.calls(Op::Del)), "{failing}: {} tries in 5 s", w.l2.calls(Op::Del));
        assert_eq!(w.l2.inner().len(), 2, "{failing}: old values are still there");
        w.l2.heal();
        // The longest pause between two tries is a second.
        pass(&w, secs(1)).await;
        assert_eq!((cache.stats().unconfirmed, w.l2.inner().len()), (0, 2 - keys), "{failing}");
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        assert_eq!(w.in_l2(1).await, Some(Some(1001)), "{failing}: L2 is used again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_is_given_up_when_nothing_older_can_live_in_l2() {
    let w = World::new();
    let cache = ok(w.both());
    w.l2.always(Some(DOWN));
    cache.del(&1).await.unwrap_err();
    pass(&w, TTL + secs(2)).await;
    assert_eq!(cache.stats().unconfirmed, 0);
    let tries = w.l2.calls(Op::Del);
    pass(&w, secs(60)).await;
    assert_eq!(w.l2.calls(Op::Del), tries, "nothing is left to be sent");
}

#[tokio::test(start_paused = true)]
async fn a_delete_of_one_key_does_not_wait_for_that_of_another() {
    let w = World::new();
    let cache = ok(w.both().max_batch(1));
    cache.mset((0..20).map(|key| (key, Some(7)))).await.unwrap();
    w.l2.always(Some(DOWN));
    let keys: Vec<u64> = (0..20).collect();
    cache.mdel(&keys).await.unwrap_err();
    w.l2.heal();
    // Whatever is asked first fails for ever.
    for _ in 0..3 {
        w.l2.push_for(Op::Del, DOWN);
    }
    pass(&w, secs(20)).await;
    assert_eq!((cache.stats().unconfirmed, w.l2.inner().len()), (0, 0));
}

/// A delete that was called while another one was on its way, and failed, is not covered by that one.
#[tokio::test(start_paused = true)]
async fn an_earlier_delete_does_not_confirm_a_later_one() {
    let w = World::new();
    let cache = ok(w.both());
    let gate = w.l2.gate_after(Op::Del);
    let earlier = cache.del(&1);
    gate.reached().await;
    // The earlier one has happened in L2, and somebody stores the old value behind it.
    w.other_node().set(&1, 7).await.unwrap();
    let later = cache.del(&1);
    w.l2.always_for(Op::Del, Some(DOWN));
    pass(&w, ms(240)).await;
    gate.open();
    assert!(earlier.await.is_ok());
    assert!(later.await.unwrap_err().is_queued());
    assert_eq!(cache.lookup(&1).await, Lookup::Unavailable);
    w.l2.heal();
    pass(&w, secs(1)).await;
    assert_eq!(w.in_l2(1).await, None);
}

#[tokio::test(start_paused = true)]
async fn shutdown_sends_what_is_left_and_says_what_it_could_not() {
    let w = World::new();
    let cache = ok(w.both());
    cache.mset([(1, Some(7)), (2, Some(7))]).await.unwrap();
    w.l2.always(Some(DOWN));
    cache.mdel(&[1, 2]).await.unwrap_err();
    let left = cache.shutdown(secs(3)).await;
    assert_eq!((left.unfinished, left.unconfirmed), (0, 2));
    w.l2.heal();
    let left = cache.shutdown(secs(3)).await;
    assert_eq!((left.unfinished, left.unconfirmed, w.l2.inner().len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_cache_sends_nothing_more() {
    let w = World::new();
    let cache = ok(w.both());
    w.l2.always(Some(DOWN));
    cache.del(&1).await.unwrap_err();
    drop(cache);
    settle().await;
    pass(&w, secs(2)).await;
    let tries = w.l2.calls(Op::Del);
    pass(&w, secs(60)).await;
    assert_eq!(w.l2.calls(Op::Del), tries);
}

#[test]
fn a_queue_whose_runtime_ended_goes_on_in_the_next() {
    for batch in [false, true] {
        let w = World::new();
        let cache = ok(w.both());
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        w.l2.always(Some(DOWN));
        runtime().block_on(async { cache.del(&1).await.unwrap_err() });
        assert_eq!(cache.stats().unconfirmed, 1);
        w.l2.heal();
        runtime().block_on(async {
            // A read of the key finds that nobody is at it.
            match batch {
                true => assert_eq!(cache.mget(&[2, 1]).await.into_values().unwrap(), [Some(2001), Some(1001)]),
                false => assert_eq!(cache.get(&1).await.unwrap(), Some(1001)),
            }
            pass(&w, secs(2)).await;
            assert_eq!(cache.stats().unconfirmed, 0, "batch: {batch}");
        });
    }
}

/// The flag is about every key of the call: 300 of 10,300 deletes had no room once, and it said that all were queued.
#[tokio::test(start_paused = true)]
async fn the_flag_tells_the_truth_for_every_key() {
    let w = World::new();
    let cache = ok(w.no_loader());
    w.l2.always(Some(DOWN));
    let keys: Vec<u64> = (0..10_300).collect();
    assert!(cache.mdel(&keys).await.unwrap_err().is_queued());
    assert_eq!(cache.stats().unconfirmed, keys.len(), "64 MiB are some 500,000 keys");

    let w = World::new();
    let few = ok(w.no_loader().recovery_bytes(100_000).max_batch(100));
    w.l2.always(Some(DOWN));
    let e = few.mdel(&keys).await.unwrap_err();
    let queued = few.stats().unconfirmed;
    assert!((500..2_000).contains(&queued), "{queued} keys in 100,000 bytes");
    assert!(!e.is_queued() && e.to_string().contains("not queued"), "{e}");
    assert!(few.del(&0).await.unwrap_err().is_queued(), "its place is kept");
    let e = few.mset([(0, Some(1)), (40_000, Some(1))]).await.unwrap_err();
    assert!(!e.is_queued(), "one of two: {e}");
    assert!(!few.del(&20_000).await.unwrap_err().is_queued());
    assert_eq!(few.lookup(&30_000).await, Lookup::Unavailable, "what found no room holds for all");
}

/// What a caller wrote, and L2 confirmed, is what later reads find: the delete of an earlier write is not sent any more.
#[tokio::test(start_paused = true)]
async fn a_confirmed_later_write_ends_the_queued_delete() {
    for later in ["set", "mset", "del", "mdel"] {
        let w = World::new();
        let cache = ok(w.no_loader());
        cache.set(&1, 1).await.unwrap();
        w.l2.always(Some(Fault::Hang));
        assert!(cache.set(&1, 2).await.unwrap_err().is_queued());
        w.l2.heal();
        match later {
            "set" => cache.set(&1, 3).await.unwrap(),
            "mset" => cache.mset([(1, Some(3)), (2, Some(3))]).await.unwrap(),
            "del" => cache.del(&1).await.unwrap(),
            _ => cache.mdel(&[1, 2]).await.unwrap(),
        }
        assert_eq!(cache.stats().unconfirmed, 0, "{later}");
        let deletes = w.l2.calls(Op::Del);
        pass(&w, secs(5)).await;
        assert_eq!(w.l2.calls(Op::Del), deletes, "{later}");
        let expected = if later.ends_with("set") { Some(Some(3)) } else { None };
        assert_eq!(w.in_l2(1).await, expected, "{later}");
    }
}

/// The same where the queued delete is on its way already, or is about to be sent: turns order the two.
#[tokio::test(start_paused = true)]
async fn a_later_write_comes_after_the_queued_delete_or_instead_of_it() {
    let w = World::new();
    let cache = ok(w.no_loader());
    w.l2.push_for(Op::Set, Fault::Hang);
    cache.set(&1, 2).await.unwrap_err();
    let gate = w.l2.gate(Op::Del);
    pass(&w, ms(40)).await;
    gate.reached().await;
    let write = cache.set(&1, 3);
    pass(&w, ms(40)).await;
    assert_eq!(w.l2.calls(Op::Set), 1, "it waits for the delete");
    gate.open();
    write.await.unwrap();
    pass(&w, secs(5)).await;
    assert_eq!((w.l2.calls(Op::Del), cache.stats().unconfirmed), (1, 0));
    assert_eq!(w.in_l2(1).await, Some(Some(3)));

    // Here the write has the turn when the recovery comes for it.
    w.l2.push_for(Op::Set, DOWN);
    cache.set(&1, 4).await.unwrap_err();
    let gate = w.l2.gate(Op::Set);
    let write = cache.set(&1, 5);
    gate.reached().await;
    pass(&w, ms(100)).await;
    gate.open();
    write.await.unwrap();
    pass(&w, secs(5)).await;
    assert_eq!((w.l2.calls(Op::Del), cache.stats().unconfirmed), (1, 0));
    assert_eq!(w.in_l2(1).await, Some(Some(5)));
}

/// A busy key keeps no other key's delete back, and many are sent one batch after another.
#[tokio::test(start_paused = true)]
async fn a_long_queue_is_worked_through_without_pauses_while_l2_answers() {
    let w = World::new();
    let cache = ok(w.no_loader());
    let keys: Vec<u64> = (0..20_000).collect();
    w.l2.always(Some(DOWN));
    cache.mdel(&keys).await.unwrap_err();
    w.l2.heal();
    let gate = w.l2.gate(Op::Set);
    let busy = cache.set(&7, 7);
    gate.reached().await;
    pass(&w, ms(150)).await;
    assert_eq!(cache.stats().unconfirmed, 1, "all but the busy one");
    gate.open();
    busy.await.unwrap();
    assert_eq!((cache.stats().unconfirmed, w.in_l2(7).await), (0, Some(Some(7))));
}
