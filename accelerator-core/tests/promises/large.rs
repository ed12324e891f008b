//! `max_value_bytes`: how long a value in L2 may be, in both directions.

use accelerator_core::testkit::MemoryL2;
use accelerator_core::{ErrorKind, LevelCache, LevelCacheBuilder, Limits, Lookup, NoL1, RawBytes, StoreErrorKind};

use crate::common::TTL;

const MIB: usize = 1 << 20;
const ENVELOPE: usize = 40;

fn pages(l2: &MemoryL2) -> LevelCacheBuilder<usize, Vec<u8>, NoL1> {
    let load = |bytes: usize| std::future::ready(Ok::<_, std::io::Error>(Some(vec![7_u8; bytes])));
    let builder = LevelCache::<usize, Vec<u8>>::builder().area("page").share_area(true).ttl(TTL);
    builder.l2_with_codec(l2.clone(), RawBytes).loader(load)
}

#[tokio::test(start_paused = true)]
async fn values_go_up_to_the_option_and_are_refused_above_it_in_both_directions() {
    let l2 = MemoryL2::new();
    for (most, option) in [(MIB, None), (4 * MIB, Some(4 * MIB)), (100, Some(100))] {
        let cache = option.map_or(pages(&l2), |most| pages(&l2).max_value_bytes(most)).build().unwrap();
        let (fits, large) = (most - ENVELOPE, most - ENVELOPE + 1);
        for key in [fits, large] {
            assert_eq!(cache.get(&key).await.unwrap().map(|page| page.len()), Some(key), "it reaches its caller");
        }
        assert!(l2.peek(&format!("page.{fits}")).is_some() && l2.peek(&format!("page.{large}")).is_none());
        let stats = cache.stats();
        let errors = Some(stats.l2_errors.of(StoreErrorKind::TooLarge));
        assert_eq!((stats.too_large, stats.undecodable, errors), (1, 0, Some(1)));
        let error = cache.set(&large, vec![7; large]).await.unwrap_err();
        let says = format!("the encoded value has {} bytes; L2 takes {most}", most + 1);
        assert!(error.kind() == ErrorKind::Codec && error.to_string().contains(&says), "{error}");
        assert!(error.to_string().contains("raise max_value_bytes(..)"), "{error}");
        // A node that takes less reads nothing of it.
        let short = pages(&l2).max_value_bytes(most - 1).build().unwrap();
        assert_eq!(short.lookup(&fits).await, Lookup::Miss);
        assert_eq!((short.stats().too_large, short.stats().undecodable), (1, 1));
        assert_eq!(short.get(&fits).await.unwrap().map(|page| page.len()), Some(fits));
        assert!(l2.peek(&format!("page.{fits}")).is_some(), "what it can't store it doesn't replace");
        assert_eq!(cache.lookup(&fits).await, Lookup::Hit(vec![7; fits]));
    }
}

#[test]
fn the_store_bounds_it() {
    let l2 = MemoryL2::new().with_limits(Limits::default().max_value_bytes(1000));
    pages(&l2).build().expect("as much as the store takes");
    pages(&l2).max_value_bytes(1000).build().expect("as much as the store takes");
    for given in [1001, 0, ENVELOPE - 1] {
        let text = pages(&l2).max_value_bytes(given).build().expect_err("refused").to_string();
        let says = format!("max_value_bytes = {given}: takes 40 to 1000 bytes, which is what the l2 takes");
        assert!(text.starts_with(&says), "{text}");
    }
}
