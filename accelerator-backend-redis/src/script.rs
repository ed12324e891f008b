//! The scripts. Each touches one key, which it declares, so that they run in clusters and on servers that insist on it.

use std::sync::LazyLock;

use redis::Script as Source;

/// A script that the server knows by its hash, or is told in full.
pub(crate) struct Script {
    pub(crate) code: &'static str,
    source: LazyLock<Source>,
}

impl Script {
    const fn new(code: &'static str, source: fn() -> Source) -> Self {
        Self { code, source: LazyLock::new(source) }
    }

    pub(crate) fn hash(&self) -> &str {
        self.source.get_hash()
    }
}

/// Stores a value where the string still begins with what was seen: `token value ttl_ms`. One, if it did.
///
/// A string of less than ten bytes is compared whole. The empty one looks like none to `GETRANGE`.
pub(crate) static FILL: Script = {
    const CODE: &str = "if redis.call('GETRANGE',KEYS[1],0,9)~=ARGV[1] \
        or (ARGV[1]=='' and redis.call('GET',KEYS[1])~='') then return 0 end \
        redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) return 1";
    Script::new(CODE, || Source::new(CODE))
};

/// Begins the time of a lease anew that is still the one given: `token ms`. One, if it is. A lease is its token and nothing
/// else, so it is written again: that takes no right that a fill doesn't take.
pub(crate) static RENEW: Script = {
    const CODE: &str = "if redis.call('GETRANGE',KEYS[1],0,9)~=ARGV[1] then return 0 end \
        redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) return 1";
    Script::new(CODE, || Source::new(CODE))
};

/// Deletes a lease, or the value seen, that is still the one given: `token`.
pub(crate) static RELEASE: Script = {
    const CODE: &str = "if redis.call('GETRANGE',KEYS[1],0,9)==ARGV[1] then redis.call('UNLINK',KEYS[1]) end return 1";
    Script::new(CODE, || Source::new(CODE))
};

/// `SET key lease NX GET PX ms` for servers older than 7.0, which don't take `NX` and `GET` together: `lease ms`.
pub(crate) static READ_OR_LEASE: Script = {
    const CODE: &str = "local v=redis.call('GET',KEYS[1]) if v then return v end \
        redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) return false";
    Script::new(CODE, || Source::new(CODE))
};
