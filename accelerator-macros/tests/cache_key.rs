//! `#[derive(CacheKey)]` keeps the laws of keys, for every shape of type, and its text is pinned: a change of it orphans
//! what L2 holds.
#![forbid(unsafe_code)]
#![deny(warnings, clippy::pedantic, clippy::all)]

use accelerator::macros::CacheKey;
use accelerator::{CacheKey as _, key_laws};

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct PageKey {
    tenant: u64,
    path: String,
    language: Option<[char; 2]>,
}

fn page(tenant: u64, path: &str, language: Option<[char; 2]>) -> PageKey {
    PageKey { tenant, path: path.to_owned(), language }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct Id(u64);

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct Pair(String, String);

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct OfPair {
    pair: Pair,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct All;

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct Braces {}

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct Of<T, const N: usize>
where
    T: Clone,
{
    one: T,
    all: [T; N],
}

trait Entity {
    type Id;
}

struct Users;

impl Entity for Users {
    type Id = Id;
}

#[derive(CacheKey)]
struct IdOf<E: Entity>(E::Id, u8);

impl<E: Entity<Id: PartialEq>> PartialEq for IdOf<E> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 && self.1 == other.1
    }
}

impl<E: Entity<Id: std::fmt::Debug>> std::fmt::Debug for IdOf<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.0, self.1)
    }
}

#[derive(Debug, PartialEq, CacheKey)]
struct Borrowed<'a> {
    name: &'a str,
    id: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct Seven(u8, u8, u8, u8, u8, u8, String);

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
#[rustfmt::skip]
struct Many {
    a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: String, m: String, n: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
#[allow(non_camel_case_types)]
enum Query {
    All,
    Empty(),
    Nothing {},
    User(u64),
    Name(String),
    Pair(Pair),
    Page {
        key: PageKey,
        number: u32,
    },
    r#type(bool),
    Größe(u8),
    #[deprecated]
    Old(u8, u8),
}

#[derive(Debug, PartialEq, CacheKey)]
enum Never {}

/// The names of the expansion are no names of the type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, CacheKey)]
struct Odd<__A> {
    __0: u8,
    __out: __A,
    __text: String,
    r#type: bool,
}

fn many(l: &str, m: &str, n: Option<u8>) -> Many {
    let (l, m) = (l.to_owned(), m.to_owned());
    Many { a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9, j: 10, k: 11, l, m, n }
}

#[allow(deprecated)]
fn queries() -> Vec<Query> {
    let pair = |a: &str, b: &str| Query::Pair(Pair(a.to_owned(), b.to_owned()));
    let name = |name: &str| Query::Name(name.to_owned());
    vec![
        Query::All,
        Query::Empty(),
        Query::Nothing {},
        Query::User(0),
        Query::User(7),
        name(""),
        name("0"),
        name("~"),
        name("a.b"),
        pair("", ""),
        pair("", "."),
        pair(".", ""),
        pair("~", "User.7"),
        Query::Page { key: page(1, "2", None), number: 3 },
        Query::Page { key: page(1, "", None), number: 23 },
        Query::r#type(true),
        Query::Größe(1),
        Query::Old(1, 2),
        Query::Old(12, 0),
    ]
}

key_laws!(
    structs,
    PageKey,
    [page(1, "", None), page(1, "a.b", Some(['x', '.'])), page(1, "~", None), page(11, "", None)]
);
key_laws!(newtypes, Id, [Id(0), Id(1), Id(u64::MAX)]);
key_laws!(tuples, Pair, {
    [Pair("a".into(), "b".into()), Pair("a.b".into(), String::new()), Pair(String::new(), "a.b".into())]
});
key_laws!(newtypes_of_structs, OfPair, {
    [OfPair { pair: Pair("a".into(), "b".into()) }, OfPair { pair: Pair("a.b".into(), String::new()) }]
});
key_laws!(units, All, [All]);
key_laws!(empty_braces, Braces, [Braces {}]);
key_laws!(generics, Of<(u8, u8), 2>, {
    [Of { one: (1, 2), all: [(3, 4), (5, 6)] }, Of { one: (1, 2), all: [(3, 45), (0, 6)] }]
});
key_laws!(associated_types, IdOf<Users>, [IdOf(Id(1), 2), IdOf(Id(12), 0)]);
key_laws!(borrowed_fields, Borrowed<'static>, one_way [Borrowed { name: "a", id: 1 }, Borrowed { name: "a.1", id: 1 }]);
key_laws!(seven_fields, Seven, [Seven(1, 2, 3, 4, 5, 6, "7".into()), Seven(1, 2, 3, 4, 5, 67, String::new())]);
key_laws!(
    many_fields,
    Many,
    [many("x", "y", None), many("x.y", "", None), many("", "x.y", Some(3)), many("", "", None)]
);
key_laws!(enums, Query, queries());
key_laws!(odd_names, Odd<u8>, [Odd { __0: 1, __out: 2, __text: "3".into(), r#type: true }]);

#[test]
#[allow(deprecated)]
fn the_text_is_pinned() {
    assert_eq!(page(7, "/home", Some(['d', 'e'])).to_text(), "7.~2fhome.d~.e");
    assert_eq!(Id(7).to_text(), "7");
    assert_eq!(Pair("a".into(), "b.c".into()).to_text(), "a.b~2ec");
    assert_eq!(OfPair { pair: Pair("a".into(), "b".into()) }.to_text(), "a.b");
    assert_eq!(All.to_text(), "");
    assert_eq!(Of { one: 1_u8, all: [2, 3] }.to_text(), "1.2~.3");
    assert_eq!(Seven(1, 2, 3, 4, 5, 6, "x".into()).to_text(), "1.2.3.4.5.6.x");
    assert_eq!(many("x", "y", None).to_text(), "1.2.3.4.5.6.7.8.9.10.11.x~.y~.~n");
    let texts: Vec<_> = queries().iter().map(Query::to_text).collect();
    let pinned = [
        "All",
        "Empty",
        "Nothing",
        "User.0",
        "User.7",
        "Name.",
        "Name.0",
        "Name.~7e",
        "Name.a~2eb",
        "Pair..",
        "Pair..~2e",
        "Pair.~2e.",
        "Pair.~7e.User~2e7",
        "Page.1~.2~.~n.3",
        "Page.1~.~.~n.23",
        "type.true",
        "Gr~c3~b6~c3~9fe.1",
        "Old.1.2",
        "Old.12.0",
    ];
    assert_eq!(texts, pinned);
}

#[test]
fn an_empty_enum_has_no_key() {
    assert_eq!(Never::decode(""), None);
    assert_eq!(Never::decode("Never"), None);
}

/// It is bound to no key but its own.
#[derive(CacheKey)]
enum Chain {
    End,
    Link(u8, &'static Chain),
}

#[test]
fn a_type_may_refer_to_itself() {
    static END: Chain = Chain::End;
    static ONE: Chain = Chain::Link(1, &END);
    assert_eq!(END.to_text(), "End");
    assert_eq!(Chain::Link(2, &ONE).to_text(), "Link.2.Link~.1~.End");
}

/// `use accelerator::CacheKey` brings the trait and the macro, as one name.
mod one_name {
    use accelerator::CacheKey;

    #[derive(Debug, PartialEq, CacheKey)]
    struct Key(u8, u8);

    #[test]
    fn brings_both() {
        assert_eq!(Key(1, 2).to_text(), "1.2");
        assert_eq!(Key::decode("1.2"), Some(Key(1, 2)));
    }
}
