//! Bytes that are made to hurt: nested without an end, or claiming lengths that nobody can hold. Each is an error.

use std::collections::BTreeMap;
use std::fmt::Debug;

use accelerator_core::{Codec, Json, MessagePack, Postcard};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Either {
    One(Box<Either>),
    Map(BTreeMap<u8, Either>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Leaf(u8),
    Many(Vec<Loose>),
}

fn is_refused<V>(codec: impl Codec<V>, bytes: &[u8], what: &str) {
    assert!(codec.decode(bytes).is_err(), "{what}, codec {}", codec.id());
}

/// Each repeated 100,000 times.
fn nested<V: Serialize + DeserializeOwned>(repeated: &[(&str, &[u8])]) {
    for (what, part) in repeated {
        let bytes = part.repeat(100_000);
        is_refused::<V>(Postcard, &bytes, what);
        is_refused::<V>(MessagePack, &bytes, what);
        is_refused::<V>(Json, &bytes, what);
    }
}

#[test]
fn nesting_without_an_end_is_an_error() {
    let parts: [(&str, &[u8]); 8] = [
        ("a one", &[1]),
        ("a nought", &[0]),
        ("a map with a key", &[1, 1, 7]),
        ("an array of one", &[0x91]),
        ("a map of one", b"\x81\xA4next"),
        ("a variant", b"\x81\xA3One"),
        ("an opened list", b"["),
        ("an opened object", b"{\"next\":"),
    ];
    nested::<Tree>(&parts);
    nested::<Chain>(&parts);
    nested::<Either>(&parts);
    nested::<Vec<Loose>>(&parts);
    nested::<serde_json::Value>(&parts);
}

#[test]
fn lengths_that_lie_are_errors() {
    let lies: [&[u8]; 10] = [
        &[0xFF; 10],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        &[0xDD, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0xDF, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0xDB, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0xC6, 0xFF, 0xFF, 0xFF, 0xFF],
        &[0xC9, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        b"[1e999999999",
    ];
    fn all<V: Serialize + DeserializeOwned + Debug>(lies: &[&[u8]]) {
        for lie in lies {
            is_refused::<V>(Postcard, lie, "a length");
            is_refused::<V>(MessagePack, lie, "a length");
            is_refused::<V>(Json, lie, "a length");
        }
    }
    all::<Vec<[u64; 32]>>(&lies);
    all::<String>(&lies);
    all::<BTreeMap<u64, u64>>(&lies);
    all::<Tree>(&lies);
    all::<Vec<Vec<Vec<u8>>>>(&lies);
}

#[test]
fn values_may_be_nested_as_deep_as_the_docs_say() {
    fn tree(depth: usize) -> Tree {
        (1..depth).fold(Tree(vec![]), |tree, _| Tree(vec![tree]))
    }
    fn comes_back<C: Codec<Tree>>(codec: &C, depth: usize) -> bool {
        let mut bytes = Vec::new();
        codec.encode(&tree(depth), &mut bytes).unwrap();
        codec.decode(&bytes).is_ok_and(|back| back == tree(depth))
    }
    // A tree is two levels: the struct, and the list. Short values of postcard need no limit.
    assert!(comes_back(&Postcard, 64) && !comes_back(&Postcard, 129));
    assert!(comes_back(&MessagePack, 64) && !comes_back(&MessagePack, 65));
    assert!(comes_back(&Json, 127) && !comes_back(&Json, 128));
}
