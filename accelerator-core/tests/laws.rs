//! The library's own stores, codec and keys keep the laws; and each law catches what it is there for.

#[path = "laws/buses.rs"]
mod buses;
#[path = "laws/catch_age.rs"]
mod catch_age;
#[path = "laws/catch_bus.rs"]
mod catch_bus;
#[path = "laws/catch_codec_key.rs"]
mod catch_codec_key;
#[path = "laws/catch_hold.rs"]
mod catch_hold;
#[path = "laws/catch_l1.rs"]
mod catch_l1;
#[path = "laws/catch_l2.rs"]
mod catch_l2;
#[path = "laws/catch_layer.rs"]
mod catch_layer;
#[path = "laws/catch_lease.rs"]
mod catch_lease;
#[path = "laws/leasing.rs"]
mod leasing;
#[path = "laws/tools.rs"]
mod tools;

use std::collections::BTreeMap;
use std::sync::Arc;

use accelerator_core::testkit::{ManualClock, MemoryBus, MemoryL1, MemoryL2};
use accelerator_core::{
    BusLimits, Bytes, Compress, EncryptionKeys, GapCause, Json, Limits, Lz4, MessagePack, Postcard, RawBytes, Zstd,
};
use serde::{Deserialize, Serialize};

use leasing::LeasingL2;

accelerator_core::l1_laws!(memory_l1, MemoryL1::new());
accelerator_core::l1_laws!(memory_l1_bounded, MemoryL1::with_capacity(1000));

accelerator_core::l2_laws!(memory_l2, MemoryL2::new());
accelerator_core::l2_laws!(memory_l2_leasing, MemoryL2::new().with_leases());
accelerator_core::l2_laws!(memory_l2_in_seconds, MemoryL2::new().with_leases().counting_seconds());
accelerator_core::l2_laws!(leasing_l2, LeasingL2::new(ManualClock::new()), advance = |l2, by| l2.clock.tick(by));
// A store whose server isn't there: its laws are skipped.
accelerator_core::l2_laws!(absent_l2, {
    let Some(store) = None::<MemoryL2> else { return };
    store
});
// The limits of memcached: the laws must not ask for more.
accelerator_core::l2_laws!(memory_l2_narrow, {
    let limits = Limits::default().max_key_bytes(250).max_value_bytes(1000);
    let limits = limits.ttl_granularity(std::time::Duration::from_millis(100)).leases(true);
    MemoryL2::new().with_limits(limits.shortest_lease(std::time::Duration::from_millis(200)))
});

accelerator_core::bus_laws!(memory_bus, MemoryBus::new(), interrupt = |bus| bus.interrupt(GapCause::NoAnswer));
// The least that a bus may be able to carry.
accelerator_core::bus_laws!(memory_bus_narrow, {
    MemoryBus::new().with_limits(BusLimits::default().max_message_bytes(1024).max_waiting(64))
});
// A bus whose server isn't there: its laws are skipped.
accelerator_core::bus_laws!(absent_bus, {
    let Some(bus) = None::<MemoryBus> else { return };
    bus
});

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Named { name: String, sizes: BTreeMap<u32, Vec<i64>> },
    Shared(Arc<str>, Option<Box<Shape>>),
}

fn shapes() -> Vec<Shape> {
    let sizes = BTreeMap::from([(0, vec![]), (u32::MAX, vec![i64::MIN, -1, 0, 1, i64::MAX])]);
    let named = Shape::Named { name: "näme".repeat(100), sizes };
    vec![Shape::Nothing, named.clone(), Shape::Shared("".into(), None), Shape::Shared("s".into(), Some(named.into()))]
}

accelerator_core::codec_laws!(postcard_u64, u64, Postcard, [0, 1, 127, 128, 1 << 32, u64::MAX]);
accelerator_core::codec_laws!(postcard_string, String, Postcard, ["", "a", "ünï\0"].map(str::to_owned));
accelerator_core::codec_laws!(
    postcard_tuple,
    (bool, char, f64),
    Postcard,
    [(true, 'ß', -0.5), (false, '\0', f64::MAX)]
);
accelerator_core::codec_laws!(postcard_bytes, Vec<u8>, Postcard, [vec![], vec![7; 3_000]]);
accelerator_core::codec_laws!(postcard_unit, (), Postcard, [()]);
accelerator_core::codec_laws!(postcard_shapes, Shape, Postcard, shapes());
accelerator_core::codec_laws!(msgpack_u64, u64, MessagePack, [0, 1, 127, 128, 1 << 32, u64::MAX]);
accelerator_core::codec_laws!(msgpack_string, String, MessagePack, ["", "a", "ünï\0"].map(str::to_owned));
accelerator_core::codec_laws!(
    msgpack_tuple,
    (bool, char, f64),
    MessagePack,
    [(true, 'ß', -0.5), (false, '\0', f64::MAX)]
);
accelerator_core::codec_laws!(msgpack_shapes, Shape, MessagePack, shapes());
accelerator_core::codec_laws!(json_u64, u64, Json, [0, 1, 127, 128, 1 << 32, u64::MAX]);
accelerator_core::codec_laws!(json_string, String, Json, ["", "a", "ünï\0"].map(str::to_owned));
accelerator_core::codec_laws!(json_tuple, (bool, char, f64), Json, [(true, 'ß', -0.5), (false, '\0', f64::MAX)]);
accelerator_core::codec_laws!(json_shapes, Shape, Json, shapes());
accelerator_core::codec_laws!(raw_vec, Vec<u8>, RawBytes, [vec![], vec![7; 3_000]]);
accelerator_core::codec_laws!(raw_bytes, Bytes, RawBytes, [Bytes::new(), Bytes::from_static(b"\xFF\0")]);
accelerator_core::codec_laws!(raw_text, String, RawBytes, ["", "a", "ünï\0"].map(str::to_owned));

fn texts() -> [Vec<u8>; 4] {
    let words = b"some words, ".repeat(500);
    [words[..40].to_vec(), words[..1_024].to_vec(), [&words[..], &[0; 3_000], b"end"].concat(), vec![7; 20_000]]
}

fn keys() -> EncryptionKeys {
    EncryptionKeys::new(1, &std::array::from_fn(|n| n as u8))
}

accelerator_core::layer_laws!(zstd_layer, Compress::from(Zstd), texts());
accelerator_core::layer_laws!(zstd_layer_of_all, Zstd.from_bytes(0), texts());
accelerator_core::layer_laws!(lz4_layer, Compress::from(Lz4), texts());
accelerator_core::layer_laws!(lz4_layer_of_all, Lz4.from_bytes(0), texts());
accelerator_core::layer_laws!(encryption, keys(), authentic texts());

accelerator_core::key_laws!(numbers, u64, [0, 1, 10, u64::MAX]);
accelerator_core::key_laws!(
    strings,
    String,
    ["", "a", "A", "a.b", "a:b", "a~b", "ü", " ", "\0", "~", "~~", "."].map(str::to_owned)
);
accelerator_core::key_laws!(texts_that_are_not_read_back, &'static str, one_way ["", "a", "a.b", "ü"]);
accelerator_core::key_laws!(borrowed_keys_are_not_read_back, &'static (u8, u8), one_way [&(1, 2), &(1, 3)]);
accelerator_core::key_laws!(booleans, bool, [true, false]);
accelerator_core::key_laws!(signed, i64, [0, -1, 1, i64::MIN, i64::MAX]);
accelerator_core::key_laws!(characters, char, ['a', '.', '~', 'ß', '\0', char::MAX]);
accelerator_core::key_laws!(options, Option<Option<String>>, {
    let texts = ["", "n", "~n", "nn"].map(|text| Some(Some(text.to_owned())));
    [vec![None, Some(None)], texts.to_vec()].concat()
});
accelerator_core::key_laws!(pairs, (String, String), {
    [("", ""), ("a", "b"), ("a.b", ""), ("", "a.b"), ("a.", "b"), ("a", ".b"), ("~", "."), (".", "~")]
        .map(|(one, other)| (one.to_owned(), other.to_owned()))
});
accelerator_core::key_laws!(nested, ((u8, Option<u8>), [u8; 2]), {
    [((1, None), [2, 3]), ((1, Some(2)), [3, 4]), ((12, None), [3, 4]), ((1, Some(23)), [4, 5])]
});

/// A law that no list names would be a law that nobody runs.
#[test]
fn every_law_is_on_its_list() {
    let l1 = include_str!("../src/testkit/laws/l1.rs");
    let l2 = include_str!("../src/testkit/laws/l2.rs");
    let bus = include_str!("../src/testkit/laws/bus.rs");
    let codec = include_str!("../src/testkit/laws/codec.rs");
    let key = include_str!("../src/testkit/laws/key.rs");
    let layer = include_str!("../src/testkit/laws/layer.rs");
    for (list, laws) in [
        (l1, l1),
        (l1, include_str!("../src/testkit/laws/l1_removal.rs")),
        (l2, l2),
        (l2, include_str!("../src/testkit/laws/l2_age.rs")),
        (l2, include_str!("../src/testkit/laws/l2_batch.rs")),
        (l2, include_str!("../src/testkit/laws/l2_hold.rs")),
        (l2, include_str!("../src/testkit/laws/l2_lease.rs")),
        (l2, include_str!("../src/testkit/laws/l2_lease_batch.rs")),
        (l2, include_str!("../src/testkit/laws/l2_lease_time.rs")),
        (l2, include_str!("../src/testkit/laws/l2_limits.rs")),
        (l2, include_str!("../src/testkit/laws/l2_race.rs")),
        (l2, include_str!("../src/testkit/laws/l2_time.rs")),
        (l2, include_str!("../src/testkit/laws/l2_token.rs")),
        (bus, bus),
        (codec, codec),
        (key, key),
        (layer, layer),
    ] {
        for line in laws.lines() {
            let law = line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("pub async fn "));
            let Some((name, _)) = law.and_then(|law| law.split_once('<')) else {
                continue;
            };
            let listed = list.contains(&format!("            {name},\n"));
            assert!(listed || ["failures", "erase"].contains(&name), "{name} is on no list");
        }
    }
}

/// A law that no broken store is caught by would be a law that asks nothing.
#[test]
fn every_law_of_an_l2_catches_a_defect() {
    let list = include_str!("../src/testkit/laws/l2.rs");
    let catches = [
        include_str!("laws/catch_age.rs"),
        include_str!("laws/catch_hold.rs"),
        include_str!("laws/catch_l2.rs"),
        include_str!("laws/catch_lease.rs"),
    ]
    .concat();
    let laws = list.lines().filter_map(|line| line.strip_prefix("            ")?.strip_suffix(','));
    let laws: Vec<&str> = laws.filter(|law| law.chars().all(|c| c == '_' || c.is_ascii_lowercase())).collect();
    assert!(laws.len() > 50, "only {} laws were found", laws.len());
    for law in laws {
        assert!(catches.contains(&format!("\"{law}\"")), "nothing is caught by {law}");
    }
}

/// The same of a bus.
#[test]
fn every_law_of_a_bus_catches_a_defect() {
    let list = include_str!("../src/testkit/laws/bus.rs");
    let catches = include_str!("laws/catch_bus.rs");
    let laws = list.lines().filter_map(|line| line.strip_prefix("            ")?.strip_suffix(','));
    let laws: Vec<&str> = laws.filter(|law| law.chars().all(|c| c == '_' || c.is_ascii_lowercase())).collect();
    assert!(laws.len() > 10, "only {} laws were found", laws.len());
    for law in laws {
        assert!(catches.contains(&format!("\"{law}\"")), "nothing is caught by {law}");
    }
}
