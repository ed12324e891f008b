//! What a store is made from.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use accelerator_core::{CacheError, CacheResult, ErrorKind, StoreError, StoreErrorKind, StoreResult};

use crate::RedisStore;
use crate::commands::command::Commands;
use crate::connection::SharedConnection;
use crate::connection::clock::ServerClock;
use crate::connection::dial::Dialer;
#[cfg(feature = "tls")]
use crate::connection::tls::Tls;
use crate::url::{self, ServerUrl};

/// The longest prefix of keys, in bytes.
const LONGEST_PREFIX: usize = 256;
const LEAST_TIMEOUT: Duration = Duration::from_millis(10);
const MOST_TIMEOUT: Duration = Duration::from_secs(60);

/// Sets a [`RedisStore`] up. Nothing is checked before [`build`](Self::build) or [`connect`](Self::connect).
///
/// ```
/// use accelerator_backend_redis::RedisStore;
/// use std::time::Duration;
/// let store = RedisStore::builder()
///     .url("redis://cache-user:secret@127.0.0.1:6379/0")
///     .key_prefix("shop:")
///     .connect_timeout(Duration::from_millis(500))
///     .build()?;
/// assert!(!store.is_connected()); // outside of a runtime the first call connects
/// # Ok::<(), accelerator_core::CacheError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisStoreBuilder {
    url: Option<String>,
    key_prefix: String,
    connect_timeout: Duration,
    response_timeout: Duration,
    #[cfg(feature = "tls")]
    tls_ca: Option<Vec<u8>>,
}

impl RedisStoreBuilder {
    pub(crate) fn new() -> Self {
        Self {
            url: None,
            key_prefix: String::new(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(1),
            #[cfg(feature = "tls")]
            tls_ca: None,
        }
    }

    /// Where the server is, and who we are there: `redis://[user:password@]host[:port][/database]`. Required.
    ///
    /// `rediss://` is the same over TLS and takes the feature `tls` (`redis-tls` of the facade). `unix:///path` is a
    /// socket of this machine, with `db`, `user` and `pass` as parameters. What is special in URLs is percent-encoded.
    /// `valkey` may stand for `redis`.
    ///
    /// The server is shown in errors, in `Debug` and in the log, the login never, and of a URL that was not understood
    /// nothing at all. Don't leave the host out: `redis://app:1234` is the host `app` with the port 1234, and is shown as
    /// that, whatever it was meant to be.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// What all keys of this store begin with, where a server serves others too. Up to 256 bytes of visible ASCII;
    /// nothing by default. An ACL that allows `~shop:*` goes with the prefix `shop:`.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// How long connecting may take, TLS, login and first answer included: 10 ms to 60 s, by default 1 s.
    ///
    /// Only the first try is waited for. After a failure the next try follows within 500 ms (within 5 s where the server refused
    /// the login).
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long the server may be silent while calls wait: 10 ms to 60 s, by default 1 s.
    ///
    /// It is looked at once in this time. A server that was silent is asked for a sign of life, and without one until
    /// the next look the connection is replaced and its calls end with an error. So a call waits at most twice as long,
    /// and a server that is slow for a moment keeps its connection. Whatever comes from the server counts, also a part of
    /// a long answer. This is the limit of the connection; each call of the cache has a shorter one of its own.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.response_timeout = limit;
        self
    }

    /// The authorities (PEM, one or many) that a `rediss://` server is checked against, instead of those that this
    /// machine trusts.
    #[cfg(feature = "tls")]
    pub fn tls_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls_ca = Some(pem.into());
        self
    }

    /// The store. Inside a tokio runtime it begins to connect at once, elsewhere at the first call. Calls wait for the end
    /// of that first try, `connect_timeout` at most (the cache's own limits are shorter); after it they fail at once
    /// while there is no connection. Needs no runtime, and no server.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`], naming the field, its value and what is accepted. Of a URL it names the host
    /// and the port, never the login, and nothing at all where it was not understood.
    pub fn build(self) -> CacheResult<RedisStore> {
        let store = self.assemble()?;
        store.begin();
        Ok(store)
    }

    pub(crate) fn assemble(self) -> CacheResult<RedisStore> {
        let url = self.url.as_deref().ok_or_else(|| invalid("url", "(not set)", url::ACCEPTED))?;
        let refused = |why: &str| invalid("url", url::shown(url), &format!("{why}; accepted is {}", url::ACCEPTED));
        let target = ServerUrl::parse(url).map_err(|why| refused(&why))?;
        if self.key_prefix.len() > LONGEST_PREFIX || !self.key_prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            let accepted = format!("up to {LONGEST_PREFIX} bytes of visible ASCII");
            return Err(invalid("key_prefix", format!("{:?}", self.key_prefix), &accepted));
        }
        for (field, limit) in [("connect_timeout", self.connect_timeout), ("response_timeout", self.response_timeout)] {
            if !(LEAST_TIMEOUT..=MOST_TIMEOUT).contains(&limit) {
                let accepted = format!("{LEAST_TIMEOUT:?} to {MOST_TIMEOUT:?}");
                return Err(invalid(field, format!("{limit:?}"), &accepted));
            }
        }
        #[cfg(not(feature = "tls"))]
        if target.tls {
            return Err(refused(
                "TLS takes the feature `tls` of accelerator-backend-redis (`redis-tls` of accelerator)",
            ));
        }
        let dialer = Dialer {
            #[cfg(feature = "tls")]
            tls: self.tls(&target)?,
            target,
            limit: self.connect_timeout,
            received: Arc::default(),
            clock: ServerClock::new(),
        };
        let shared = Arc::new(SharedConnection::new(dialer, self.response_timeout));
        Ok(RedisStore::new(shared, Commands { prefix: self.key_prefix }))
    }

    #[cfg(feature = "tls")]
    fn tls(&self, target: &ServerUrl) -> CacheResult<Option<Tls>> {
        let ca = self.tls_ca.as_deref();
        if !target.tls {
            return match ca {
                Some(_) => Err(invalid("tls_ca", "(set)", "a rediss:// URL to go with it")),
                None => Ok(None),
            };
        }
        let shown = if ca.is_some() { "(set)" } else { "(not set)" };
        Tls::new(ca)
            .map(Some)
            .map_err(|why| invalid("tls_ca", shown, &format!("{why}; accepted are certificates in PEM")))
    }

    /// The store, connected: for a service that would rather not start without its L2.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] of kind `Other` for what [`build`](Self::build) refuses; `Rejected` where the server refuses
    /// the login; `Unavailable` where there is no connection within `connect_timeout`; `Protocol` where what answers is
    /// no Redis. One try is made.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves no connection and no task.
    pub async fn connect(self) -> StoreResult<RedisStore> {
        let store = self
            .assemble()
            .map_err(|error| StoreError::new(StoreErrorKind::Other, "the store can't be built").with_source(error))?;
        store.connect().await?;
        Ok(store)
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("url", &self.url.as_deref().map(url::shown))
            .field("key_prefix", &self.key_prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

fn invalid(field: &str, value: impl fmt::Display, accepted: &str) -> CacheError {
    CacheError::new(ErrorKind::InvalidConfig, format!("{field} = {value}: {accepted}"))
}
