//! Commands as bytes: one buffer each, without a string per key.

use std::io::Write;
use std::time::Duration;

use accelerator_core::head::HEAD_LEN;
use redis::{Cmd, RedisWrite};

use crate::commands::script::Script;

/// The longest TTL that is sent; nobody caches for longer, and servers refuse what overflows their clock.
const LONGEST_MS: u64 = 365 * 24 * 3600 * 1000;
/// Room for the words of a command besides its keys and values.
const WORDS: usize = 32;

/// An operation, as errors name it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) name: &'static str,
    /// What a user of the server must be allowed to do.
    pub(crate) rights: &'static str,
}

pub(crate) const GET: Op = Op { name: "get", rights: "+get" };
pub(crate) const SET: Op = Op { name: "set", rights: "+set" };
pub(crate) const DEL: Op = Op { name: "del", rights: "+unlink" };
pub(crate) const MGET: Op = Op { name: "mget", rights: "+mget" };
pub(crate) const LEASE: Op = Op { name: "get_or_lease", rights: "+set +get (before Redis 7.0 +eval +evalsha too)" };
pub(crate) const FILL: Op = Op { name: "fill", rights: "+evalsha +eval +getrange +get +set" };
pub(crate) const RENEW: Op = Op { name: "renew", rights: "+evalsha +eval +getrange +set" };
pub(crate) const RELEASE: Op = Op { name: "release", rights: "+evalsha +eval +getrange +unlink" };
pub(crate) const HOLD: Op = Op { name: "hold", rights: HOLDING };
pub(crate) const UNHOLD: Op = Op { name: "unhold", rights: HOLDING };
pub(crate) const PUBLISH: Op = Op { name: "publish", rights: "+publish, and &.. for channels with the prefix" };
pub(crate) const SUBSCRIBE: Op =
    Op { name: "subscribe", rights: "+subscribe +unsubscribe, and &.. for channels with the prefix" };
/// What holding a key takes.
const HOLDING: &str = "+evalsha +eval +getrange +get +set +unlink +time";

/// Writes commands for the keys of one store.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    pub(crate) prefix: String,
}

impl Commands {
    pub(crate) fn get(&self, key: &str) -> Cmd {
        let mut cmd = self.start("GET", 2, key.len());
        self.key(&mut cmd, key);
        cmd
    }

    pub(crate) fn mget(&self, keys: &[&str]) -> Cmd {
        self.many("MGET", keys)
    }

    pub(crate) fn unlink(&self, key: &str) -> Cmd {
        self.many("UNLINK", &[key])
    }

    pub(crate) fn set(&self, key: &str, value: &[u8], ttl: Duration) -> Cmd {
        let mut cmd = self.start("SET", 5, key.len() + value.len());
        self.key(&mut cmd, key);
        cmd.arg(value).arg("PX").arg(millis(ttl));
        cmd
    }

    /// Reads, or leaves the lease: the answer is what was there.
    pub(crate) fn read_or_lease(&self, key: &str, lease: &[u8; HEAD_LEN], ttl: Duration) -> Cmd {
        let mut cmd = self.start("SET", 7, key.len() + HEAD_LEN);
        self.key(&mut cmd, key);
        cmd.arg(&lease[..]).arg("NX").arg("GET").arg("PX").arg(millis(ttl));
        cmd
    }

    /// A script, in full or by its hash.
    pub(crate) fn script(&self, script: &Script, in_full: bool, call: &ScriptCall<'_>) -> Cmd {
        let (word, text) = if in_full { ("EVAL", script.code) } else { ("EVALSHA", script.hash()) };
        let length = text.len() + call.key.len() + call.args.iter().map(|arg| arg.len()).sum::<usize>();
        let mut cmd = self.start(word, 5 + call.args.len(), length);
        cmd.arg(text).arg(1);
        self.key(&mut cmd, call.key);
        for arg in call.args {
            cmd.arg(*arg);
        }
        if let Some(ttl) = call.ttl {
            cmd.arg(millis(ttl));
        }
        cmd
    }

    pub(crate) fn publish(&self, channel: &str, message: &[u8]) -> Cmd {
        let mut cmd = self.start("PUBLISH", 3, channel.len() + message.len());
        cmd.arg(channel).arg(message);
        cmd
    }

    fn many(&self, word: &str, keys: &[&str]) -> Cmd {
        let length = keys.iter().map(|key| key.len() + self.prefix.len()).sum();
        let mut cmd = self.start(word, 1 + keys.len(), length);
        for key in keys {
            self.key(&mut cmd, key);
        }
        cmd
    }

    fn start(&self, word: &str, args: usize, length: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(args, WORDS + self.prefix.len() + length);
        cmd.arg(word);
        cmd
    }

    fn key(&self, cmd: &mut Cmd, key: &str) {
        if self.prefix.is_empty() {
            cmd.arg(key);
            return;
        }
        let mut argument = cmd.writer_for_next_arg();
        // The command is memory: writing to it can't fail.
        let _ = argument.write_all(self.prefix.as_bytes());
        let _ = argument.write_all(key.as_bytes());
    }
}

/// One call of a script: its key, its arguments, and a TTL as the last of them where there is one.
#[derive(Clone, Copy)]
pub(crate) struct ScriptCall<'a> {
    pub(crate) key: &'a str,
    pub(crate) args: &'a [&'a [u8]],
    pub(crate) ttl: Option<Duration>,
}

/// A TTL in milliseconds, rounded up: servers take no zero.
fn millis(ttl: Duration) -> u64 {
    let ms = ttl.as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).unwrap_or(LONGEST_MS).clamp(1, LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cmd: &Cmd) -> String {
        String::from_utf8_lossy(&cmd.get_packed_command()).replace("\r\n", " ")
    }

    #[test]
    fn keys_carry_the_prefix() {
        let commands = Commands { prefix: "app:".into() };
        assert_eq!(text(&commands.get("k")), "*2 $3 GET $5 app:k ");
        assert_eq!(text(&commands.mget(&["a", "b"])), "*3 $4 MGET $5 app:a $5 app:b ");
        let set = commands.set("k", b"v", Duration::from_secs(1));
        assert_eq!(text(&set), "*5 $3 SET $5 app:k $1 v $2 PX $4 1000 ");
    }

    #[test]
    fn ttls_are_rounded_up_and_bounded() {
        let ms = [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(1500), Duration::MAX].map(millis);
        assert_eq!(ms, [1, 1, 2, LONGEST_MS]);
    }
}
