//! What others have written into our keys.

use accelerator_core::testkit::server::{RedisServer, redis_url};
use accelerator_core::{Bytes, Filled, HoldOwner, L2Read, L2Store, LeaseToken, StoreErrorKind};

use crate::support::{LONG, expecting, key, lease, raw, shared, store, value};

#[tokio::test]
async fn a_foreign_string_can_be_replaced_exactly_as_seen() {
    let Some(store) = shared().await else { return };
    let foreign = ["", "a", "nine byte", "ten bytes.", "more than ten bytes", "{\"json\":true}"];
    for text in foreign {
        let key = key();
        let bytes = Bytes::from(text);
        store.set(&key, bytes.clone(), LONG).await.expect("set");
        let L2Read::Hit { bytes: read, seen: Some(seen) } = store.get_or_lease(&key, LONG).await.expect("read") else {
            panic!("{text:?} is no hit");
        };
        assert_eq!(read, bytes);
        // Changed meanwhile, by a longer string that begins the same (where all of it was seen).
        if text.len() < 10 {
            store.set(&key, format!("{text}+").into(), LONG).await.expect("set");
            assert_eq!(store.fill(&key, &seen, value("v"), LONG).await.expect("fill"), Filled::Lost, "{text:?}");
            store.set(&key, bytes.clone(), LONG).await.expect("set");
        }
        // Gone meanwhile.
        store.del(&key).await.expect("del");
        assert_eq!(store.fill(&key, &seen, value("v"), LONG).await.expect("fill"), Filled::Lost, "{text:?}");
        store.set(&key, bytes, LONG).await.expect("set");
        let good = value("good");
        assert_eq!(store.fill(&key, &seen, good.clone(), LONG).await.expect("fill"), Filled::Stored, "{text:?}");
        assert_eq!(store.get(&key).await.expect("get"), Some(good));
    }
}

#[tokio::test]
async fn a_plain_read_sees_values_only() {
    let Some(store) = shared().await else { return };
    let keys = [key(), key(), key()];
    lease(&store, &keys[0]).await;
    store.hold(&keys[1], HoldOwner::random(), LONG).await.expect("hold");
    for key in &keys {
        assert_eq!(store.get(key).await.expect("get"), None);
    }
    let answers = store.mget(&keys.each_ref().map(String::as_str)).await;
    assert!(answers.into_iter().all(|answer| answer.expect("mget").is_none()));
}

#[tokio::test]
async fn a_key_of_another_type_is_rejected() {
    let Some(server) = RedisServer::start() else { return };
    let store = store(server.url()).await;
    assert_eq!(raw(&server.addr(), "RPUSH list a b"), ":2");
    let token = lease(&store, "other").await;
    let errors = [
        store.get("list").await.err(),
        store.get_or_lease("list", LONG).await.err(),
        store.mget_or_lease(&["list"], LONG).await.remove(0).err(),
        store.fill("list", &token, value("v"), LONG).await.err(),
        store.mfill(vec![("list", token, value("v"), LONG)]).await.remove(0).err(),
        store.release("list", token).await.err(),
    ];
    for error in errors {
        let error = error.expect("a list is no value");
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
        assert!(error.to_string().contains("WRONGTYPE"), "{error}");
    }
    // The others of a batch are answered, and to `MGET` a list is nothing.
    let mixed = store.mget_or_lease(&["list", "free"], LONG).await;
    assert!(mixed[0].is_err() && matches!(mixed[1], Ok(L2Read::Leased { .. })), "{mixed:?}");
    let store = expecting(store).await;
    let mixed = store.mget_or_lease(&["list", "free", "new", "new"], LONG).await;
    assert!(mixed[0].as_ref().is_err_and(|error| error.to_string().contains("WRONGTYPE")), "{mixed:?}");
    assert!(matches!(mixed[1], Ok(L2Read::Busy)), "{mixed:?}");
    assert!(matches!(mixed[2], Ok(L2Read::Leased { .. })), "{mixed:?}");
    assert!(matches!(mixed[3], Ok(L2Read::Busy)), "{mixed:?}");
    // A write or a delete does away with it.
    store.set("list", value("v"), LONG).await.expect("set");
}

#[tokio::test]
async fn a_token_of_nobody_fills_nothing() {
    let Some(store) = shared().await else { return };
    let key = key();
    let zeros = LeaseToken::new([0; 32]);
    for stored in [None, Some(Bytes::new()), Some(Bytes::from_static(&[0; 32]))] {
        if let Some(bytes) = stored {
            store.set(&key, bytes, LONG).await.expect("set");
        }
        assert_eq!(store.fill(&key, &zeros, value("v"), LONG).await.expect("fill"), Filled::Lost);
        assert_eq!(store.mfill(vec![(&key, zeros, value("v"), LONG)]).await.remove(0).expect("mfill"), Filled::Lost);
        store.release(&key, zeros).await.expect("release");
    }
}

#[tokio::test]
async fn a_foreign_string_is_removed_exactly_as_seen() {
    let Some(store) = shared().await else { return };
    for text in ["", "a", "nine byte", "more than ten bytes"] {
        let (key, bytes) = (key(), Bytes::from(text));
        store.set(&key, bytes.clone(), LONG).await.expect("set");
        let L2Read::Hit { seen: Some(seen), .. } = store.get_or_lease(&key, LONG).await.expect("read") else {
            panic!("{text:?} is no hit");
        };
        let other = Bytes::from(format!("{}+{text}", &text[..text.len().min(5)]));
        store.set(&key, other.clone(), LONG).await.expect("set");
        store.release(&key, seen).await.expect("release");
        assert_eq!(store.get(&key).await.expect("get"), Some(other), "{text:?}");
        store.set(&key, bytes, LONG).await.expect("set");
        store.release(&key, seen).await.expect("release");
        assert_eq!(store.get(&key).await.expect("get"), None, "{text:?}");
        store.release(&key, seen).await.expect("release of what is gone");
    }
}

#[tokio::test]
async fn sizes_beyond_the_limits_are_not_sent() {
    let Some(url) = redis_url() else { return };
    let store = store(url).await;
    let long = "k".repeat(store.limits().max_key_bytes + 1);
    let kinds = [
        store.get(&long).await.err().map(|error| error.kind()),
        store.set(&long, value("v"), LONG).await.err().map(|error| error.kind()),
        store.get_or_lease(&long, LONG).await.err().map(|error| error.kind()),
        store.mget(&[&long]).await.remove(0).err().map(|error| error.kind()),
    ];
    assert_eq!(kinds, [Some(StoreErrorKind::TooLarge); 4]);
    let (there, stored) = (key(), value("v"));
    store.set(&there, stored.clone(), LONG).await.expect("set");
    let mixed = store.mget(&[&there, &long, &there]).await;
    assert_eq!(mixed[0].as_ref().expect("mget"), &Some(stored.clone()));
    assert!(mixed[1].is_err());
    assert_eq!(mixed[2].as_ref().expect("mget"), &Some(stored));
}
