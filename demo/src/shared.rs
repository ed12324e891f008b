//! The shared level: none, a map, or a server: one that is there, or one that is started for the run.

use std::any::Any;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use accelerator::stores::{MemcachedStore, RedisStore};
use accelerator::testkit::MemoryL2;
use accelerator::testkit::server::{MemcachedServer, RedisServer};
use accelerator::{L2Store, StoreError};
use anyhow::{Context, anyhow, ensure};

/// What `--l2` takes.
const ACCEPTED: &str = "takes none, memory, redis, redis://HOST, memcached or memcache://HOST,HOST";
/// For a server to take the connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `--l2` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    None,
    Memory,
    /// At a URL, or one of our own.
    Redis(Option<String>),
    /// At some servers, or one of our own.
    Memcached(Option<String>),
}

impl FromStr for Choice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        Ok(match text {
            "none" => Self::None,
            "memory" => Self::Memory,
            "redis" => Self::Redis(None),
            "memcached" => Self::Memcached(None),
            url if url.starts_with("redis://") || url.starts_with("rediss://") => Self::Redis(Some(url.to_owned())),
            url if url.starts_with("memcache://") => Self::Memcached(Some(url.to_owned())),
            _ => return Err(ACCEPTED),
        })
    }
}

impl Choice {
    /// For reports; a URL may have a password in it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Memory => "memory",
            Self::Redis(_) => "redis",
            Self::Memcached(_) => "memcached",
        }
    }
}

/// A store that answers. Its server, where it is our own, ends with this.
pub(crate) struct Shared {
    pub(crate) store: Option<Arc<dyn L2Store>>,
    /// Somebody else's server: to be left as it was.
    pub(crate) borrowed: bool,
    _server: Option<Box<dyn Any>>,
}

impl Shared {
    /// Starts the server that was asked for, and connects.
    pub(crate) async fn open(choice: &Choice) -> anyhow::Result<Self> {
        // Somebody else may run the demo at the same time, or have run it a moment ago.
        let prefix = format!("demo-{:016x}.", fastrand::u64(..));
        let borrowed = matches!(choice, Choice::Redis(Some(_)) | Choice::Memcached(Some(_)));
        let of = |store: Arc<dyn L2Store>, server| Self { store: Some(store), borrowed, _server: server };
        Ok(match choice {
            Choice::None => Self { store: None, borrowed, _server: None },
            Choice::Memory => of(Arc::new(MemoryL2::new()), None),
            Choice::Redis(url) => {
                let server = own(url, "redis-server", "redis://HOST", RedisServer::start)?;
                let url = server.as_ref().map(RedisServer::url).or(url.clone()).unwrap_or_default();
                let store = RedisStore::builder().url(url).key_prefix(prefix).connect_timeout(PATIENCE).connect();
                of(Arc::new(store.await.map_err(refused)?), server.map(|server| Box::new(server) as _))
            }
            Choice::Memcached(url) => {
                let server = own(url, "memcached", "memcache://HOST,HOST", MemcachedServer::start)?;
                let url = server.as_ref().map(MemcachedServer::addr).or(url.clone()).unwrap_or_default();
                let servers = url.trim_start_matches("memcache://").split(',');
                let store = MemcachedStore::builder().servers(servers).key_prefix(prefix).connect_timeout(PATIENCE);
                of(Arc::new(store.connect().await.map_err(refused)?), server.map(|server| Box::new(server) as _))
            }
        })
    }
}

/// With its causes.
fn refused(error: StoreError) -> anyhow::Error {
    anyhow!("--l2: {error:#}")
}

/// A server of our own, unless one was named.
fn own<S>(
    named: &Option<String>,
    program: &str,
    instead: &str,
    start: impl FnOnce() -> Option<S>,
) -> anyhow::Result<Option<S>> {
    if named.is_some() {
        return Ok(None);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    ensure!(
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file()),
        "--l2: {program} is not installed here (on Debian: apt-get install {program}); or name a server: --l2 {instead}"
    );
    start().map(Some).with_context(|| format!("--l2: {program} is gone"))
}
