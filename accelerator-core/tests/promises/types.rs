//! Which types of values go with which codec: each works, is refused by `build()`, or is an error that is counted. None
//! comes back as another value. The tests of Redis and memcached have this file, too, over their servers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use accelerator_core::head::{Head, Kind};
use accelerator_core::testkit::MemoryL2;
use accelerator_core::{Codec, ErrorKind, Json, L2Store, Lookup, MessagePack, Postcard};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::any::{AnyCodec, Dyn, cache};
use crate::stores::fresh;

/// What becomes of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    /// By `build()`, with a sentence that names the fix.
    Refused,
    /// Where it is written: the source is asked again, and a counter says why.
    NotStored,
}
use Fate::{NotStored, Refused, Works};

/// The fate over each store that there is.
async fn fate(codec: AnyCodec, sample: &Dyn) -> Fate {
    let mut fates = Vec::new();
    for l2 in fresh().await {
        fates.push(fate_over(l2, codec.clone(), sample).await);
    }
    let first = *fates.first().expect("a store");
    assert!(fates.iter().all(|fate| *fate == first), "{fates:?}");
    first
}

async fn fate_over(l2: Arc<dyn L2Store>, codec: AnyCodec, sample: &Dyn) -> Fate {
    // Servers have what earlier tests have left.
    let (answer, key) = (sample.clone(), Head::random(Kind::Value).nonce);
    let load = move |_| std::future::ready(Ok::<_, std::io::Error>(Some(answer.clone())));
    let writer = match cache(&l2, codec.clone()).loader(load).build() {
        Ok(writer) => writer,
        Err(e) => {
            let text = e.to_string();
            assert_eq!(e.kind(), ErrorKind::InvalidConfig);
            assert!(
                text.starts_with("codec = ") && (text.contains("codec(Mess") || text.contains("mend it")),
                "{text}"
            );
            return Refused;
        }
    };
    let answer = writer.get(&key).await.expect("what was loaded is the answer");
    assert_eq!(answer.as_ref(), Some(sample));
    let reader = cache(&l2, codec).build().expect("a type that the writer took");
    match reader.lookup(&key).await {
        Lookup::Hit(value) => {
            assert_eq!(&value, sample, "another value came back");
            assert_eq!((reader.stats().undecodable, writer.stats().trials_failed), (0, 0));
            Works
        }
        _ => {
            let stats = writer.stats();
            assert!(stats.trials_failed + stats.l2_errors_total() > 0, "written, not read, and not a word of it");
            assert_eq!(reader.stats().undecodable, 0, "nothing was stored");
            NotStored
        }
    }
}

async fn fates(what: &str, codecs: [AnyCodec; 3], samples: Vec<Dyn>, expected: [Fate; 3]) {
    for sample in samples {
        for (codec, expected) in codecs.iter().zip(expected) {
            assert_eq!(fate(codec.clone(), &sample).await, expected, "{what}, codec {}: {sample:?}", codec.id());
        }
    }
}

/// The fates with postcard, MessagePack and JSON, for each of the samples.
async fn with<V>(what: &str, samples: &[V], expected: [Fate; 3])
where
    V: Serialize + DeserializeOwned + PartialEq + Debug + Clone + Send + Sync + 'static,
{
    let codecs = [AnyCodec::new::<V>(Postcard), AnyCodec::new::<V>(MessagePack), AnyCodec::new::<V>(Json)];
    fates(what, codecs, samples.iter().cloned().map(Dyn::new).collect(), expected).await;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    balance: i64,
    score: f32,
    tags: Vec<String>,
    role: Role,
    boss: Option<Box<User>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Role {
    Guest,
    Admin { since: u32 },
    Named(String),
    Pair(u8, char),
}

fn user() -> User {
    let boss = User {
        id: 1,
        name: "Böß".into(),
        balance: i64::MIN,
        score: 0.1,
        tags: vec![],
        role: Role::Pair(1, 'ß'),
        boss: None,
    };
    User {
        id: u64::MAX,
        role: Role::Admin { since: 7 },
        tags: vec!["a".into(), String::new()],
        boss: Some(Box::new(boss.clone())),
        ..boss
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Metres(f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    at: chrono::DateTime<chrono::Utc>,
    day: chrono::NaiveDate,
    id: uuid::Uuid,
    from: IpAddr,
    took: Duration,
    seen: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf(i32),
    Fork(Box<Tree>, Box<Tree>),
    Many(Vec<Tree>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Noted {
    id: u64,
    note: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u64),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    A { x: u8 },
    B { y: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "of")]
enum Adjacent {
    Unit,
    A(u8),
    B { y: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u64,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rest {
    a: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    nick: Option<String>,
    id: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SparseList {
    id: u64,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    list: Vec<Sparse>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Skipping {
    Guest,
    #[serde(skip)]
    #[allow(dead_code)]
    Internal,
    User,
    Admin,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Grant {
    of: Vec<HashMap<String, Skipping>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Partly {
    id: u64,
    #[serde(skip)]
    scratch: u8,
    last: bool,
}

#[tokio::test]
async fn what_everybody_uses_works_with_every_codec() {
    let all = [Works, Works, Works];
    with("a number", &[0_u64, 1, u64::MAX], all).await;
    with("a large number", &[i128::MIN, 0, i128::MAX], all).await;
    with("a float", &[0.1_f64, -0.0, f64::MIN_POSITIVE, f64::MAX, 0.123_456_789_012_345_67], all).await;
    with("text", &["".to_owned(), "ünï\0".to_owned()], all).await;
    with::<Arc<str>>("shared text", &["".into(), "a".into()], all).await;
    with("bytes", &[vec![], vec![0_u8, 255]], all).await;
    with("nothing", &[()], all).await;
    with("an option", &[None, Some(7_u32)], all).await;
    with("a tuple", &[(1_u8, "a".to_owned(), [1.5_f32, 2.5])], all).await;
    with("a struct", &[user()], all).await;
    with("a shared struct", &[Arc::new(user())], all).await;
    with("an enum", &[Role::Guest, Role::Admin { since: 1 }, Role::Named("n".into()), Role::Pair(1, 'a')], all).await;
    with("a newtype", &[Metres(1.5)], all).await;
    with("a generic", &[Page { items: vec![user()], next: None }], all).await;
    with("a generic of another", &[Page { items: vec![Metres(1.0)], next: Some(2) }], all).await;
    with("a result", &[Ok::<u8, String>(1), Err("e".into())], all).await;
    with("a tree", &[Tree::Many(vec![Tree::Fork(Box::new(Tree::Leaf(1)), Box::new(Tree::Leaf(-1)))])], all).await;
    let event = Event {
        at: chrono::DateTime::from_timestamp_nanos(1_700_000_000_123_456_789),
        day: chrono::NaiveDate::from_ymd_opt(2024, 2, 29).unwrap(),
        id: uuid::Uuid::from_u128(7),
        from: "::1".parse().unwrap(),
        took: Duration::from_nanos(1_000_000_001),
        seen: SystemTime::UNIX_EPOCH + Duration::from_nanos(123_456_789),
    };
    with("times, addresses, ids", &[event], all).await;
    // Their order is another one each time.
    let map: HashMap<String, u64> = (0..100).map(|n| (format!("key {n}"), n)).collect();
    with("a map", &[map.clone(), HashMap::new()], all).await;
    with("a map of maps", &[HashMap::from([(1_u8, map.clone()), (2, map.clone())])], all).await;
    with("a sorted map", &[map.into_iter().collect::<BTreeMap<_, _>>()], all).await;
    with("a set", &[(0..100).collect::<HashSet<i32>>()], all).await;
    with("a struct with a scratch field", &[Partly { id: 1, scratch: 0, last: true }], all).await;
}

#[tokio::test]
async fn what_must_describe_itself_is_refused_with_postcard_and_works_with_names() {
    let named = [Refused, Works, Works];
    let note = serde_json::json!({ "a": [1, 2.5, null, "text", { "b": true }] });
    with("a JSON value", std::slice::from_ref(&note), named).await;
    with("a JSON value within", &[Noted { id: 1, note }], named).await;
    with("untagged", &[Untagged::Number(1), Untagged::Text("a".into())], named).await;
    with("untagged, deep", &[vec![Some((1_u8, Untagged::Number(1)))]], named).await;
    with("tag", &[Tagged::A { x: 1 }, Tagged::B { y: "a".into() }], named).await;
    with("tag and content", &[Adjacent::Unit, Adjacent::A(1), Adjacent::B { y: "b".into() }], named).await;
    with("flatten", &[Flat { id: 1, rest: Rest { a: 2 } }], named).await;
}

#[tokio::test]
async fn what_is_skipped_on_one_side_is_refused_with_postcard_and_works_with_names() {
    let named = [Refused, Works, Works];
    with("skip_serializing_if", &[Sparse { nick: None, id: 1 }, Sparse { nick: Some("n".into()), id: 1 }], named).await;
    with("skip_serializing_if, deep", &[SparseList { id: 1, list: vec![Sparse { nick: None, id: 2 }] }], named).await;
    with("a skipped variant", &[Skipping::Guest, Skipping::User, Skipping::Admin], named).await;
    with("a skipped variant, deep", &[Grant { of: vec![HashMap::from([("a".into(), Skipping::User)])] }], named).await;
}

#[tokio::test]
async fn what_json_has_no_words_for_is_not_stored() {
    let map = HashMap::from([((1_u8, 2_u8), 3_u8)]);
    with("a map whose keys are tuples", &[map], [Works, Works, NotStored]).await;
    with("no number", &[Nan(f64::NAN), Nan(f64::INFINITY)], [Works, Works, NotStored]).await;
}

/// A float that is equal to itself whatever it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Nan(f64);

impl PartialEq for Nan {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

#[tokio::test]
async fn bytes_go_as_they_are() {
    use accelerator_core::{Bytes, RawBytes};
    let bytes = Dyn::new(vec![0_u8, 255]);
    assert_eq!(fate(AnyCodec::new::<Vec<u8>>(RawBytes), &bytes).await, Works);
    assert_eq!(fate(AnyCodec::new::<Bytes>(RawBytes), &Dyn::new(Bytes::from_static(b"\0\xFF"))).await, Works);
    assert_eq!(fate(AnyCodec::new::<String>(RawBytes), &Dyn::new("ünï".to_owned())).await, Works);
    let l2 = MemoryL2::new();
    cache(&l2, AnyCodec::new::<Vec<u8>>(RawBytes)).build().unwrap().set(&1, bytes).await.unwrap();
    let text = cache(&l2, AnyCodec::new::<String>(RawBytes)).build().unwrap();
    assert_eq!((text.lookup(&1).await, text.stats().undecodable), (Lookup::Miss, 1), "not UTF-8");
}

#[test]
fn a_refusal_says_where_and_what_to_do() {
    let refused = |error: Option<accelerator_core::CacheError>| error.expect("refused").to_string();
    let text = refused(cache(&MemoryL2::new(), AnyCodec::new::<Vec<Noted>>(Postcard)).build().err());
    let expected = "codec = postcard: V holds a type that must describe itself (serde_json::Value, untagged, tag, \
                    flatten, ...) at Noted.note; postcard can't read that back: use codec(MessagePack) or codec(Json)";
    assert_eq!(text, expected);
    let text = refused(cache(&MemoryL2::new(), AnyCodec::new::<Sparse>(Postcard)).build().err());
    assert!(
        text.starts_with("codec = postcard: V does not come back") && text.contains("skip_serializing_if"),
        "{text}"
    );
    // For those who must.
    assert!(cache(&MemoryL2::new(), AnyCodec::new::<Noted>(Postcard)).fingerprint(false).build().is_ok());
}
