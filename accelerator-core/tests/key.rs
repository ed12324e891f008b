//! The text forms of keys: reversible, injective, exact, and pinned.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use accelerator_core::CacheKey;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use uuid::Uuid;

/// What tells keys apart only if every rule holds: separators, escapes, what they are written as, and plain text.
const TOKENS: [&str; 22] = [
    ".", "~", "~.", "~~.", "~n", "n", "-", "~-", "~2e", "~7e", "~c3", "~a9", "~61", "~2E", "a", "0", "5", "+", "_",
    "é", "true", "\0",
];

fn in_charset(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
}

/// Texts that are keys now and then.
fn texts() -> BoxedStrategy<String> {
    prop_oneof![
        4 => prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..8).prop_map(|tokens| tokens.concat()),
        1 => any::<String>(),
        1 => "-?[0-9]{1,4}(\\.-?[0-9]{1,4}){0,5}",
        1 => "\\+?-?[01]{1,3}",
    ]
    .boxed()
}

/// Short strings that collide under any sloppy encoding, and any strings.
fn strings() -> BoxedStrategy<String> {
    prop_oneof![
        3 => prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..4).prop_map(|tokens| tokens.concat()),
        1 => any::<String>(),
    ]
    .boxed()
}

/// If a text is a key's, it is that key's text; either way there is an answer.
fn exact<K: CacheKey>(text: &str) -> TestCaseResult {
    if let Some(key) = K::decode(text) {
        prop_assert_eq!(key.to_text(), text, "decoded from it, but not written as it");
    }
    Ok(())
}

fn laws<K>(keys: impl Strategy<Value = K> + 'static)
where
    K: CacheKey + Clone + PartialEq + Debug + 'static,
{
    let keys = keys.boxed();
    let mangled = (any::<prop::sample::Index>(), any::<bool>(), prop::sample::select(&TOKENS[..]));
    // A test from outside has no place of its own for regressions; they become plain tests.
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let run = runner.run(&(keys.clone(), keys, texts(), mangled), |(key, other, text, (at, cut, token))| {
        let written = key.to_text();
        prop_assert!(in_charset(&written), "{written:?} leaves the charset");
        let back = K::decode(&written);
        prop_assert_eq!(back.as_ref(), Some(&key), "{:?} isn't turned back", written);
        prop_assert_eq!(key == other, written == other.to_text(), "{:?} and {:?}", key, other);

        let mut appended = String::from("é.~");
        key.encode(&mut appended);
        prop_assert_eq!(appended.strip_prefix("é.~"), Some(&*written), "appending changes the text");

        exact::<K>(&text)?;
        // Next to a true text: in upper case, with something put into it, or a character taken out.
        exact::<K>(&written.to_uppercase())?;
        let mut near = written;
        let at = at.index(near.len() + 1);
        if cut && at < near.len() {
            near.remove(at);
        } else {
            near.insert_str(at, token);
        }
        exact::<K>(&near)
    });
    let failure = run.err().map(|failure| failure.to_string()).unwrap_or_default();
    assert!(failure.is_empty(), "{}: {failure}", std::any::type_name::<K>());
}

#[test]
fn integers_and_bool() {
    laws(any::<u8>());
    laws(any::<u16>());
    laws(any::<u32>());
    laws(any::<u64>());
    laws(any::<u128>());
    laws(any::<usize>());
    laws(any::<i8>());
    laws(any::<i16>());
    laws(any::<i32>());
    laws(any::<i64>());
    laws(any::<i128>());
    laws(any::<isize>());
    laws(any::<bool>());
}

#[test]
fn text() {
    laws(prop_oneof![any::<char>(), prop::sample::select(vec!['.', '~', 'a', '0', 'é', '\0'])]);
    laws(strings());
    laws(strings().prop_map(Box::<str>::from));
    laws(strings().prop_map(Arc::<str>::from));
}

#[test]
fn uuids() {
    laws(any::<u128>().prop_map(Uuid::from_u128));
    laws((any::<u128>().prop_map(Uuid::from_u128), prop::option::of(any::<u128>().prop_map(Uuid::from_u128))));
}

#[test]
fn options() {
    laws(prop::option::of(any::<u64>()));
    laws(prop::option::of(strings()));
    laws(prop::option::of(prop::option::of(strings())));
    laws(prop::option::of(prop::option::of(prop::option::of(any::<bool>()))));
    laws(prop::option::of((prop::option::of(strings()), strings())));
}

#[test]
fn tuples() {
    laws((strings(),));
    laws((strings(), strings()));
    laws((any::<u64>(), strings(), any::<i8>()));
    laws((strings(), strings(), strings(), any::<bool>()));
    laws((strings(), any::<char>(), strings(), strings(), any::<i128>()));
    laws((any::<u8>(), strings(), strings(), any::<u64>(), strings(), strings()));
}

#[test]
fn arrays() {
    laws(Just([] as [String; 0]));
    laws(prop::array::uniform1(strings()));
    laws(prop::array::uniform3(strings()));
    laws(prop::array::uniform32(any::<u8>()));
    laws(prop::array::uniform2(prop::array::uniform2(strings())));
    laws(Just([[]; 2] as [[u8; 0]; 2]));
}

#[test]
fn nested() {
    laws((prop::option::of(strings()), strings()));
    laws(((strings(), strings()), strings()));
    laws((strings(), (strings(), strings())));
    laws((((strings(), any::<u8>()), strings()), prop::option::of((strings(), strings()))));
    laws(
        ((strings(),), [(strings(), prop::option::of(strings()))])
            .prop_map(|(one, [pair])| (one, [pair.clone(), pair])),
    );
    laws(prop::option::of(((prop::option::of(prop::option::of(strings())),), strings())));
}

/// What an implementation from outside may write: any text of the charset, such as one that ends in `~`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Raw(String);

impl CacheKey for Raw {
    fn encode(&self, out: &mut String) {
        out.push_str(&self.0);
    }

    fn decode(text: &str) -> Option<Self> {
        in_charset(text).then(|| Self(text.to_owned()))
    }
}

fn raws() -> BoxedStrategy<Raw> {
    prop::collection::vec(prop::sample::select(vec![".", "~", "-", "n", "~n", "a"]), 0..5)
        .prop_map(|tokens| Raw(tokens.concat()))
        .boxed()
}

#[test]
fn written_by_hand() {
    laws(raws());
    laws((raws(), raws()));
    laws(((raws(), raws()), raws()));
    laws(prop::option::of(raws()));
    laws((prop::option::of(prop::option::of(raws())), prop::option::of((raws(), raws()))));
    laws(prop::array::uniform2((raws(),)));
}

fn all_different<K: CacheKey + Debug + Eq + Hash>(keys: impl IntoIterator<Item = K>) {
    let mut seen = HashMap::new();
    for key in keys {
        let text = key.to_text();
        let other = seen.insert(text.clone(), key);
        assert!(other.is_none(), "{other:?} and another key are both {text:?}");
    }
}

/// All strings of up to `max` characters of an alphabet that has everything the encoding treats specially.
fn short(alphabet: &[&str], max: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = 0;
    for _ in 0..max {
        let end = all.len();
        for at in last..end {
            all.extend(alphabet.iter().map(|token| format!("{}{token}", all[at])).collect::<Vec<_>>());
        }
        last = end;
    }
    all
}

fn with_none<K: Clone>(keys: &[K]) -> Vec<Option<K>> {
    keys.iter().cloned().map(Some).chain([None]).collect()
}

fn pairs<A: Clone, B: Clone>(left: &[A], right: &[B]) -> Vec<(A, B)> {
    left.iter().flat_map(|a| right.iter().map(move |b| (a.clone(), b.clone()))).collect()
}

/// Where random pairs could miss each other, all small keys are tried against all.
#[test]
fn no_two_small_keys_collide() {
    let two = short(&[".", "~", "-", "n", "a", "0", "é"], 2);
    let one = short(&[".", "~", "-", "n", "a"], 1);
    let hand: Vec<Raw> = short(&[".", "~", "-", "n"], 3).into_iter().map(Raw).collect();
    let few: Vec<Raw> = short(&[".", "~", "-"], 2).into_iter().map(Raw).collect();

    all_different(short(&[".", "~", "2", "7", "e", "n", "-", "é"], 4));
    all_different(short(&["~", "n"], 8).into_iter().map(|text| Some(Some(Some(Raw(text))))));
    all_different(with_none(&with_none(&with_none(&two))));
    all_different(with_none(&with_none(&hand)));
    all_different(two.iter().flat_map(|a| two.iter().map(|b| (a.as_str(), b.as_str()))));
    all_different(pairs(&two, &two).into_iter().map(|(a, b)| [a, b]));
    all_different(pairs(&with_none(&two), &two));
    all_different(with_none(&pairs(&with_none(&one), &with_none(&one))));
    all_different(pairs(&pairs(&one, &one), &pairs(&one, &one)));
    all_different(pairs(&hand, &hand));
    all_different(pairs(&pairs(&few, &few), &few));
    all_different(pairs(&few, &pairs(&few, &few)));
    all_different(0..=u16::MAX);
    all_different((i16::MIN..=i16::MAX).map(|n| (n, n)));
}

fn golden<K: CacheKey + PartialEq + Debug>(key: K, text: &str) {
    assert_eq!(key.to_text(), text);
    assert_eq!(K::decode(text), Some(key), "{text:?}");
}

/// These texts are in the L2 of whoever runs this: a change here orphans what they stored.
#[test]
fn pinned() {
    let s = str::to_owned;
    golden(42_u64, "42");
    golden(-5_i32, "-5");
    golden(i128::MIN, "-170141183460469231731687303715884105728");
    golden(u128::MAX, "340282366920938463463374607431768211455");
    golden(true, "true");
    golden(false, "false");
    golden('x', "x");
    golden('é', "~c3~a9");
    golden(s(""), "");
    golden(s("user-1"), "user-1");
    golden(s("A_z-09"), "A_z-09");
    golden(s("a.b ~/\0"), "a~2eb~20~7e~2f~00");
    golden(Arc::<str>::from("n"), "n");
    golden(Box::<str>::from("~n"), "~7en");
    golden((7_u64,), "7");
    golden((7_u64, s("ab")), "7.ab");
    golden((s(""), s("")), ".");
    golden((1_u8, -1_i8, s("b.c"), 'd', false, s("é")), "1.-1.b~2ec.d.false.~c3~a9");
    golden(
        (1_u8, 2_u8, 3_u8, 4_u8, 5_u8, 6_u8, 7_u8, 8_u8, 9_u8, 10_u8, 11_u8, s("a.")),
        "1.2.3.4.5.6.7.8.9.10.11.a~2e",
    );
    golden(((1_u8, 2_u8), 3_u8), "1~.2.3");
    golden((1_u8, (2_u8, (3_u8, 4_u8))), "1.2~.3~~.4");
    golden([[s("a"), s("")], [s("."), s("b")]], "a~..~2e~.b");
    golden([] as [u8; 0], "");
    golden([1_u16, 2, 3], "1.2.3");
    golden(Some(4_u8), "4");
    golden(None::<u8>, "~n");
    golden(Some(None::<u8>), "~nn");
    golden(Some(s("")), "");
    golden((None::<u64>, Some(7_u64), None::<bool>), "~n.7.~n");
    golden((Raw(s("a~")), Raw(s("~-")), Raw(s("."))), "a~-.~--.~.");
    golden(Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8), "67e55044-10b1-426f-9247-bb680e5fe0c8");
    assert_eq!(("a", "b.c").to_text(), "a.b~2ec");
}

/// Each of these is a second way to write a key that has its one text, or no way at all.
#[test]
fn refused() {
    fn refuse<K: CacheKey + PartialEq + Debug>(texts: &[&str]) {
        for text in texts {
            assert_eq!(K::decode(text), None, "{text:?}");
        }
    }
    refuse::<u8>(&["", "-", "+1", "01", "00", "-0", "-1", "256", "1.", " 1", "1_0", "٣"]);
    refuse::<i8>(&["", "-", "--1", "+1", "-01", "-0", "128", "-129", "1.0"]);
    refuse::<bool>(&["", "1", "True", "true."]);
    refuse::<char>(&["", "ab", "~", "~c3", "é", "~61"]);
    refuse::<String>(&[".", "~", "~2", "~2E", "~61", "~5f", "~2d", "~ff", "~c3", "~ed~a0~80", "a b", "é", "~+1", "~n"]);
    refuse::<(u8, u8)>(&["", "1", "1.2.3", "1.2.", ".1.2", "1~.2", "1..2"]);
    refuse::<((u8, u8), u8)>(&["1.2.3", "1~~.2.3", "1~.2~.3", "1~.2"]);
    refuse::<(String,)>(&[".", "a.", "a~-", "~-", "a~"]);
    refuse::<[u8; 0]>(&[".", "1", "~"]);
    refuse::<[u8; 2]>(&["", "1", "1.2.3"]);
    refuse::<Option<u8>>(&["", "~", "~nn", "n", "~n.", "~N"]);
    refuse::<Uuid>(&[
        "67E55044-10B1-426F-9247-BB680E5FE0C8",
        "67e5504410b1426f9247bb680e5fe0c8",
        "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
        "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
        "67e55044-10b1-426f-9247-bb680e5fe0c",
        "",
    ]);
    refuse::<&'static str>(&["", "a"]);
    refuse::<(u8, &'static str)>(&["1.a"]);
}

/// An `encode` that takes back text it doesn't own breaks its own keys, but nothing panics.
#[test]
fn an_encode_that_takes_text_back() {
    struct Rude;
    impl CacheKey for Rude {
        fn encode(&self, out: &mut String) {
            out.clear();
        }

        fn decode(_: &str) -> Option<Self> {
            None
        }
    }
    assert_eq!((1_u8, Rude, 2_u8).to_text(), ".2");
    assert_eq!((1_u8, Some(Rude)).to_text(), "");
}
