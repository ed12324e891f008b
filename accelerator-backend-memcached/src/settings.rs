//! What the builder was told, checked.

use std::fmt::Display;
use std::time::Duration;

use accelerator_core::{CacheError, CacheResult, ErrorKind};

use crate::commands::command::LONGEST_KEY;

/// The engine wants room for this much of a key behind the prefix.
const SHORTEST_KEY: usize = 64;
/// The default item limit of memcached (1 MiB), without what an item needs beside its value: at most 313 bytes, with
/// the longest key.
const DEFAULT_VALUE_BYTES: usize = (1 << 20) - 512;
/// memcached's option `-I` goes no further.
const LARGEST_VALUE_BYTES: usize = 1 << 30;
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
const MOST_CONNECTIONS: usize = 65_536;

/// Everything but the servers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) key_prefix: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) max_connections: usize,
    /// As many as `max_connections` unless given.
    pub(crate) max_idle: Option<usize>,
    pub(crate) max_value_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key_prefix: String::new(),
            connect_timeout: Duration::from_millis(500),
            response_timeout: Duration::from_secs(1),
            max_connections: 64,
            max_idle: None,
            max_value_bytes: DEFAULT_VALUE_BYTES,
        }
    }
}

impl Settings {
    pub(crate) fn max_idle(&self) -> usize {
        self.max_idle.unwrap_or(self.max_connections)
    }

    pub(crate) fn check(&self) -> CacheResult<()> {
        let prefix = &self.key_prefix;
        if prefix.len() > LONGEST_KEY - SHORTEST_KEY || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refuse("key_prefix", format!("{prefix:?}"), "takes up to 185 ASCII characters, no spaces");
        }
        for (field, time) in [("connect_timeout", self.connect_timeout), ("response_timeout", self.response_timeout)] {
            if time.is_zero() || time > LONGEST_TIMEOUT {
                return refuse(field, format!("{time:?}"), "takes more than nothing and at most 60 s");
            }
        }
        if !(1..=MOST_CONNECTIONS).contains(&self.max_connections) {
            return refuse("max_connections", self.max_connections, "takes 1 to 65536");
        }
        if !(1..=self.max_connections).contains(&self.max_idle()) {
            return refuse("max_idle", self.max_idle(), "takes 1 to max_connections");
        }
        if !(1..=LARGEST_VALUE_BYTES).contains(&self.max_value_bytes) {
            return refuse("max_value_bytes", self.max_value_bytes, "takes 1 to 1073741824 (1 GiB)");
        }
        Ok(())
    }
}

pub(crate) fn refuse<T>(field: &str, value: impl Display, accepted: impl Display) -> CacheResult<T> {
    Err(CacheError::new(ErrorKind::InvalidConfig, format!("{field} = {value}: {accepted}")))
}
