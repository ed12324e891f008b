//! Which server has a key: rendezvous hashing with a hash that is the same in every build of every node.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The place of the server that has `key`. `hashes` are those of the servers' names, in the order of the names: the
/// first of equals wins.
///
/// A server that comes or goes moves the keys that it gets or had, and no others.
pub(crate) fn place(hashes: impl Iterator<Item = u64>, key: &str) -> usize {
    let mut best = (0, 0);
    for (place, hash) in hashes.enumerate() {
        let score = xxh3_64_with_seed(key.as_bytes(), hash);
        if place == 0 || score > best.1 {
            best = (place, score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    fn hashes(names: &[&str]) -> Vec<u64> {
        names.iter().map(|name| xxh3_64(name.as_bytes())).collect()
    }

    const THREE: [&str; 3] = ["cache-a:11211", "cache-b:11211", "cache-c:11211"];

    /// Two builds that disagree here disagree about where keys live: this must never change.
    #[test]
    fn keys_are_where_they_always_were() {
        let hashes = hashes(&THREE);
        let places: Vec<usize> = (0..24).map(|n| place(hashes.iter().copied(), &format!("user.{n}"))).collect();
        assert_eq!(places, [0, 0, 2, 0, 2, 0, 0, 0, 2, 2, 0, 1, 1, 2, 2, 0, 2, 2, 0, 1, 0, 2, 1, 1]);
        // The hash is XXH3 as everybody computes it.
        assert_eq!([xxh3_64(b""), xxh3_64(b"abc")], [0x2D06_8005_38D3_94C2, 0x78AF_5F94_892F_3950]);
    }

    #[test]
    fn keys_spread_and_stay_when_another_server_goes() {
        let (three, two) = (hashes(&THREE), hashes(&THREE[..2]));
        let mut counts = [0; 3];
        for n in 0..9000 {
            let key = format!("area.{n}");
            let before = place(three.iter().copied(), &key);
            let after = place(two.iter().copied(), &key);
            assert!(before == 2 || before == after, "{key} moved though its server stayed");
            counts[before] += 1;
        }
        assert!(counts.iter().all(|count| (2700..3300).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_server_has_all_keys() {
        assert_eq!(place([1].into_iter(), "k"), 0);
    }
}
