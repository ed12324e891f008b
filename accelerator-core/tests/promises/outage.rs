//! I6: L2 is optional at run time. Whatever it does, a read is a miss at worst, a loaded value reaches its caller, and
//! a write says what did and did not happen.

use std::time::Duration;

use accelerator_core::testkit::{Fault, Op, Then, settle};
use accelerator_core::{
    CacheError, ErrorKind, LevelCache, Lookup, ReadOptions, StoreError, StoreErrorKind, WriteOptions,
};

use crate::common::{Level, TTL, World, ms, ok, secs};

fn count(cache: &Level, kind: StoreErrorKind) -> u64 {
    cache.stats().l2_errors.of(kind)
}

fn assert_unconfirmed(answer: Result<(), CacheError>, kind: StoreErrorKind) {
    let e = answer.expect_err("L2 did not confirm");
    assert_eq!((e.kind(), e.is_queued()), (ErrorKind::Unconfirmed, true));
    assert_eq!(e.downcast_ref::<StoreError>().map(StoreError::kind), Some(kind));
    assert!(e.to_string().contains("a delete is queued"), "{e}");
}

#[tokio::test(start_paused = true)]
async fn every_error_of_a_read_is_a_miss_and_counted_by_its_kind() {
    for &kind in StoreErrorKind::COUNTED {
        let w = World::new();
        w.other_node().mset([(1, Some(7)), (2, Some(7)), (3, Some(7))]).await.unwrap();
        let cache = ok(w.both());
        w.l2.always_for(Op::Get, Some(Fault::Error(kind)));
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        assert_eq!(count(&cache, kind), 1);
        assert_eq!(cache.mget(&[2, 3]).await.into_values().unwrap(), [Some(2001), Some(3001)]);
        assert_eq!(cache.get_or_load(&4, w.source.clone().load(4)).await.unwrap(), Some(4001));
        assert!(count(&cache, kind) >= 3);
        assert_eq!(cache.stats().l2_errors_total(), count(&cache, kind));
        assert_eq!(cache.try_get(&1), Lookup::Hit(1001), "L1 works all the same");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_or_is_too_slow_is_a_miss_at_l2_timeout() {
    for fault in [Fault::Hang, Fault::Delay(secs(5)), Fault::LostReply(Then::Hang)] {
        let w = World::new();
        w.other_node().mset([(1, Some(7)), (2, Some(7))]).await.unwrap();
        let cache = ok(w.both().l2_timeout(ms(70)));
        w.l2.always_for(Op::Get, Some(fault));
        let before = tokio::time::Instant::now();
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        assert_eq!(cache.mget(&[2]).await.into_values().unwrap(), [Some(2001)]);
        assert!((ms(140)..ms(200)).contains(&before.elapsed()), "{:?}", before.elapsed());
        assert_eq!(count(&cache, StoreErrorKind::Timeout), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_a_miss() {
    let w = World::new();
    let writer = w.other_node();
    writer.set(&1, 7).await.unwrap();
    writer.set(&2, 8).await.unwrap();
    let good = w.l2.inner().peek("t.1").unwrap();
    let other = w.l2.inner().peek("t.2").unwrap();
    let mut version = good.to_vec();
    version[1] = 0x20;
    let kinds: [(&str, Vec<u8>); 8] = [
        ("empty", vec![]),
        ("one byte", vec![0xC7]),
        ("text", b"hello, world".to_vec()),
        ("a long run of zeros", vec![0; 4096]),
        ("too large", vec![0xC7; 3 << 20]),
        ("truncated", good[..good.len() - 1].to_vec()),
        ("another version", version.clone()),
        ("another key's", other.to_vec()),
    ];
    for (what, bytes) in kinds {
        let cache = ok(w.twin().both());
        w.l2.inner().put_raw("t.1", bytes.clone(), TTL);
        assert_eq!(w.other_node().get(&1).await.unwrap(), None, "{what}");
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001), "{what}");
        assert_eq!((cache.stats().undecodable, cache.stats().l2_errors_total()), (1, 0), "{what}");
        let replaced = w.l2.inner().peek("t.1").unwrap() != bytes;
        assert_eq!(replaced, what != "another version", "{what}: damage is replaced, a newer node's value is not");
    }
}

#[tokio::test(start_paused = true)]
async fn a_young_value_of_another_schema_or_codec_is_a_miss_that_is_left_alone() {
    struct Text;
    impl accelerator_core::Codec<u64> for Text {
        fn id(&self) -> u8 {
            200
        }
        fn encode(&self, value: &u64, out: &mut Vec<u8>) -> Result<(), accelerator_core::LoadError> {
            out.extend(value.to_string().bytes());
            Ok(())
        }
        fn decode(&self, bytes: &[u8]) -> Result<u64, accelerator_core::LoadError> {
            Ok(std::str::from_utf8(bytes)?.parse()?)
        }
    }
    let w = World::new();
    let old = ok(w.no_loader());
    let newer = ok(w.twin().both().schema_version(1));
    let text = ok(w.twin().both().codec(Text));
    old.set(&1, 7).await.unwrap();
    let bytes = w.l2.inner().peek("t.1").unwrap();
    for cache in [newer, text] {
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        assert_eq!(cache.try_get(&1), Lookup::Hit(1001), "L1 caches it all the same");
        assert_eq!(cache.mget(&[1]).await.into_values().unwrap(), [Some(1001)]);
        assert_eq!(cache.stats().undecodable, 1);
        assert_eq!(w.l2.inner().peek("t.1").unwrap(), bytes, "old and new nodes must not fight over a key");
        cache.set(&1, 8).await.unwrap();
        assert_eq!(old.lookup(&1).await, Lookup::Hit(7), "its own L1");
        assert_ne!(w.l2.inner().peek("t.1").unwrap(), bytes, "a set is a set");
        w.l2.inner().put_raw("t.1", bytes.clone(), TTL);
    }
}

#[tokio::test(start_paused = true)]
async fn one_unreadable_value_in_an_mget_is_its_own_keys_business() {
    let w = World::new();
    w.other_node().mset([(1, Some(7)), (2, Some(8)), (3, Some(9))]).await.unwrap();
    let cache = ok(w.both());
    w.l2.push_for(Op::Get, Fault::at([1], Fault::Garbage("nonsense".into())));
    assert_eq!(cache.mget(&[1, 2, 3]).await.into_values().unwrap(), [Some(7), Some(2001), Some(9)]);
    assert_eq!((w.source.asked(), cache.stats().undecodable), (1, 1));

    let cache = ok(w.twin().both());
    w.l2.push_for(Op::Get, Fault::at([2], Fault::Error(StoreErrorKind::Unavailable)));
    assert_eq!(cache.mget(&[1, 2, 3]).await.into_values().unwrap(), [Some(7), Some(2001), Some(3001)]);
    assert_eq!((w.source.asked(), count(&cache, StoreErrorKind::Unavailable)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_loader_an_outage_is_none_and_lookup_says_unavailable() {
    for fault in [Fault::Error(StoreErrorKind::Unavailable), Fault::Hang] {
        let w = World::new();
        let cache = ok(w.no_loader());
        assert_eq!(cache.lookup(&1).await, Lookup::Miss);
        w.l2.always(Some(fault));
        assert_eq!(cache.get(&1).await.unwrap(), None);
        assert_eq!(cache.mget(&[1, 2]).await.into_values().unwrap(), [None, None]);
        assert_eq!(cache.lookup(&1).await, Lookup::Unavailable);
        let loading = ok(w.twin().both());
        assert_eq!(loading.get_with(&1, ReadOptions::new().disable_load(true)).await.unwrap(), None);
        w.l2.heal();
        assert_eq!(cache.lookup(&1).await, Lookup::Miss);
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loaded_value_reaches_its_caller_though_l2_does_not_take_it() {
    for fault in [
        Fault::Error(StoreErrorKind::Rejected),
        Fault::Hang,
        Fault::LostReply(Then::Hang),
        Fault::LostReply(Then::Error(StoreErrorKind::Unavailable)),
    ] {
        let w = World::new();
        let cache = ok(w.both());
        w.l2.always_for(Op::Set, Some(fault));
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        assert_eq!(cache.mget(&[2, 3]).await.into_values().unwrap(), [Some(2001), Some(3001)]);
        assert_eq!(cache.try_get(&1), Lookup::Hit(1001));
        assert!(cache.stats().l2_errors_total() >= 2);
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_l2_cannot_take_is_cached_in_l1_and_refused_by_set() {
    let w = World::new();
    let huge = || Some("x".repeat(2 << 20));
    let cache = LevelCache::<u64, String>::builder()
        .area("t")
        .ttl(TTL)
        .clock(w.clock.clone())
        .l1(accelerator_core::testkit::MemoryL1::new())
        .l2(w.l2.clone())
        .loader(move |_| async move { Ok::<_, StoreError>(huge()) })
        .build()
        .unwrap();
    assert_eq!(cache.get(&1).await.unwrap().map(|s| s.len()), Some(2 << 20));
    assert!(matches!(cache.try_get(&1), Lookup::Hit(_)));
    assert_eq!(cache.set(&2, huge()).await.unwrap_err().kind(), ErrorKind::Codec);
    assert_eq!(cache.try_get(&2), Lookup::Miss);
    assert!(w.l2.inner().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_del_that_l2_does_not_confirm_says_so_and_the_node_reads_past_l2_until_one_is_confirmed() {
    for (fault, kind) in [
        (Fault::Error(StoreErrorKind::Unavailable), StoreErrorKind::Unavailable),
        (Fault::Hang, StoreErrorKind::Timeout),
    ] {
        let w = World::new();
        let cache = ok(w.both());
        cache.set(&1, 7).await.unwrap();
        w.l2.always_for(Op::Del, Some(fault));
        assert_unconfirmed(cache.del(&1).await, kind);
        assert_eq!(count(&cache, kind), 1);
        assert_eq!(w.in_l2(1).await, Some(Some(7)), "the test is about this old value");
        w.source.put(2);
        assert_eq!(cache.get(&1).await.unwrap(), Some(1002), "read from L2 what it has deleted itself");
        assert_eq!(cache.lookup(&2).await, Lookup::Miss, "other keys are read as usual");
        // Evicted from L1: still past L2, in batches and tickets too, and nothing is filled.
        for _ in 0..2 {
            accelerator_core::L1Store::<u64, u64>::clear(&w.l1);
            assert_eq!(cache.lookup(&1).await, Lookup::Unavailable);
            assert_eq!(cache.mget(&[1, 2]).await.into_values().unwrap(), [Some(1002), Some(2002)]);
            accelerator_core::L1Store::<u64, u64>::clear(&w.l1);
            let body = async { Ok::<_, StoreError>(Some(5)) };
            assert_eq!(cache.get_or_load(&1, body).await.unwrap(), Some(5));
            settle().await;
        }
        assert_eq!(w.in_l2(1).await, Some(Some(7)));
        w.l2.heal();
        cache.del(&1).await.unwrap();
        assert_eq!(w.in_l2(1).await, None);
        cache.get(&1).await.unwrap();
        assert_eq!(w.in_l2(1).await, Some(Some(1002)), "filled again after a confirmed delete");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bypass_lasts_as_long_as_anything_written_here_can_live_in_l2_and_not_longer() {
    for (own, lives) in [(None, TTL), (Some(secs(300)), secs(300))] {
        let w = World::new();
        let cache = ok(w.both());
        let options = own.map_or(WriteOptions::new(), |own| WriteOptions::new().ttl(own));
        cache.set_with(&1, 7, options).await.unwrap();
        w.l2.always_for(Op::Del, Some(Fault::Error(StoreErrorKind::Unavailable)));
        assert!(cache.del(&1).await.is_err());
        w.clock.advance(lives - ms(2)).await;
        assert_eq!(w.in_l2(1).await, Some(Some(7)));
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
        assert_eq!(cache.lookup(&1).await, Lookup::Hit(1001), "L1");
        w.clock.advance(ms(2)).await;
        accelerator_core::L1Store::<u64, u64>::clear(&w.l1);
        assert_eq!(cache.lookup(&1).await, Lookup::Miss, "L2 is asked again");
        cache.get(&1).await.unwrap();
        assert_eq!(w.in_l2(1).await, Some(Some(1001)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_l2_does_not_confirm_says_so_and_leaves_nothing_old_to_be_read() {
    for (fault, kind) in [
        (Fault::Error(StoreErrorKind::Rejected), StoreErrorKind::Rejected),
        (Fault::Hang, StoreErrorKind::Timeout),
        (Fault::LostReply(Then::Hang), StoreErrorKind::Timeout),
        (Fault::LostReply(Then::Error(StoreErrorKind::Unavailable)), StoreErrorKind::Unavailable),
    ] {
        let w = World::new();
        let cache = ok(w.both());
        cache.set(&1, 7).await.unwrap();
        w.l2.push_for(Op::Set, fault);
        assert_unconfirmed(cache.set(&1, 8).await, kind);
        assert_eq!(cache.try_get(&1), Lookup::Miss, "neither the old value nor an unconfirmed one");
        assert_eq!(cache.get(&1).await.unwrap(), Some(1001), "past L2");
        assert_eq!(cache.stats().flights, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_of_a_del_is_unconfirmed_too() {
    let w = World::new();
    let cache = ok(w.both());
    cache.set(&1, 7).await.unwrap();
    w.l2.push_for(Op::Del, Fault::LostReply(Then::Error(StoreErrorKind::Unavailable)));
    assert_unconfirmed(cache.del(&1).await, StoreErrorKind::Unavailable);
    w.l2.always_for(Op::Del, Some(Fault::LostReply(Then::Hang)));
    assert_unconfirmed(cache.del(&1).await, StoreErrorKind::Timeout);
    assert_eq!(cache.lookup(&1).await, Lookup::Unavailable);
    w.l2.heal();
    cache.del(&1).await.unwrap();
    assert_eq!(cache.lookup(&1).await, Lookup::Miss);
}

#[tokio::test(start_paused = true)]
async fn in_a_batch_only_the_keys_that_failed_are_bypassed() {
    let w = World::new();
    let cache = ok(w.both());
    cache.mset([(1, Some(5)), (2, Some(6))]).await.unwrap();
    w.l2.push_for(Op::Del, Fault::at([1], Fault::Error(StoreErrorKind::Unavailable)));
    assert_unconfirmed(cache.mdel(&[1, 2]).await, StoreErrorKind::Unavailable);
    assert_eq!((cache.lookup(&1).await, cache.lookup(&2).await), (Lookup::Miss, Lookup::Unavailable));
    cache.mdel(&[1, 2]).await.unwrap();

    w.l2.push_for(Op::Set, Fault::at([0], Fault::Error(StoreErrorKind::Unavailable)));
    assert_unconfirmed(cache.mset([(1, Some(5)), (2, Some(6))]).await, StoreErrorKind::Unavailable);
    assert_eq!((cache.lookup(&1).await, cache.lookup(&2).await), (Lookup::Unavailable, Lookup::Hit(6)));
}

#[tokio::test(start_paused = true)]
async fn a_write_answers_soon_after_its_timeout_also_behind_others_of_its_key() {
    let w = World::new();
    let cache = ok(w.both());
    w.l2.always(Some(Fault::Hang));
    let before = tokio::time::Instant::now();
    let writes: Vec<_> = (0..40).map(|i| if i % 2 == 0 { cache.del(&1) } else { cache.set(&1, i) }).collect();
    for write in writes {
        let _ = write.await;
    }
    let limit: Duration = ms(250) * 3;
    assert!(before.elapsed() < limit, "40 writes of one key took {:?} with an L2 that hangs", before.elapsed());
    assert_eq!(cache.stats().flights, 0);
}

/// A codec that takes small numbers only, and makes much of the others.
struct Picky;

impl accelerator_core::Codec<u64> for Picky {
    fn id(&self) -> u8 {
        200
    }
    fn encode(&self, value: &u64, out: &mut Vec<u8>) -> Result<(), accelerator_core::LoadError> {
        out.resize(out.len() + usize::try_from(*value)? * 1024, 0);
        if *value < 2000 { Ok(()) } else { Err("no number of ours".into()) }
    }
    fn decode(&self, bytes: &[u8]) -> Result<u64, accelerator_core::LoadError> {
        Ok(bytes.len() as u64 / 1024)
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_l2_can_not_take_is_served_and_counted_by_reason() {
    let w = World::new();
    let cache = ok(w.both().codec(Picky));
    assert_eq!(cache.get(&1).await.unwrap(), Some(1001));
    assert_eq!(count(&cache, StoreErrorKind::TooLarge), 0, "less than a MiB");
    assert_eq!(cache.get(&2).await.unwrap(), Some(2001));
    assert_eq!((count(&cache, StoreErrorKind::Other), count(&cache, StoreErrorKind::TooLarge)), (1, 0), "not encoded");
    assert_eq!(cache.set(&3, 1500).await.unwrap_err().kind(), ErrorKind::Codec);
    let large = ok(w.twin().both().codec(Picky).loader(|_| async { Ok::<_, std::io::Error>(Some(1500)) }));
    assert_eq!(large.get(&4).await.unwrap(), Some(1500));
    assert_eq!((count(&large, StoreErrorKind::Other), count(&large, StoreErrorKind::TooLarge)), (0, 1), "too large");
    assert_eq!(w.l2.inner().peek("t.4"), None);
}
