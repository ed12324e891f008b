//! Old and new builds beside each other: no type reads what was written for another one.

use std::fmt::Debug;

use accelerator_core::testkit::MemoryL2;
use accelerator_core::{Codec, Json, MessagePack, Postcard, Shape};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::any::{AnyCodec, Dyn, cache};

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
