//! What a bus is made from.

use std::time::Duration;

use accelerator_core::{CacheError, CacheResult, ErrorKind};

use crate::bus::RedisBus;
use crate::bus::subscriber::SubscriberLimits;
use crate::{RedisStore, RedisStoreBuilder};

const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_secs(60);

/// Sets a [`RedisBus`] up. Nothing is checked before [`build`](Self::build).
///
/// ```
/// use accelerator_backend_redis::RedisBus;
/// let bus = RedisBus::builder().url("redis://cache-user:secret@127.0.0.1:6379").key_prefix("shop:").build()?;
/// assert!(!format!("{bus:?}").contains("secret"));
/// # Ok::<(), accelerator_core::CacheError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisBusBuilder {
    server: RedisStoreBuilder,
    publish_timeout: Duration,
    ping_interval: Duration,
    ping_timeout: Duration,
}

impl RedisBusBuilder {
    pub(crate) fn new() -> Self {
        Self {
            server: RedisStore::builder(),
            publish_timeout: Duration::from_secs(1),
            ping_interval: LIMITS.ping_interval,
            ping_timeout: LIMITS.ping_timeout,
        }
    }

    /// Where the server is, and who we are there, as [`RedisStoreBuilder::url`] has it. Required.
    ///
    /// The database, 0 where none is named, is part of the channels' names: Redis itself keeps messages of different
    /// databases not apart.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.server = self.server.url(url);
        self
    }

    /// What the names of all channels begin with. Up to 256 bytes of visible ASCII; nothing by default. An ACL that allows
    /// `&shop:*` goes with the prefix `shop:`.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.server = self.server.key_prefix(prefix);
        self
    }

    /// How long connecting may take, TLS, login and first answer included: 10 ms to 60 s, by default 1 s. After a failure
    /// the next try follows within 500 ms (within 5 s where the server refused).
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.server = self.server.connect_timeout(limit);
        self
    }

    /// How long a publish may take: 10 ms to 60 s, by default 1 s. Connecting for the first of them is part of it.
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.publish_timeout = limit;
        self
    }

    /// After how long the connection that listens is asked for a sign of life: 10 ms to 60 s, by default 2 s.
    ///
    /// Together with [`ping_timeout`](Self::ping_timeout) it is how long a node may hear nothing without knowing it: a
    /// connection whose other end has gone looks as one on which nothing is said.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// How long the answer may take: 10 ms to 60 s, by default 1 s. Later, the connection is replaced.
    pub fn ping_timeout(mut self, limit: Duration) -> Self {
        self.ping_timeout = limit;
        self
    }

    /// The authorities (PEM, one or many) that a `rediss://` server is checked against, instead of those that this
    /// machine trusts.
    #[cfg(feature = "tls")]
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.server = self.server.tls_ca(pem);
        self
    }

    /// The bus. It connects when it is first listened to or published on: this needs no runtime, and no server.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`], naming the field, its value and what is accepted, as
    /// [`RedisStoreBuilder::build`] does.
    pub fn build(self) -> CacheResult<RedisBus> {
        let limits = [
            ("publish_timeout", self.publish_timeout),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", self.ping_timeout),
        ];
        for (field, limit) in limits {
            if !(LEAST..=MOST).contains(&limit) {
                let context = format!("{field} = {limit:?}: {LEAST:?} to {MOST:?}");
                return Err(CacheError::new(ErrorKind::InvalidConfig, context));
            }
        }
        // The connection that publishes is silent for no longer than a publish may take.
        let server = self.server.response_timeout(self.publish_timeout).assemble()?;
        let pings = SubscriberLimits { ping_interval: self.ping_interval, ping_timeout: self.ping_timeout, ..LIMITS };
        Ok(RedisBus::new(server, self.publish_timeout, pings))
    }
}

/// The limits of a bus that nobody has set.
pub(crate) const LIMITS: SubscriberLimits = SubscriberLimits {
    ping_interval: Duration::from_secs(2),
    ping_timeout: Duration::from_secs(1),
    max_message_bytes: 64 << 10,
    max_waiting: 1024,
};
