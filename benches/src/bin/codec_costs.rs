//! What a codec and a layer cost: bytes, instructions, allocations; counted rather than timed.
//!
//! `cargo run --release -p accelerator-benches --bin codec_costs` prints the tables of `docs/benchmarks/codecs.md`;
//! instructions need valgrind. With `--row NAME` it runs one row and prints nothing, which is how it runs itself under
//! callgrind. A short look (`ACCELERATOR_BENCH_QUICK`) is at the first row of each table.

// What isn't here can't be measured: a benchmark has nothing better to do than stop.
#![expect(clippy::expect_used, reason = "see above")]

use std::alloc::System;
use std::hint::black_box;

use accelerator::{
    Codec, Compress, EncryptionKeys, Json, Layer, LayerContext, Lz4, MessagePack, Postcard, RawBytes, Zstd,
};
use accelerator_benches::callgrind::{calls, median};
use accelerator_benches::select::is_quick;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Turns in which instructions are counted, and operations of each; the median turn is the row's.
const TURNS: usize = 9;
const TURN: usize = 16;

const CODECS: [&str; 8] = [
    "postcard/user",
    "msgpack/user",
    "json/user",
    "postcard/document",
    "msgpack/document",
    "json/document",
    "bytes/document",
    "bytes/noise",
];

const LAYERS: [&str; 12] = [
    "zstd/postcard of document",
    "lz4/postcard of document",
    "encrypt/postcard of document",
    "zstd/msgpack of document",
    "lz4/msgpack of document",
    "encrypt/msgpack of document",
    "zstd/json of document",
    "lz4/json of document",
    "encrypt/json of document",
    "encrypt/postcard of user",
    "zstd/noise",
    "lz4/noise",
];

/// What services cache most: some fields, some short texts.
#[derive(Debug, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    email: String,
    balance: i64,
    tags: Vec<String>,
    is_admin: bool,
    plan: Plan,
    boss: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Plan {
    Free,
    Paid { since: u32 },
}

/// A page of a shop: 20 kB as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    id: u64,
    title: String,
    items: Vec<Item>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Item {
    sku: String,
    name: String,
    description: String,
    price: i64,
    rating: f32,
    tags: Vec<String>,
    stock: Option<u32>,
}

fn user() -> User {
    User {
        id: 81_234_567,
        name: "Ada Lovelace".into(),
        email: "ada.lovelace@example.org".into(),
        balance: -12_345,
        tags: vec!["early".into(), "newsletter".into()],
        is_admin: false,
        plan: Plan::Paid { since: 1_700_000_000 },
        boss: Some(42),
    }
}

fn document() -> Document {
    const WORDS: &str = "a light and sturdy frame of oiled oak with room for books plants lamps cups and whatever else \
                         the day brings made to last and easy to mend by hand with the tools in every drawer";
    let mut random = fastrand::Rng::with_seed(7);
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut text = |count: usize| {
        let of: Vec<&str> = (0..count).filter_map(|_| random.choice(&words).copied()).collect();
        of.join(" ")
    };
    let mut numbers = fastrand::Rng::with_seed(8);
    let items = (0..72).map(|_| Item {
        sku: format!("{:012x}", numbers.u64(..1 << 48)),
        name: text(3),
        description: text(30),
        price: numbers.i64(100..100_000),
        rating: numbers.f32() * 5.0,
        tags: vec![text(1), text(1)],
        stock: numbers.bool().then(|| numbers.u32(..500)),
    });
    Document { id: 7, items: items.collect(), title: "Shelves and tables of oiled oak".into() }
}

/// What can't be compressed: a picture, say.
fn noise() -> Vec<u8> {
    let mut bytes = vec![0; 20_000];
    fastrand::Rng::with_seed(9).fill(&mut bytes);
    bytes
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [row, name, way] = args.as_slice()
        && row == "--row"
    {
        let row = costs(name).expect("a row of this name");
        let op = if way == "forth" { row.forth } else { row.back };
        for _ in 0..TURNS {
            counted_turn(&|| (0..TURN).for_each(|_| op()));
        }
        return;
    }
    let first = is_quick(|name| std::env::var(name).ok());
    for (what, ways, rows) in
        [("codec and value", ["encode", "decode"], &CODECS[..]), ("layer and bytes", ["apply", "undo"], &LAYERS[..])]
    {
        let [forth, back] = ways;
        println!("| {what} | bytes | {forth}: instructions | allocations | {back}: instructions | allocations |");
        println!("|---|---:|---:|---:|---:|---:|");
        for name in if first { &rows[..1] } else { rows } {
            let row = costs(name).expect("a row of this name");
            println!(
                "| {name} | {} | {} | {} | {} | {} |",
                row.bytes,
                instructions(name, "forth"),
                allocations(&*row.forth),
                instructions(name, "back"),
                allocations(&*row.back)
            );
        }
        println!();
    }
}

fn instructions(row: &str, way: &str) -> String {
    let counted = calls("codec_costs::counted_turn", &["--row", row, way]).and_then(median);
    counted.map_or_else(|| "no valgrind".to_owned(), |count| (count / TURN as u64).to_string())
}

fn allocations(op: &dyn Fn()) -> usize {
    op();
    let region = Region::new(ALLOCATOR);
    op();
    let change = region.change();
    change.allocations + change.reallocations
}

/// The one function of which callgrind counts the calls.
#[inline(never)]
fn counted_turn(turn: &dyn Fn()) {
    turn();
}

struct Row {
    bytes: String,
    forth: Box<dyn Fn()>,
    back: Box<dyn Fn()>,
}

fn costs(name: &str) -> Option<Row> {
    let (what, of) = name.split_once('/')?;
    Some(match (what, of) {
        ("bytes", "document") => codec(RawBytes, encoded(&Json, &document())),
        ("bytes", _) => codec(RawBytes, noise()),
        ("postcard", "user") => codec(Postcard, user()),
        ("postcard", _) => codec(Postcard, document()),
        ("msgpack", "user") => codec(MessagePack, user()),
        ("msgpack", _) => codec(MessagePack, document()),
        ("json", "user") => codec(Json, user()),
        ("json", _) => codec(Json, document()),
        ("zstd", of) => layer(Compress::from(Zstd), &bytes_of(of)?),
        ("lz4", of) => layer(Compress::from(Lz4), &bytes_of(of)?),
        ("encrypt", of) => layer(EncryptionKeys::new(1, &std::array::from_fn(|n| n as u8)), &bytes_of(of)?),
        _ => return None,
    })
}

fn bytes_of(name: &str) -> Option<Vec<u8>> {
    Some(match name {
        "noise" => noise(),
        "postcard of user" => encoded(&Postcard, &user()),
        "postcard of document" => encoded(&Postcard, &document()),
        "msgpack of document" => encoded(&MessagePack, &document()),
        "json of document" => encoded(&Json, &document()),
        _ => return None,
    })
}

fn encoded<V: Serialize + DeserializeOwned>(codec: &impl Codec<V>, value: &V) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes).expect("a value that can be encoded");
    bytes
}

fn codec<V: 'static, C: Codec<V> + Copy>(codec: C, value: V) -> Row {
    // As a cache begins a value: with room for the envelope and a little more.
    let begun = || Vec::with_capacity(128);
    let mut bytes = begun();
    codec.encode(&value, &mut bytes).expect("a value that can be encoded");
    Row {
        bytes: bytes.len().to_string(),
        forth: Box::new(move || {
            let mut out = begun();
            codec.encode(black_box(&value), &mut out).expect("a value that can be encoded");
            drop(black_box(out));
        }),
        back: Box::new(move || drop(black_box(codec.decode(black_box(&bytes)).expect("what was encoded")))),
    }
}

fn layer(layer: impl Layer + Clone, bytes: &[u8]) -> Row {
    const ENVELOPE: [u8; 36] = [7; 36];
    let context = |length| LayerContext::new("document.81234567", &ENVELOPE, length);
    let (plain, other, length) = (bytes.to_vec(), layer.clone(), bytes.len());
    let through = layer.apply(bytes, &context(length)).expect("bytes that go through the layer");
    let stated = match &through {
        Some(through) => format!("{length} → {}", through.len()),
        None => format!("{length}, left as they are"),
    };
    Row {
        bytes: stated,
        forth: Box::new(move || {
            drop(black_box(layer.apply(black_box(&plain), &context(plain.len())).expect("bytes that go through")));
        }),
        back: Box::new(move || {
            if let Some(through) = &through {
                drop(black_box(other.undo(black_box(through), &context(length)).expect("what was applied")));
            }
        }),
    }
}
