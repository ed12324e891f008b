//! What a server says when a connection is new.

use crate::commands::reply;
use crate::error::Fault;

/// The first version whose meta commands are those of today: before, `ms` was written differently, and `HD` was `OK`.
const OLDEST: [u32; 3] = [1, 6, 10];

/// Judges the answers to `version` and `mn`.
pub(crate) fn check(version: &str, noop: &str) -> Result<(), Fault> {
    let Some(version) = version.strip_prefix("VERSION ") else {
        return Err(reply::error(version.as_bytes()));
    };
    if noop == "MN" && numbers(version).is_none_or(|version| version >= OLDEST) {
        return Ok(());
    }
    // What a stranger says isn't repeated without limits.
    let version: String = version.chars().filter(|c| c.is_ascii_graphic()).take(32).collect();
    Err(Fault::unsupported(format!("version {version} is too old: this store needs memcached 1.6.10 or newer")))
}

/// The three numbers of a version; `None` for whoever counts differently.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(version: &str, noop: &str) -> Option<accelerator_core::StoreErrorKind> {
        check(version, noop).err().map(|fault| fault.of("a:1").kind())
    }

    #[test]
    fn servers_with_todays_meta_commands_are_taken() {
        for version in ["VERSION 1.6.10", "VERSION 1.6.18", "VERSION 1.6.39_beta1", "VERSION 2.0.0", "VERSION strange"]
        {
            assert_eq!(kind(version, "MN"), None, "{version}");
        }
    }

    #[test]
    fn others_are_refused() {
        use accelerator_core::StoreErrorKind::{Protocol, Unavailable, Unsupported};
        for version in ["VERSION 1.4.33", "VERSION 1.5.22", "VERSION 1.6.9", "VERSION 1.6.0-rc1"] {
            assert_eq!(kind(version, "MN"), Some(Unsupported), "{version}");
        }
        assert_eq!(kind("VERSION 1.6.18", "ERROR"), Some(Unsupported), "without meta commands");
        assert_eq!(kind("CLIENT_ERROR unauthenticated", "MN"), Some(Unsupported));
        assert_eq!(kind("ERROR Too many open connections", "MN"), Some(Unavailable));
        for version in ["", "-ERR unknown command 'version'", "HTTP/1.1 400 Bad Request", "ERROR"] {
            assert_eq!(kind(version, "MN"), Some(Protocol), "{version}");
        }
    }
}
