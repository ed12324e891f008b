//! Old and new builds beside each other: no type reads what was written for another one.

use std::fmt::Debug;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use accelerator_core::testkit::{Fault, Faulty, ManualClock, MemoryL2, Op, settle};
use accelerator_core::{
    Begin, Codec, Json, LevelCache, MessagePack, NoL1, Postcard, Shape, StoreErrorKind, Tickets as _,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::any::{AnyCodec, Dyn, cache};
use crate::common::{TTL, World, ms, ok};

/// Types of one name, as one build after the other has them.
macro_rules! builds {
    ($($build:ident { $($item:item)* })*) => {$(
        mod $build {
            #[allow(unused_imports)]
            use serde::{Deserialize, Serialize};
            $(
                #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
                $item
            )*
        }
    )*};
}

builds! {
    first {
        pub(super) struct U { pub(super) name: String, pub(super) email: String }
        pub(super) enum Plan { Free, Paid }
        pub(super) struct Order { pub(super) id: u64, pub(super) plan: Plan, pub(super) lines: Vec<Line> }
        pub(super) struct Line { pub(super) price: i64 }
        pub(super) struct Point(pub(super) f32, pub(super) f32);
    }
    swapped {
        pub(super) struct U { pub(super) email: String, pub(super) name: String }
    }
    in_front {
        pub(super) enum Plan { Trial, Free, Paid }
        pub(super) struct Order { pub(super) id: u64, pub(super) plan: Plan, pub(super) lines: Vec<super::first::Line> }
    }
    renamed_variant {
        pub(super) enum Plan { Free, Bought }
    }
    renamed_field {
        pub(super) struct U { pub(super) name: String, pub(super) mail: String }
    }
    renamed {
        pub(super) struct Person { pub(super) name: String, pub(super) email: String }
    }
    optional {
        pub(super) struct U { pub(super) name: String, pub(super) email: Option<String> }
    }
    added {
        pub(super) struct U { pub(super) name: String, pub(super) email: String, #[serde(default)] pub(super) age: u8 }
    }
    unsigned {
        pub(super) struct Order { pub(super) id: u64, pub(super) plan: super::first::Plan, pub(super) lines: Vec<Line> }
        pub(super) struct Line { pub(super) price: u64 }
    }
    elsewhere {
        pub(super) struct Line { pub(super) price: i64 }
        pub(super) struct Plan(pub(super) Line, pub(super) u8);
    }
    wider {
        pub(super) struct Point(pub(super) f64, pub(super) f64);
    }
}

/// What the build with the type `New` reads where one with `Old` has written, and how often it said "foreign".
async fn read<Old, New, C>(codec: C, value: Old) -> (Option<New>, u64)
where
    Old: PartialEq + Debug + Send + Sync + 'static,
    New: PartialEq + Debug + Clone + Send + Sync + 'static,
    C: Codec<Old> + Codec<New> + Copy,
{
    let (found, foreign) = read_any(AnyCodec::new::<Old>(codec), AnyCodec::new::<New>(codec), Dyn::new(value)).await;
    (found.map(|found| found.of::<New>().expect("the type that the codec makes").clone()), foreign)
}

async fn read_any(old: AnyCodec, new: AnyCodec, value: Dyn) -> (Option<Dyn>, u64) {
    let l2 = MemoryL2::new();
    cache(&l2, old).build().expect("a good type").set(&1, value).await.expect("stored");
    let new = cache(&l2, new).build().expect("a good type");
    let found = new.get(&1).await.expect("never an error");
    assert_eq!(new.stats().undecodable > 0, found.is_none(), "a miss is counted");
    (found, new.stats().foreign_schema)
}

fn u() -> first::U {
    first::U { name: "Ada".into(), email: "ada@example.org".into() }
}

fn order() -> first::Order {
    first::Order { id: 1, plan: first::Plan::Paid, lines: vec![first::Line { price: -5 }] }
}

#[tokio::test(start_paused = true)]
async fn with_postcard_a_value_of_another_shape_is_a_miss_that_is_counted() {
    assert_eq!(read::<_, swapped::U, _>(Postcard, u()).await, (None, 1), "fields swapped");
    assert_eq!(read::<_, renamed_field::U, _>(Postcard, u()).await, (None, 1), "a field renamed");
    assert_eq!(read::<_, renamed::Person, _>(Postcard, u()).await, (None, 1), "a struct renamed");
    assert_eq!(read::<_, optional::U, _>(Postcard, u()).await, (None, 1), "a field made optional");
    assert_eq!(read::<_, added::U, _>(Postcard, u()).await, (None, 1), "a field added");
    assert_eq!(read::<_, u64, _>(Postcard, -5_i64).await, (None, 1), "a number of another kind");
    let paid = || first::Plan::Paid;
    assert_eq!(read::<_, in_front::Plan, _>(Postcard, paid()).await, (None, 1), "a variant in front");
    assert_eq!(read::<_, renamed_variant::Plan, _>(Postcard, paid()).await, (None, 1), "one renamed");
    assert_eq!(read::<_, in_front::Order, _>(Postcard, order()).await, (None, 1), "within a field");
    assert_eq!(read::<_, unsigned::Order, _>(Postcard, order()).await, (None, 1), "two deep, in a list");
    assert_eq!(read::<_, wider::Point, _>(Postcard, first::Point(1.0, 2.0)).await, (None, 1), "a tuple");
    // And of the same shape, it is read.
    assert_eq!(read::<_, first::U, _>(Postcard, u()).await, (Some(u()), 0));
    assert_eq!(read::<_, first::Order, _>(Postcard, order()).await, (Some(order()), 0));
}

#[tokio::test(start_paused = true)]
async fn with_names_fields_may_come_and_go_and_nothing_else_is_misread() {
    async fn all<C>(codec: C)
    where
        C: Codec<first::U> + Codec<swapped::U> + Codec<added::U> + Codec<optional::U> + Codec<renamed_field::U>,
        C: Codec<renamed::Person> + Codec<first::Order> + Codec<in_front::Order> + Codec<unsigned::Order>,
        C: Codec<first::Plan> + Codec<renamed_variant::Plan> + Codec<i64> + Codec<u64> + Copy,
    {
        let swapped = swapped::U { name: "Ada".into(), email: "ada@example.org".into() };
        assert_eq!(read::<_, swapped::U, _>(codec, u()).await, (Some(swapped), 0));
        let added = added::U { name: u().name, email: u().email, age: 0 };
        assert_eq!(read::<_, added::U, _>(codec, u()).await, (Some(added.clone()), 0));
        assert_eq!(read::<_, first::U, _>(codec, added).await, (Some(u()), 0));
        let optional = optional::U { name: u().name, email: Some(u().email) };
        assert_eq!(read::<_, optional::U, _>(codec, u()).await, (Some(optional), 0));
        let in_front = in_front::Order { id: 1, plan: in_front::Plan::Paid, lines: order().lines };
        assert_eq!(read::<_, in_front::Order, _>(codec, order()).await, (Some(in_front), 0));
        assert_eq!(read::<_, unsigned::Order, _>(codec, order()).await, (None, 0), "-5 is no u64");
        assert_eq!(read::<_, u64, _>(codec, -5_i64).await, (None, 0));
        assert_eq!(read::<_, renamed_field::U, _>(codec, u()).await, (None, 0), "no such field");
        assert_eq!(read::<_, renamed_variant::Plan, _>(codec, first::Plan::Paid).await, (None, 0));
        assert_eq!(read::<_, renamed::Person, _>(codec, u()).await, (None, 1), "a type of another name");
    }
    all(MessagePack).await;
    all(Json).await;
}

#[tokio::test(start_paused = true)]
async fn two_caches_that_share_an_area_by_mistake_do_not_read_each_other() {
    let l2 = MemoryL2::new();
    let at = |codec: AnyCodec| cache(&l2, codec).build().unwrap();
    at(AnyCodec::new::<first::U>(MessagePack)).set(&1, Dyn::new(u())).await.unwrap();
    // It has all the fields.
    let persons = at(AnyCodec::new::<renamed::Person>(MessagePack));
    assert_eq!((persons.get(&1).await.unwrap(), persons.stats().foreign_schema), (None, 1));
    let other = at(AnyCodec::new::<first::U>(Json));
    assert_eq!((other.get(&1).await.unwrap(), other.stats().foreign_codec), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn schema_version_is_part_of_it_and_fingerprint_false_leaves_it_alone() {
    let (l2, codec) = (MemoryL2::new(), AnyCodec::new::<first::U>(Postcard));
    let of =
        |version: u32, yes: bool| cache(&l2, codec.clone()).schema_version(version).fingerprint(yes).build().unwrap();
    of(0, true).set(&1, Dyn::new(u())).await.unwrap();
    for (version, yes, found) in [(0, true, true), (1, true, false), (0, false, false)] {
        assert_eq!(of(version, yes).get(&1).await.unwrap().is_some(), found, "{version} {yes}");
    }
    of(5, false).set(&1, Dyn::new(u())).await.unwrap();
    assert_eq!(l2.peek("any.1").unwrap()[12..16], 5_u32.to_le_bytes());
    // As before there were fingerprints: nothing stands between two types.
    let swapped = cache(&l2, AnyCodec::new::<swapped::U>(Postcard)).schema_version(5).fingerprint(false);
    let read = swapped.build().unwrap().get(&1).await.unwrap().unwrap();
    assert_eq!(read.of::<swapped::U>().unwrap().email, "Ada");
}

/// Nodes of two builds over one L2.
struct Deploy {
    clock: ManualClock,
    l2: Faulty<MemoryL2>,
    loads: Arc<AtomicUsize>,
}

impl Deploy {
    fn new(leases: bool) -> Self {
        let clock = ManualClock::new();
        let l2 = MemoryL2::with_clock(clock.clone());
        Self { l2: Faulty::new(if leases { l2.with_leases() } else { l2 }), clock, loads: Arc::default() }
    }

    /// A node whose source has this value for every key, and takes a moment.
    fn node(&self, codec: AnyCodec, value: Dyn) -> LevelCache<u64, Dyn, NoL1> {
        let loads = self.loads.clone();
        let load = move |_| {
            let (value, loads) = (value.clone(), loads.clone());
            async move {
                loads.fetch_add(1, SeqCst);
                tokio::time::sleep(ms(20)).await;
                Ok::<_, std::io::Error>(Some(value))
            }
        };
        let builder = LevelCache::<u64, Dyn>::builder().area("any").share_area(true).clock(self.clock.clone()).ttl(TTL);
        builder.l2_with_codec(self.l2.clone(), codec).loader(load).build().expect("a good type")
    }

    fn numbers(&self, new: bool) -> LevelCache<u64, Dyn, NoL1> {
        match new {
            false => self.node(AnyCodec::new::<i64>(Postcard), Dyn::new(-5_i64)),
            true => self.node(AnyCodec::new::<u64>(Postcard), Dyn::new(5_u64)),
        }
    }

    /// Values that were written a moment ago are not young any more.
    fn rest(&self) {
        self.clock.tick(ms(250));
    }

    fn loads(&self) -> usize {
        self.loads.swap(0, SeqCst)
    }

    fn bytes(&self, key: u64) -> Option<accelerator_core::Bytes> {
        self.l2.inner().peek(&format!("any.{key}"))
    }
}

/// A build with the type `New` comes where one with `Old` has filled L2: five of its nodes ask for two keys each, one after
/// the other and all at once.
async fn deploy<Old, New>(what: &str, old: Old, new: New)
where
    Old: Serialize + DeserializeOwned + PartialEq + Debug + Send + Sync + 'static,
    New: Serialize + DeserializeOwned + PartialEq + Debug + Send + Sync + 'static,
{
    let fleet = Deploy::new(true);
    let (old, new) = (Dyn::new(old), Dyn::new(new));
    let before = fleet.node(AnyCodec::new::<Old>(Postcard), old.clone());
    let after = || fleet.node(AnyCodec::new::<New>(Postcard), new.clone());
    for keys in [[1, 2], [3, 4]] {
        assert_eq!(before.mget(&keys).await.into_values().expect("loaded"), [Some(old.clone()), Some(old.clone())]);
    }
    fleet.rest();
    fleet.loads();
    for key in [1, 2] {
        for _ in 0..5 {
            assert_eq!(after().get(&key).await.expect("loaded").as_ref(), Some(&new), "{what}");
        }
    }
    assert_eq!(fleet.loads(), 2, "{what}: one load of each key");
    let nodes: Vec<_> = (0..6).map(|_| after()).collect();
    let reads = nodes.iter().enumerate().map(|(n, node)| async move {
        match n % 2 {
            0 => vec![node.get(&3).await.expect("loaded"), node.get(&4).await.expect("loaded")],
            _ => node.mget(&[3, 4]).await.into_values().expect("loaded"),
        }
    });
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read, [Some(new.clone()), Some(new.clone())], "{what}");
    }
    assert_eq!(fleet.loads(), 2, "{what}: one load of each key, by single reads and batches of all nodes together");
    assert_eq!(nodes.iter().map(|node| node.stats().fills_lost).sum::<u64>(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_deploy_each_key_is_loaded_once_for_all_new_nodes() {
    let swapped = swapped::U { name: "Ada".into(), email: "ada@example.org".into() };
    deploy("fields swapped", u(), swapped).await;
    deploy("i64 to u64", -5_i64, 5_u64).await;
    deploy("a variant in front", first::Plan::Paid, in_front::Plan::Paid).await;
    deploy(
        "a variant in front, within",
        order(),
        in_front::Order { id: 1, plan: in_front::Plan::Paid, lines: order().lines },
    )
    .await;
    deploy("another type of the same area", u(), renamed::Person { name: "Ada".into(), email: "a".into() }).await;
    deploy("a field added", u(), added::U { name: "Ada".into(), email: "a".into(), age: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn a_young_value_of_the_other_build_is_left_to_those_who_wait_for_it() {
    for leases in [true, false] {
        let fleet = Deploy::new(leases);
        let (old, new) = (fleet.numbers(false), fleet.numbers(true));
        old.get(&1).await.unwrap();
        let bytes = fleet.bytes(1);
        fleet.clock.tick(ms(249));
        assert_eq!(new.get(&1).await.unwrap(), Some(Dyn::new(5_u64)));
        assert_eq!(new.mget(&[1]).await.into_values().unwrap(), [Some(Dyn::new(5_u64))]);
        assert_eq!(fleet.bytes(1), bytes, "it stays");
        fleet.clock.tick(ms(1));
        new.get(&1).await.unwrap();
        assert_ne!(fleet.bytes(1), bytes, "leases: {leases}");
        fleet.loads();
        assert_eq!(new.get(&1).await.unwrap(), Some(Dyn::new(5_u64)));
        assert_eq!(fleet.loads(), 0, "it was stored");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_replaces_a_value_of_the_other_build_loses_against_a_del_and_a_set() {
    for verb in ["del", "set"] {
        for batch in [false, true] {
            let fleet = Deploy::new(true);
            let (old, new) = (fleet.numbers(false), fleet.numbers(true));
            old.get(&1).await.unwrap();
            fleet.rest();
            let read = tokio::spawn(async move {
                match batch {
                    false => new.get(&1).await.unwrap(),
                    true => new.mget(&[1]).await.into_values().unwrap().remove(0),
                }
            });
            settle().await;
            assert_eq!(fleet.loads.load(SeqCst), 2, "it loads");
            match verb {
                "del" => old.del(&1).await.unwrap(),
                _ => old.set(&1, Dyn::new(-6_i64)).await.unwrap(),
            }
            let bytes = fleet.bytes(1);
            assert_eq!(read.await.unwrap(), Some(Dyn::new(5_u64)));
            assert_eq!(fleet.bytes(1), bytes, "{verb}: what was loaded before it came after it");
            assert_eq!(bytes.is_some(), verb == "set");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_takes_the_place_of_a_value_of_the_other_build() {
    let fleet = Deploy::new(true);
    fleet.numbers(false).get(&1).await.unwrap();
    fleet.rest();
    let new = fleet.numbers(true);
    let Begin::Lead(ticket) = new.begin(&1).await else { unreachable!("nothing that it can read") };
    ticket.fill(Some(Dyn::new(7_u64)));
    settle().await;
    assert_eq!(fleet.numbers(true).get(&1).await.unwrap(), Some(Dyn::new(7_u64)));
    assert_eq!(fleet.loads(), 1, "that of the old build");
}

#[tokio::test(start_paused = true)]
async fn a_batch_replaces_what_is_foreign_and_takes_what_is_its_own() {
    let fleet = Deploy::new(true);
    let (old, new) = (fleet.numbers(false), fleet.numbers(true));
    old.mget(&[1, 2]).await.into_values().unwrap();
    new.mget(&[3, 4]).await.into_values().unwrap();
    fleet.rest();
    fleet.loads();
    let all: Vec<_> = (1..=6).collect();
    for loads in [4, 0] {
        assert_eq!(new.mget(&all).await.into_values().unwrap(), vec![Some(Dyn::new(5_u64)); 6]);
        assert_eq!(fleet.loads(), loads);
    }
    assert_eq!(new.stats().foreign_schema, 2, "each is counted once");
}

#[tokio::test(start_paused = true)]
async fn where_l2_does_not_let_a_value_go_the_answer_is_the_loaded_one() {
    let fleet = Deploy::new(true);
    let (old, new) = (fleet.numbers(false), fleet.numbers(true));
    old.get(&1).await.unwrap();
    fleet.rest();
    let bytes = fleet.bytes(1);
    fleet.l2.always_for(Op::Release, Some(Fault::Error(StoreErrorKind::Unavailable)));
    assert_eq!(new.get(&1).await.unwrap(), Some(Dyn::new(5_u64)));
    assert_eq!(new.mget(&[1]).await.into_values().unwrap(), [Some(Dyn::new(5_u64))]);
    assert_eq!((fleet.bytes(1), new.stats().l2_errors_total()), (bytes, 2));
}

#[tokio::test(start_paused = true)]
async fn a_value_of_a_writer_whose_clock_is_far_ahead_is_not_left_there_for_ever() {
    let w = World::new();
    ok(w.no_loader().schema_version(1)).set(&1, 7).await.unwrap();
    w.clock.skew_unix(-60_000);
    assert_eq!(ok(w.l2()).get(&1).await.unwrap(), Some(1001));
    assert_eq!(w.in_l2(1).await, Some(Some(1001)));
}

fn fingerprint<V: Serialize + DeserializeOwned>(codec: impl Codec<V>) -> u64 {
    match codec.shape() {
        Shape::Known(fingerprint) => fingerprint,
        other => unreachable!("{other:?}"),
    }
}

/// These numbers are in the values that are stored: where one changes, all values of such types are misses once.
#[test]
fn the_same_type_has_the_same_fingerprint_in_every_build_and_on_every_day() {
    let found = [
        fingerprint::<u64>(Postcard),
        fingerprint::<first::U>(Postcard),
        fingerprint::<first::Order>(Postcard),
        fingerprint::<Calendar>(Postcard),
        fingerprint::<first::Order>(MessagePack),
        fingerprint::<first::Order>(Json),
        fingerprint::<Vec<(i64, Option<first::U>)>>(MessagePack),
    ];
    assert_eq!(found, GOLDEN, "{found:#x?}");
}

/// What is beside a type in another one, or was asked for before it, is no part of it; and each change above is one.
#[test]
fn a_fingerprint_depends_on_its_own_type_and_on_all_of_that() {
    let all = [
        fingerprint::<first::U>(Postcard),
        fingerprint::<swapped::U>(Postcard),
        fingerprint::<renamed_field::U>(Postcard),
        fingerprint::<renamed::Person>(Postcard),
        fingerprint::<optional::U>(Postcard),
        fingerprint::<added::U>(Postcard),
        fingerprint::<i64>(Postcard),
        fingerprint::<u64>(Postcard),
        fingerprint::<first::Plan>(Postcard),
        fingerprint::<in_front::Plan>(Postcard),
        fingerprint::<renamed_variant::Plan>(Postcard),
        fingerprint::<first::Order>(Postcard),
        fingerprint::<in_front::Order>(Postcard),
        fingerprint::<unsigned::Order>(Postcard),
        fingerprint::<first::Point>(Postcard),
        fingerprint::<wider::Point>(Postcard),
        fingerprint::<(first::U, u64)>(Postcard),
        fingerprint::<(u64, first::U)>(Postcard),
        fingerprint::<(first::U, first::U)>(Postcard),
        fingerprint::<(first::U, swapped::U)>(Postcard),
    ];
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len(), "{all:x?}");
    // The same definition in another module is the same type, whatever else that module has.
    assert_eq!(fingerprint::<elsewhere::Line>(Postcard), fingerprint::<first::Line>(Postcard));
    assert_ne!(fingerprint::<elsewhere::Plan>(Postcard), fingerprint::<first::Plan>(Postcard));
    // In other threads at the same time, after other types.
    let threads: Vec<_> = (0..4)
        .map(|n| {
            std::thread::spawn(move || {
                let others = [fingerprint::<Calendar>, fingerprint::<wider::Point>, fingerprint::<in_front::Order>];
                others[n % 3](Postcard);
                fingerprint::<first::Order>(Postcard)
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("no panic"), GOLDEN[2]);
    }
}

const GOLDEN: [u64; 7] = [
    0x088a_47b0_ea2f_2335,
    0x3466_5e9e_e7ce_9d69,
    0x2693_da93_beed_f44b,
    0x44b8_3520_5b9a_7e82,
    0xb3f2_5da0_6828_9ca8,
    0xb3f2_5da0_6828_9ca8,
    0x3c95_3466_101b_491c,
];

#[derive(Serialize, Deserialize)]
struct Calendar {
    zone: std::sync::Arc<str>,
    days: std::collections::BTreeMap<chrono::NaiveDate, Vec<Calendar>>,
    host: std::net::IpAddr,
    id: uuid::Uuid,
    took: Result<std::time::Duration, String>,
}
