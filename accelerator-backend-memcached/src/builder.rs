//! How a store is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use accelerator_core::{CacheResult, StoreError, StoreErrorKind, StoreResult};

use crate::commands::exchange::Servers;
use crate::connection::server::Server;
use crate::settings::Settings;
use crate::store::MemcachedStore;
use crate::url::{server_names, shown};

/// Sets a [`MemcachedStore`] up; `servers` is all it needs. Nothing is checked before [`build`](Self::build) or
/// [`connect`](Self::connect).
///
/// ```
/// use accelerator_backend_memcached::MemcachedStore;
/// use std::time::Duration;
/// let store = MemcachedStore::builder()
///     .servers(["cache-1:11211", "cache-2:11211"])
///     .key_prefix("shop:")
///     .connect_timeout(Duration::from_millis(500))
///     .build()?; // outside of a runtime the first call connects
/// # let _ = store;
/// # Ok::<(), accelerator_core::CacheError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct MemcachedStoreBuilder {
    servers: Vec<String>,
    settings: Settings,
}

impl MemcachedStoreBuilder {
    /// The servers: `host:port`, `memcache://host:port`, or several of them with commas between. The port is 11211 unless
    /// given.
    ///
    /// A login is not taken. Of a list that was not understood nothing is shown, but which of its names it was; what reads
    /// as `host:port` is shown as that (`app:1234` is a host and its port).
    ///
    /// All nodes must name the same servers in the same words: the name decides which keys a server gets. Their order
    /// doesn't matter. A name must mean one memcached process, not a balancer with several behind it.
    pub fn servers<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Self {
        self.servers = servers.into_iter().map(Into::into).collect();
        self
    }

    /// What all keys of this store begin with, where a server serves others too. Up to 185 bytes of visible ASCII; nothing
    /// by default.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.key_prefix = prefix.into();
        self
    }

    /// How long connecting may take, first answer included: up to 60 s, by default 500 ms.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.settings.connect_timeout = limit;
        self
    }

    /// How long a call may take as a whole, batches and the wait for a connection included: up to 60 s, by default 1 s. Each
    /// call of the cache has a shorter limit of its own.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.settings.response_timeout = limit;
        self
    }

    /// Most connections to one server, and so most calls to it at the same time: the next ones wait. 1 to 65,536, by default
    /// 64.
    ///
    /// memcached itself takes 1024 from all nodes together unless it was started with another `-c`.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.settings.max_connections = most;
        self
    }

    /// Most connections to one server that are kept while nobody uses them. 1 to `max_connections`, by
    /// default as many: fewer means that connections are made again and again.
    ///
    /// A connection that was idle for 60 s is closed.
    pub fn max_idle(mut self, most: usize) -> Self {
        self.settings.max_idle = Some(most);
        self
    }

    /// Longest value in bytes that is stored or read. 1 to 1,073,741,824 (1 GiB), by default 1,048,064: what memcached
    /// takes by default (1 MiB) without the overhead of an item. For more, start the servers with a larger `-I`.
    ///
    /// The cache has a `max_value_bytes` of its own, 1 MiB by default: for larger values raise both.
    pub fn max_value_bytes(mut self, most: usize) -> Self {
        self.settings.max_value_bytes = most;
        self
    }

    /// Checks everything that was given. Needs no runtime and waits for nobody: a server that is away is no error here.
    /// Inside a tokio runtime it begins to connect to each server; a call that comes before that has ended makes a
    /// connection of its own.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](accelerator_core::ErrorKind::InvalidConfig), with the field, its value, and what it takes. Of a
    /// server's name that is not understood nothing is shown: it may be a login.
    pub fn build(self) -> CacheResult<MemcachedStore> {
        let store = self.assemble()?;
        store.warm_up();
        Ok(store)
    }

    fn assemble(self) -> CacheResult<MemcachedStore> {
        self.settings.check()?;
        let names = server_names(&self.servers)?;
        let settings = Arc::new(self.settings);
        let all = names.into_iter().map(|name| Arc::new(Server::new(name, Arc::clone(&settings)))).collect();
        Ok(MemcachedStore::new(Servers { all, settings }))
    }

    /// [`build`](Self::build), and asks each server for its version and for a lease.
    ///
    /// # Errors
    ///
    /// What `build` refuses, as [`Other`](StoreErrorKind::Other). [`Unavailable`](StoreErrorKind::Unavailable) or
    /// [`Timeout`](StoreErrorKind::Timeout) when a server doesn't answer, [`Unsupported`](StoreErrorKind::Unsupported) when
    /// it is too old, gives no leases or wants a password. The error names the server.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left when the future is dropped.
    pub async fn connect(self) -> StoreResult<MemcachedStore> {
        let store = self.assemble();
        let store = store.map_err(|error| StoreError::new(StoreErrorKind::Other, "no store").with_source(error))?;
        store.check().await?;
        Ok(store)
    }
}

impl fmt::Debug for MemcachedStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemcachedStoreBuilder")
            .field("servers", &shown(&self.servers))
            .field("settings", &self.settings)
            .finish()
    }
}
