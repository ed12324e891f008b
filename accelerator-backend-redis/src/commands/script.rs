//! The scripts. Each touches one key, which it declares, so that they run in clusters and on servers that insist on it.

use std::sync::LazyLock;

use redis::Script as Source;

/// A script that the server knows by its hash, or is told in full.
pub(crate) struct Script {
    pub(crate) code: &'static str,
    /// Which of all it is: less than eight.
    pub(crate) number: u8,
    source: LazyLock<Source>,
}

impl Script {
    const fn new(number: u8, code: &'static str, source: fn() -> Source) -> Self {
        Self { code, number, source: LazyLock::new(source) }
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
    Script::new(0, CODE, || Source::new(CODE))
};

/// Begins the time of a lease anew that is still the one given: `token ms`. One, if it is. A lease is its token and nothing
/// else, so it is written again: that takes no right that a fill doesn't take.
pub(crate) static RENEW: Script = {
    const CODE: &str = "if redis.call('GETRANGE',KEYS[1],0,9)~=ARGV[1] then return 0 end \
        redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) return 1";
    Script::new(1, CODE, || Source::new(CODE))
};

/// Deletes a lease, or the value seen, that is still the one given: `token`.
pub(crate) static RELEASE: Script = {
    const CODE: &str = "if redis.call('GETRANGE',KEYS[1],0,9)==ARGV[1] then redis.call('UNLINK',KEYS[1]) end return 1";
    Script::new(2, CODE, || Source::new(CODE))
};

/// Whether the key is held.
macro_rules! is_held {
    () => {
        "redis.pcall('GETRANGE',KEYS[1],0,1)=='\\199\\19'"
    };
}

/// `now`, in milliseconds; `kept`, `count` and `last`: the holds of other owners than `own` that last, how many, and the
/// last end of them. (Servers before 5.0 want to hear that a script asks for the time and writes then.)
macro_rules! others {
    ($own:literal) => {
        concat!(
            "if redis.replicate_commands then redis.replicate_commands() end \
            local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000) \
            local v,kept,count,last='','',0,0 \
            if ",
            is_held!(),
            " then v=redis.call('GET',KEYS[1]) end \
            for i=11,#v-23,24 do local e=tonumber(string.sub(v,i+8,i+23)) or 0 \
            if e>now and string.sub(v,i,i+7)~=",
            $own,
            " then kept=kept..string.sub(v,i,i+23) count=count+1 if e>last then last=e end end end "
        )
    };
}

/// `SET key value PX ms`, unless the key is held: `value ms`. Zero, if it is.
pub(crate) static SET: Script = {
    const CODE: &str =
        concat!("if ", is_held!(), " then return 0 end return redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2])");
    Script::new(3, CODE, || Source::new(CODE))
};

/// `UNLINK key`, unless the key is held.
pub(crate) static DELETE: Script = {
    const CODE: &str = concat!("if ", is_held!(), " then return 0 end return redis.call('UNLINK',KEYS[1])");
    Script::new(4, CODE, || Source::new(CODE))
};

/// Adds a hold, in place of whatever else is there: `head owner ms`. Zero, if there are 256 of others.
pub(crate) static HOLD: Script = {
    const CODE: &str = concat!(
        others!("ARGV[2]"),
        "if count>=256 then return 0 end \
        local own=now+ARGV[3] if own>last then last=own end \
        redis.call('SET',KEYS[1],ARGV[1]..kept..ARGV[2]..string.format('%016.0f',own),\
        'PX',string.format('%.0f',last-now)) return 1"
    );
    Script::new(5, CODE, || Source::new(CODE))
};

/// Ends the hold of one owner, and deletes what is there else: `owner`.
pub(crate) static UNHOLD: Script = {
    const CODE: &str = concat!(
        others!("ARGV[1]"),
        "if count==0 then return redis.call('UNLINK',KEYS[1]) end \
        redis.call('SET',KEYS[1],string.sub(v,1,10)..kept,'PX',string.format('%.0f',last-now)) return 1"
    );
    Script::new(6, CODE, || Source::new(CODE))
};

/// `SET key lease NX GET PX ms` for servers older than 7.0, which don't take `NX` and `GET` together: `lease ms`.
pub(crate) static READ_OR_LEASE: Script = {
    const CODE: &str = "local v=redis.call('GET',KEYS[1]) if v then return v end \
        redis.call('SET',KEYS[1],ARGV[1],'PX',ARGV[2]) return false";
    Script::new(7, CODE, || Source::new(CODE))
};
