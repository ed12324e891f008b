//! What is seen of a type. The numbers are golden: where one of them changes, everything that is stored is a miss.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::*;
use crate::codecs::postcard::Postcard;

fn text<V: Serialize + DeserializeOwned>() -> String {
    trace::<V>(&Postcard, Format::Positions).0.describe()
}

#[test]
fn a_description_has_names_kinds_and_order_and_nothing_else() {
    #[derive(Serialize, Deserialize)]
    struct User {
        id: u64,
        #[serde(rename = "mail")]
        email: Option<String>,
        role: Role,
        seen: Vec<(u8, SystemTime)>,
    }
    #[derive(Serialize, Deserialize)]
    enum Role {
        Guest,
        Admin { since: i32 },
        Other(String, bool),
        Of(Arc<str>),
    }
    assert_eq!(
        text::<User>(),
        "#0 root 0: 1(0: #1,)\n\
         #1 struct 4:User 4(2:id u64,4:mail #2,4:role #3,4:seen #4,)\n\
         #2 option 0: 1(0: str,)\n\
         #3 enum 4:Role 4(5:Guest unit,5:Admin #7,5:Other #8,2:Of str,)\n\
         #4 seq 0: 1(0: #5,)\n\
         #5 tuple 0: 2(0: u8,0: #6,)\n\
         #6 struct 10:SystemTime 2(16:secs_since_epoch u64,17:nanos_since_epoch u32,)\n\
         #7 struct variant 0: 1(5:since i32,)\n\
         #8 tuple variant 0: 2(0: str,0: bool,)\n"
    );
}

#[test]
fn recursive_types_come_to_an_end() {
    #[derive(Serialize, Deserialize)]
    struct Node {
        next: Option<Box<Node>>,
        children: Vec<Node>,
        by_name: BTreeMap<String, Node>,
        last: u8,
    }
    #[derive(Serialize, Deserialize)]
    struct Block {
        body: Vec<Statement>,
    }
    #[derive(Serialize, Deserialize)]
    enum Statement {
        If(Box<Expression>, Block),
        Do(Expression),
    }
    #[derive(Serialize, Deserialize)]
    enum Expression {
        Add(Box<Expression>, Box<Expression>),
        Block(Box<Block>),
        Number(i64),
    }
    assert!(text::<Node>().contains("4:last u8,"), "{}", text::<Node>());
    let block = text::<Block>();
    for part in ["2:If #", "2:Do #", "3:Add #", "5:Block #", "6:Number i64"] {
        assert!(block.contains(part), "{part}: {block}");
    }
    #[derive(Serialize, Deserialize)]
    struct Endless(Box<Endless>);
    assert!(text::<Endless>().contains("7:Endless"));
}

#[test]
fn what_text_that_checks_itself_hides_is_its_own_field_alone() {
    #[derive(Deserialize, Serialize)]
    struct Event {
        #[serde(with = "never")]
        before: u8,
        at: chrono::DateTime<chrono::Utc>,
        id: uuid::Uuid,
        from: IpAddr,
        inner: Inner,
        after: i8,
    }
    #[derive(Deserialize, Serialize)]
    struct Inner {
        #[serde(with = "never")]
        code: u8,
        count: u16,
    }
    mod never {
        pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u8, D::Error> {
            let text: String = serde::Deserialize::deserialize(d)?;
            if text == "only this" { Ok(1) } else { Err(serde::de::Error::custom("no")) }
        }
        pub(super) fn serialize<S: serde::Serializer>(_: &u8, s: S) -> Result<S::Ok, S::Error> {
            s.serialize_str("only this")
        }
    }
    let text = text::<Event>();
    for part in ["6:before str", "2:at str", "2:id bytes", "6:IpAddr 2(2:V4 ", "4:code str,5:count u16", "5:after i8"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn code_that_panics_on_made_up_values_is_no_trouble() {
    #[derive(Deserialize, Serialize)]
    #[serde(from = "u8")]
    struct Touchy(u8);
    impl From<u8> for Touchy {
        fn from(value: u8) -> Self {
            assert!(value > 100, "a value that makes sense");
            Self(value)
        }
    }
    let text = text::<(u8, HashMap<String, Touchy>, u64)>();
    assert!(text.contains("u64"), "{text}");
}

#[test]
fn looking_at_a_type_takes_no_time() {
    let start = std::time::Instant::now();
    for _ in 0..10 {
        text::<(Duration, SystemTime, HashMap<String, Vec<Option<IpAddr>>>)>();
    }
    assert!(start.elapsed() < Duration::from_secs(1));
}
