//! Batches, where the laws don't ask: duplicates of leases, chunks, large values.

use std::time::Duration;

use accelerator_core::{Bytes, Filled, L2Read, L2Store, LeaseToken};

use crate::support::{LONG, key, keys, refs, shared, value};

#[tokio::test]
async fn a_key_asked_for_twice_gets_one_lease() {
    let Some(store) = shared().await else { return };
    let key = key();
    let reads = store.mget_or_lease(&[&key, &key], LONG).await;
    assert!(matches!(reads[0], Ok(L2Read::Leased { .. })), "{reads:?}");
    assert!(matches!(reads[1], Ok(L2Read::Busy)), "{reads:?}");
}

#[tokio::test]
async fn chunks_are_put_together_in_order() {
    let Some(store) = shared().await else { return };
    let keys = keys(1_300);
    let reads = store.mget_or_lease(&refs(&keys), LONG).await;
    let mut items: Vec<(&str, LeaseToken, Bytes, Duration)> = Vec::new();
    for (n, (key, read)) in keys.iter().zip(reads).enumerate() {
        let Ok(L2Read::Leased { token, .. }) = read else { panic!("{read:?}") };
        // Every third is given another's token.
        if n % 3 == 2 {
            let (_, other, ..) = items[n - 1];
            items.push((&**key, other, value(key), LONG));
        } else {
            items.push((&**key, token, value(key), LONG));
        }
    }
    let filled = store.mfill(items).await;
    for (n, filled) in filled.into_iter().enumerate() {
        let expected = if n % 3 == 2 { Filled::Lost } else { Filled::Stored };
        assert_eq!(filled.expect("mfill"), expected, "item {n}");
    }
    let found = store.mget(&refs(&keys)).await;
    for (n, (key, found)) in keys.iter().zip(found).enumerate() {
        match found.expect("mget") {
            Some(found) => assert_eq!(&found[10..], key.as_bytes()),
            None => assert_eq!(n % 3, 2, "item {n}"),
        }
    }
}

#[tokio::test]
async fn large_values_make_smaller_chunks() {
    let Some(store) = shared().await else { return };
    let keys = keys(11);
    let large = |n: usize| Bytes::from(vec![n as u8; 1 << 20]);
    let items = keys.iter().enumerate().map(|(n, key)| (&**key, large(n), LONG)).collect();
    store.mset(items).await.into_iter().for_each(|stored| stored.expect("mset"));
    let found = store.mget(&refs(&keys)).await;
    for (n, found) in found.into_iter().enumerate() {
        assert!(found.expect("mget") == Some(large(n)), "value {n}");
    }
    store.mdel(&refs(&keys)).await.into_iter().for_each(|deleted| deleted.expect("mdel"));
}
